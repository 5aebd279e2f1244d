"""What the operator chose: ``config/worker.toml`` and the environment, checked before anything starts."""

from __future__ import annotations

import os
import re
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import tomllib
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from worker.errors import ConfigError

DEFAULT_FILE = Path("config/worker.toml")


def _clock_time(text: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        raise ValueError("must be a time of day as HH:MM, 00:00 to 23:59")
    return text


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError("must be a time zone of the IANA database, such as Europe/London") from error
    return name


def _base_url(url: str) -> str:
    if not re.match(r"https?://", url):
        raise ValueError("must start with https:// or http://")
    return url.rstrip("/")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Kafka(_Section):
    """Where customer events come from."""

    bootstrap_servers: str = Field("localhost:9092", min_length=1)
    topic: str = Field("billmywork.customers", pattern=r"^[A-Za-z0-9._-]{1,249}$")
    group_id: str = Field("mailchimp-worker", min_length=1)
    client: dict[str, str | int | float | bool] = Field(default_factory=dict)


class Staging(_Section):
    """Where customers' newest states are kept."""

    path: Path = Path("data/worker.db")


class Flush(_Section):
    """When and how what changed is delivered."""

    at: Annotated[str, AfterValidator(_clock_time)] = "10:00"
    timezone: Annotated[str, AfterValidator(_timezone)] = "Europe/London"
    accounts_at_once: int = Field(8, ge=1, le=64)
    put_at_most: int = Field(1000, ge=0)

    @property
    def time_of_day(self) -> time:
        """The local time at which the daily flush is due."""
        return time.fromisoformat(self.at)

    @property
    def zone(self) -> ZoneInfo:
        """The zone of that local time."""
        return ZoneInfo(self.timezone)


class Mailchimp(_Section):
    """How Mailchimp is called."""

    base_url: Annotated[str, AfterValidator(_base_url)] = "https://{dc}.api.mailchimp.com/3.0"
    connections: int = Field(8, ge=1, le=10)
    timeout: float = Field(120, gt=0, le=600)
    patience: float = Field(60, ge=0, le=3600)


class Receipts(_Section):
    """How long receipts are kept."""

    keep_days: int = Field(400, ge=1)


class Log(_Section):
    """What the worker writes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


class Config(BaseSettings):
    """All of it. Read with :func:`load`, which explains what is wrong."""

    model_config = SettingsConfigDict(
        env_prefix="WORKER_", env_nested_delimiter="__", extra="forbid", frozen=True, secrets_dir=None
    )

    kafka: Kafka = Kafka()
    staging: Staging = Staging()
    flush: Flush = Flush()
    mailchimp: Mailchimp = Mailchimp()
    receipts: Receipts = Receipts()
    log: Log = Log()
    secret_key: SecretStr | None = None
    secret_key_file: Path | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load() -> Config:
    """Reads the operator's config.

    Returns:
        The checked config: the file that ``WORKER_CONFIG`` names, else ``config/worker.toml`` where there is one,
        each value overridden by its environment variable.

    Raises:
        ConfigError: a value is wrong or unknown; says its name, where it stands and what is allowed.
    """
    raise NotImplementedError
