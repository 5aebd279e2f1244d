"""The operator's config: ``config/worker.toml`` and environment variables, checked before anything starts."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tomllib
from collections.abc import Iterable
from datetime import time
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
)
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from worker.errors import ConfigError

ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 - compared with, not bound
SHORTEST_TOKEN = 24
"""Characters of web.token, so that it cannot be guessed."""
LONGEST_TIMEOUT = 150
"""Seconds; below ANSWER_WITHIN of worker.mailchimp.calls, so that no answer comes after its call was given up."""
DEFAULT_FILE = Path("config/worker.toml")
_PREFIX = "WORKER_"
_FILE_VARIABLE = "WORKER_CONFIG"
_SIMILAR = 0.85
"""How much a misspelt variable must be like another one, of 1, to be taken for it."""
_VARIABLE_ONLY = ("secret_key", "secret_key_file", "previous_secret_key")
_SERVICE_LINKS = re.compile(
    r"WORKER_(\w+_)??(SERVICE_(HOST|PORT)(_\w+)?=.*|PORT(_\d+_(TCP|UDP|SCTP))?=\w+://.*|PORT_\d+_(TCP|UDP|SCTP)_\w+=.*)"
)
"""Variables that Kubernetes sets in every container for a Service named "worker" or "worker-…". WORKER_WEB_PORT=9090
does not match: it is WORKER_WEB__PORT with an underscore missing."""
_UNSHOWN = {"secret_key", "previous_secret_key", "kafka.client", "web.token"}  # they hold passwords
_NAMED_ELSE = {"bootstrap.servers": "kafka.bootstrap_servers", "group.id": "kafka.group_id"}


def _clock_time(text: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        raise ValueError("must be a time of day as HH:MM, 00:00 to 23:59")
    return text


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError for the name of a folder, such as "Europe"
        raise ValueError("must be a time zone of the IANA database, such as Europe/London") from error
    return name


def _base_url(url: str) -> str:
    if not re.match(r"https?://", url):
        raise ValueError("must start with https:// or http://")
    if not re.fullmatch(r"https?://[^\s/?#@{}]+(/[^\s?#{}]*)?", url.replace("{dc}", "dc")):
        raise ValueError("must be a host and a path, such as https://{dc}.api.mailchimp.com/3.0")
    return url.rstrip("/")


def _encrypted(url: str, info: ValidationInfo) -> str:
    host = urlsplit(url.replace("{dc}", "dc")).hostname or ""
    if url.startswith("https://") or info.data.get("allow_plain_http") or is_loopback(host):
        return url
    raise ValueError(
        "must start with https://, because API keys and customers would be readable on the way; set "
        "mailchimp.allow_plain_http if nobody can listen there"
    )


def is_loopback(host: str) -> bool:
    """Returns whether a host is this machine, so that nobody can intercept what is sent there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _file_path(path: Path) -> Path:
    if not path.name:
        raise ValueError("must name a file")
    return path


def _no_device(path: Path) -> Path:
    with contextlib.suppress(OSError):  # reading it reports what is wrong
        if path.is_dir() or path.is_char_device() or path.is_block_device():  # a device may never end
            raise ValueError("must name a file, not a folder or a device")
    return path


def _properties(properties: Any) -> Any:
    # Returns librdkafka's properties by their dotted names, even if TOML parsed the dots as nested tables.
    if isinstance(properties, str):
        with contextlib.suppress(ValueError):
            properties = json.loads(properties)
    if not isinstance(properties, dict):
        raise ValueError('must be a table, and in the environment a JSON object such as {"security.protocol": "ssl"}')
    flat: dict[str, Any] = {}
    for name, value in properties.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{rest}": below for rest, below in _properties(value).items()}
        elif isinstance(value, str | int | float):
            flat[name] = value
        else:
            raise ValueError(f"{name} must be a text, a number, true or false")
    for name in flat.keys() & _NAMED_ELSE.keys():
        raise ValueError(f"{name} is set as {_NAMED_ELSE[name]}")
    return flat


def _token(token: SecretStr) -> SecretStr:
    if 0 < len(token.get_secret_value()) < SHORTEST_TOKEN:
        raise ValueError(f"must have at least {SHORTEST_TOKEN} characters; make one with: openssl rand -hex 32")
    return token


def _origin(url: str) -> str:
    if url and not re.fullmatch(r"https?://[^\s/?#@;,'\"*]+/?", url):
        raise ValueError("must be a scheme, a host and perhaps a port, such as https://mailchimp.billmywork.example")
    return url.rstrip("/")


def _origins(urls: str) -> str:
    return " ".join(_origin(url) for url in urls.replace(",", " ").split())


_FilePath = Annotated[Path, AfterValidator(_file_path)]
_Properties = Annotated[dict[str, str | int | float | bool], BeforeValidator(_properties)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Kafka(_Section):
    """Where customer events come from."""

    bootstrap_servers: Annotated[str, Field(min_length=1)] = "localhost:9092"
    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,240}$")] = "billmywork.customers"
    group_id: Annotated[str, Field(min_length=1)] = "mailchimp-worker"
    group_protocol: Literal["classic", "consumer"] = "classic"
    client: _Properties = Field(default_factory=dict, repr=False)

    @property
    def ledger_topic(self) -> str:
        """The compacted topic that holds the ledger and the customer statuses."""
        return f"{self.topic}.ledger"

    @property
    def settings_topic(self) -> str:
        """The compacted topic that holds the accounts' settings."""
        return f"{self.topic}.settings"

    @property
    def outcomes_topic(self) -> str:
        """The compacted topic with each customer's outcome."""
        return f"{self.topic}.outcomes"


class Staging(_Section):
    """Where customers' newest states are stored."""

    path: _FilePath = Path("data/worker.db")
    keep_unowned_hours: Annotated[int, Field(ge=1, le=24 * 366)] = 24


class Flush(_Section):
    """When and how changed customers are delivered."""

    at: Annotated[str, AfterValidator(_clock_time)] = "10:00"
    timezone: Annotated[str, AfterValidator(_timezone)] = "Europe/London"
    accounts_at_once: Annotated[int, Field(ge=1, le=64)] = 8
    spread: Annotated[float, Field(ge=0, le=3600)] = 60
    bulk_add_above: Annotated[int, Field(ge=0)] = 1000

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

    allow_plain_http: bool = False
    base_url: Annotated[str, AfterValidator(_base_url), AfterValidator(_encrypted)] = (
        "https://{dc}.api.mailchimp.com/3.0"
    )
    connections: Annotated[int, Field(ge=1, le=10)] = 8
    timeout: Annotated[float, Field(gt=0, le=LONGEST_TIMEOUT)] = 120
    patience: Annotated[float, Field(ge=0, le=3600)] = 60
    state_if_missing: Annotated[str, Field(max_length=50), AfterValidator(str.strip)] = "-"


class Outcomes(_Section):
    """Whether each customer's outcome is published."""

    enabled: bool = True


class Receipts(_Section):
    """How long receipts are kept."""

    keep_days: Annotated[int, Field(ge=1)] = 400


class DeadLetters(_Section):
    """How long dead letters are kept, and how many."""

    keep_days: Annotated[int, Field(ge=1)] = 400
    keep_at_most: Annotated[int, Field(ge=0)] = 100_000


class Web(_Section):
    """Where the running worker answers: settings pages, API, health and metrics."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    token: Annotated[SecretStr, AfterValidator(_token)] = SecretStr("")
    public_url: Annotated[str, AfterValidator(_origin)] = ""
    worker_url: Annotated[str, AfterValidator(_origin)] = ""
    embed_origins: Annotated[str, AfterValidator(_origins)] = ""

    @property
    def url(self) -> str:
        """Where browsers reach the pages; without web.public_url, only from this machine."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        host = {"[::]": "[::1]"}.get(host, "127.0.0.1" if host == ALL_ADDRESSES else host)
        return self.public_url or f"http://{host}:{self.port}"

    @property
    def secure(self) -> bool:
        """Whether browsers use https, so that the cookie is sent over https only."""
        return bool(self.embed_origins) or self.public_url.startswith("https://")


class Log(_Section):
    """What the worker writes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


class Config(_Section):
    """The whole config. Read it with :func:`load`, which explains what is wrong."""

    kafka: Kafka = Kafka()
    staging: Staging = Staging()
    flush: Flush = Flush()
    mailchimp: Mailchimp = Mailchimp()
    outcomes: Outcomes = Outcomes()
    receipts: Receipts = Receipts()
    dead_letters: DeadLetters = DeadLetters()
    web: Web = Web()
    log: Log = Log()
    secret_key: SecretStr | None = None
    secret_key_file: Annotated[_FilePath, AfterValidator(_no_device)] | None = None
    previous_secret_key: SecretStr | None = None


class _Sources(BaseSettings, Config):
    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_nested_delimiter="__", enable_decoding=False)


class _File(TomlConfigSettingsSource):
    """The configuration file; malformed sections are left out and listed in ``problems``."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        self.problems: list[str] = []
        try:
            values = super()._read_file(file_path)
        except OSError as error:
            raise _unreadable(file_path, error.strerror) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"The configuration file {file_path} is not valid TOML: {error}.", "Correct that line."
            ) from error
        for name in list(values):
            if name in _VARIABLE_ONLY:
                self.problems.append(f"{name}: is set by its variable {_PREFIX}{name.upper()} only (in {file_path})")
                del values[name]
            elif name in Config.model_fields and not isinstance(values[name], dict):
                self.problems.append(f"{name} = {values.pop(name)!r}: must be a table, [{name}] (in {file_path})")
        return values


def load() -> Config:
    """Reads the operator's config.

    Returns:
        The checked config: from the file that ``WORKER_CONFIG`` names, or else ``config/worker.toml`` if it exists.
        An environment variable overrides the value in the file.

    Raises:
        ConfigError: a value is wrong or unknown; gives its name, its value, where it was set and what is allowed.
    """
    path = _file()
    file = _File(_Sources, path) if path is not None else None
    unknown = _unknown_variables()
    problems = [*(file.problems if file else ()), *(_no_such_setting(variable) for variable in unknown)]
    values = file() if file else {}
    for name, value in EnvSettingsSource(_Sources)().items():
        if f"{_PREFIX}{name.upper()}" not in unknown:
            values[name] = {**values.get(name, {}), **value} if isinstance(value, dict) else value
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        problems += [_explained(problem, path) for problem in error.errors()]
    if problems:
        raise ConfigError(
            "The configuration is wrong:" + "".join(f"\n  {problem}" for problem in problems),
            "Correct it; config/worker.toml lists every setting and what it may be.",
        )
    return config


def _file() -> Path | None:
    named = os.environ.get(_FILE_VARIABLE)
    if not named and not DEFAULT_FILE.exists():
        return None
    path = Path(named or DEFAULT_FILE)
    try:
        path.stat()
    except OSError as error:
        raise _unreadable(path, error.strerror) from error
    if not path.is_file():  # the library ignores anything else
        raise _unreadable(path, "It is not a file")
    return path


def _unreadable(file: Any, why: str | None) -> ConfigError:
    return ConfigError(
        f"The configuration file {file} cannot be read: {why}.",
        f"Check the option --config, the variable {_FILE_VARIABLE} and the rights of the file.",
    )


def _unknown_variables() -> list[str]:
    # Validation finds those of a section, like unknown values of the file.
    variables = (
        (name, value) for name, value in os.environ.items() if name.startswith(_PREFIX) and name != _FILE_VARIABLE
    )
    known = {f"{_PREFIX}{name}".upper() for name in _VARIABLE_ONLY}
    sections = tuple(f"{_PREFIX}{name}__".upper() for name in Config.model_fields.keys() - set(_VARIABLE_ONLY))
    return sorted(
        name
        for name, value in variables
        if not (name in known or name.startswith(sections) or _SERVICE_LINKS.fullmatch(f"{name}={value}"))
    )


def _no_such_setting(variable: str) -> str:
    known = [_FILE_VARIABLE, *(f"{_PREFIX}{name}".upper() for name in _VARIABLE_ONLY)]
    for section, field in Config.model_fields.items():
        settings: Iterable[str] = getattr(field.annotation, "model_fields", ())
        known += (f"{_PREFIX}{section}__{name}".upper() for name in settings)
    similar = get_close_matches(variable, known, 1, cutoff=_SIMILAR)
    hint = f"; did you mean {similar[0]}?" if similar else ""
    return f"{variable}: there is no such setting (in the environment){hint}"


def _explained(problem: Any, file: Path | None) -> str:
    where = [str(part) for part in problem["loc"]]
    name, variable = ".".join(where), _PREFIX + "__".join(part.upper() for part in where)
    if problem["type"] == "extra_forbidden":
        return _no_such_setting(variable) if variable in os.environ else f"{name}: there is no such setting (in {file})"
    rule = re.sub(r"^(Input|String) should", "must", str(problem["msg"]).removeprefix("Value error, "))
    value = problem["input"]
    shown = "" if name in _UNSHOWN else f" = {value if isinstance(value, time) else repr(value)}"
    return f"{name}{shown}: {rule} ({variable if variable in os.environ else f'in {file}'})"
