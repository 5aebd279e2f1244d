"""What the operator chose: ``config/worker.toml`` and the environment, checked before anything starts."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from worker.errors import ConfigError

DEFAULT_FILE = Path("config/worker.toml")
_PREFIX = "WORKER_"
_FILE_VARIABLE = "WORKER_CONFIG"
_VARIABLE_ONLY = ("secret_key", "secret_key_file")
_UNSHOWN = {"secret_key", "kafka.client"}  # they hold passwords
_NAMED_ELSE = {"bootstrap.servers": "kafka.bootstrap_servers", "group.id": "kafka.group_id"}


def _clock_time(text: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        raise ValueError("must be a time of day as HH:MM, 00:00 to 23:59")
    return text


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # the last where it names a folder, as Europe does
        raise ValueError("must be a time zone of the IANA database, such as Europe/London") from error
    return name


def _base_url(url: str) -> str:
    if not re.match(r"https?://", url):
        raise ValueError("must start with https:// or http://")
    if not re.fullmatch(r"https?://[^\s/?#@{}]+(/[^\s?#{}]*)?", url.replace("{dc}", "dc")):
        raise ValueError("must be a host and a path, such as https://{dc}.api.mailchimp.com/3.0")
    return url.rstrip("/")


def _file_path(path: Path) -> Path:
    if not path.name:
        raise ValueError("must name a file")
    return path


def _properties(given: Any) -> Any:
    # Returns librdkafka's properties by their dotted names, also where TOML read the dots as tables within tables.
    if isinstance(given, str):
        with contextlib.suppress(ValueError):
            given = json.loads(given)
    if not isinstance(given, dict):
        raise ValueError('must be a table, and in the environment a JSON object such as {"security.protocol": "ssl"}')
    flat: dict[str, Any] = {}
    for name, value in given.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{rest}": below for rest, below in _properties(value).items()}
        elif isinstance(value, str | int | float):
            flat[name] = value
        else:
            raise ValueError(f"{name} must be a text, a number, true or false")
    for name in flat.keys() & _NAMED_ELSE.keys():
        raise ValueError(f"{name} is set as {_NAMED_ELSE[name]}")
    return flat


_FilePath = Annotated[Path, AfterValidator(_file_path)]
_Properties = Annotated[dict[str, str | int | float | bool], BeforeValidator(_properties)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Kafka(_Section):
    """Where customer events come from."""

    bootstrap_servers: Annotated[str, Field(min_length=1)] = "localhost:9092"
    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,240}$")] = "billmywork.customers"
    group_id: Annotated[str, Field(min_length=1)] = "mailchimp-worker"
    client: _Properties = Field(default_factory=dict, repr=False)

    @property
    def ledger_topic(self) -> str:
        """The compacted topic that keeps the ledger and the standings."""
        return f"{self.topic}.ledger"

    @property
    def settings_topic(self) -> str:
        """The compacted topic that keeps the accounts' settings."""
        return f"{self.topic}.settings"


class Staging(_Section):
    """Where customers' newest states are kept."""

    path: _FilePath = Path("data/worker.db")


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


class DeadLetters(_Section):
    """How long, and how many, records that could not be understood are kept."""

    keep_days: Annotated[int, Field(ge=1)] = 400
    keep_at_most: Annotated[int, Field(ge=0)] = 100_000


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
    dead_letters: DeadLetters = DeadLetters()
    log: Log = Log()
    secret_key: SecretStr | None = None
    secret_key_file: _FilePath | None = None


def load() -> Config:
    """Reads the operator's config.

    Returns:
        The checked config: the file that ``WORKER_CONFIG`` names, else ``config/worker.toml`` where there is one,
        each value overridden by its environment variable.

    Raises:
        ConfigError: a value is wrong or unknown; says its name, where it stands and what is allowed.
    """
    file = _file()
    from_file, problems = ({}, []) if file is None else _read(file)
    from_environment, unknown = _environment(os.environ)
    problems += [f"{variable}: there is no such setting (in the environment)" for variable in unknown]
    try:
        config = Config.model_validate(_merged(from_file, from_environment))
    except ValidationError as error:
        problems += [_told(one, from_environment, file) for one in error.errors()]
    if problems:
        raise ConfigError(
            "The configuration is wrong:" + "".join(f"\n  {one}" for one in problems),
            "Correct it; config/worker.toml and the README's table say what each setting may be.",
        )
    return config


def _file() -> Path | None:
    named = os.environ.get(_FILE_VARIABLE)
    if named:
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def _read(file: Path) -> tuple[dict[str, Any], list[str]]:
    # Returns the values by section and name, and what is wrong with the form of the file.
    try:
        with file.open("rb") as opened:
            values = tomllib.load(opened)
    except OSError as error:
        raise ConfigError(
            f"The configuration file {file} cannot be read: {error.strerror}.",
            f"Check {_FILE_VARIABLE} and the rights of the file.",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration file {file} is no TOML: {error}.", "Correct that line.") from error
    problems = []
    for name, field in Config.model_fields.items():
        if name in _VARIABLE_ONLY and values.pop(name, None) is not None:
            problems.append(f"{name}: is set by its variable {_PREFIX}{name.upper()} only (in {file})")
        elif _is_section(field.annotation) and not isinstance(values.get(name, {}), dict):
            problems.append(f"{name} = {values.pop(name)!r}: must be a table, [{name}] (in {file})")
    return values, problems


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
        elif name in field.annotation.model_fields:  # type: ignore[union-attr]  # a section, see above
            found.setdefault(section, {})[name] = value
        else:
            unknown.append(variable)
    return found, sorted(unknown)


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, _Section)


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
    place = _PREFIX + "__".join(part.upper() for part in where) if at is not None else f"in {file}"
    told = re.sub(r"^(Input|String) should", "must", str(problem["msg"]).removeprefix("Value error, "))
    value = problem["input"]
    shown = "" if name in _UNSHOWN else f" = {value if isinstance(value, time) else repr(value)}"
    return f"{name}{shown}: {told} ({place})"
