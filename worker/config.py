"""What the operator chose: ``config/worker.toml`` and the environment, checked before anything starts."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from worker.errors import ConfigError

DEFAULT_FILE = Path("config/worker.toml")
_PREFIX = "WORKER_"
_FILE_VARIABLE = "WORKER_CONFIG"


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

    bootstrap_servers: Annotated[str, Field(min_length=1)] = "localhost:9092"
    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")] = "billmywork.customers"
    group_id: Annotated[str, Field(min_length=1)] = "mailchimp-worker"
    client: dict[str, str | int | float | bool] = Field(default_factory=dict)


class Staging(_Section):
    """Where customers' newest states are kept."""

    path: Path = Path("data/worker.db")


class Flush(_Section):
    """When and how what changed is delivered."""

    at: Annotated[str, AfterValidator(_clock_time)] = "10:00"
    timezone: Annotated[str, AfterValidator(_timezone)] = "Europe/London"
    accounts_at_once: Annotated[int, Field(ge=1, le=64)] = 8
    put_at_most: Annotated[int, Field(ge=0)] = 1000

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
    connections: Annotated[int, Field(ge=1, le=10)] = 8
    timeout: Annotated[float, Field(gt=0, le=600)] = 120
    patience: Annotated[float, Field(ge=0, le=3600)] = 60


class Receipts(_Section):
    """How long receipts are kept."""

    keep_days: Annotated[int, Field(ge=1)] = 400


class Log(_Section):
    """What the worker writes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


class Config(_Section):
    """All of it. Read with :func:`load`, which explains what is wrong."""

    kafka: Kafka = Kafka()
    staging: Staging = Staging()
    flush: Flush = Flush()
    mailchimp: Mailchimp = Mailchimp()
    receipts: Receipts = Receipts()
    log: Log = Log()
    secret_key: SecretStr | None = None
    secret_key_file: Path | None = None


def load() -> Config:
    """Reads the operator's config.

    Returns:
        The checked config: the file that ``WORKER_CONFIG`` names, else ``config/worker.toml`` where there is one,
        each value overridden by its environment variable.

    Raises:
        ConfigError: a value is wrong or unknown; says its name, where it stands and what is allowed.
    """
    file = _file()
    from_file = _read(file) if file is not None else {}
    from_environment, unknown = _environment(os.environ)
    merged = _merged(from_file, from_environment)
    problems = [f"{name}: there is no such setting (in the environment)" for name in unknown]
    try:
        config = Config.model_validate(merged)
    except ValidationError as error:
        problems += [_told(one, from_environment, file) for one in error.errors()]
    if problems:
        raise ConfigError(
            "The configuration is wrong. " + " · ".join(problems) + ".",
            "Correct it; config/worker.toml and the README's table say what each setting may be.",
        )
    return config


def _file() -> Path | None:
    named = os.environ.get(_FILE_VARIABLE)
    if named:
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            return tomllib.load(opened)
    except OSError as error:
        raise ConfigError(
            f"The configuration file {file} cannot be read: {error.strerror}.",
            f"Check {_FILE_VARIABLE} and the rights of the file.",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration file {file} is no TOML: {error}.", "Correct that line.") from error


def _environment(variables: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    # Returns the values by section and name, and variables that name no setting.
    found: dict[str, Any] = {}
    unknown = []
    for variable, value in variables.items():
        if not variable.startswith(_PREFIX) or variable == _FILE_VARIABLE:
            continue
        section, _, name = variable.removeprefix(_PREFIX).lower().partition("__")
        field = Config.model_fields.get(section)
        if field is None or bool(name) != _is_section(field.annotation):
            unknown.append(variable)
        elif not name:
            found[section] = value
        elif (section, name) == ("kafka", "client"):
            found.setdefault(section, {})[name] = _object(variable, value)
        elif name in field.annotation.model_fields:  # type: ignore[union-attr]  # a section, see above
            found.setdefault(section, {})[name] = value
        else:
            unknown.append(variable)
    return found, sorted(unknown)


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, _Section)


def _object(variable: str, value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError as error:
        raise ConfigError(
            f"{variable} is no JSON object.", 'Give librdkafka properties like {"security.protocol": "ssl"}.'
        ) from error


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        both = isinstance(value, dict) and isinstance(under, dict)
        merged[name] = under | value if both else value
    return merged


def _told(problem: Any, from_environment: Mapping[str, Any], file: Path | None) -> str:
    where = [str(part) for part in problem["loc"]]
    name = ".".join(where)
    if problem["type"] == "extra_forbidden":
        return f"{name}: there is no such setting (in {file})"
    at: Any = from_environment
    for part in where:
        at = at.get(part) if isinstance(at, dict) else None
    variable = _PREFIX + "__".join(part.upper() for part in where)
    place = variable if at is not None else f"in {file}"
    told = str(problem["msg"]).removeprefix("Value error, ")
    shown = "" if where[0] == "secret_key" else f" = {problem['input']!r}"
    return f"{name}{shown}: {told[:1].lower()}{told[1:]} ({place})"
