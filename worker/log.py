"""The worker's log on standard error: lines for people or JSON, without API keys and email addresses.

A line is a sentence. Its facts are in ``extra``, with one name each everywhere: account, run, partition, list, count,
seconds.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import MutableMapping
from functools import cached_property
from typing import Any

from worker.config import Log
from worker.text.escape import visible
from worker.text.redaction import redacted, without_addresses

_TRACEBACKS = ("exception", "stack")


class _Formatter(logging.Formatter):
    """Formats lines with structlog, which is imported with the first line, since most commands write none."""

    def __init__(self, settings: Log) -> None:
        super().__init__()
        self._settings = settings

    def format(self, record: logging.LogRecord) -> str:
        return self._by_structlog.format(record)

    @cached_property
    def _by_structlog(self) -> logging.Formatter:
        import structlog

        shared: list[Any] = [
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),  # the facts in ``extra``
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
        ]
        rendered: Any = (
            structlog.processors.JSONRenderer(ensure_ascii=False)
            if self._settings.format == "json"
            else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        )
        return structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _spell_out, rendered, _redact],
        )


def configure(settings: Log) -> None:
    """Sends this process's log to standard error, including warnings and uncaught exceptions of threads."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(settings))
    root = logging.getLogger()
    root.handlers = [handler]
    handler.name = settings.format  # for writes_json
    root.setLevel(settings.level.upper())
    logging.captureWarnings(capture=True)
    threading.excepthook = _thread_failed
    for chatty in ("urllib3", "uvicorn", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    asyncio_log = logging.getLogger("asyncio")
    if not any(isinstance(known, _OnceAMinute) for known in asyncio_log.filters):
        asyncio_log.addFilter(_OnceAMinute())


class _OnceAMinute(logging.Filter):
    """Drops a message that was logged less than a minute ago.

    Without free file descriptors, asyncio logs each connection that it cannot accept: 2,048 lines a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: tuple[str, float] | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        message, at = record.getMessage(), time.monotonic()
        if self._last is not None and self._last[0] == message and at < self._last[1] + 60:
            return False
        self._last = message, at
        return True


def writes_json() -> bool:
    """Returns whether the log is JSON; False before the log is configured."""
    return any(handler.name == "json" for handler in logging.getLogger().handlers)


def _spell_out(logger: Any, method: str, facts: MutableMapping[str, Any]) -> dict[str, Any]:
    # Before the line is rendered, so that the renderer's colours and line ends stay.
    return {name: _spelled_out(value, "\n" if name in _TRACEBACKS else "") for name, value in facts.items()}


def _spelled_out(value: Any, keep: str = "") -> Any:
    match value:
        case str():
            return visible(value, keep)
        case dict():
            return {_spelled_out(name): _spelled_out(item) for name, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_spelled_out(item) for item in value]
    return value


def _redact(logger: Any, method: str, line: Any) -> str:
    # Last of all, so that it sees everything in the line.
    return without_addresses(redacted(line))


def _thread_failed(fault: threading.ExceptHookArgs) -> None:
    if fault.exc_type is not SystemExit:
        name = fault.thread.name if fault.thread is not None else "that ended"
        logging.getLogger("worker").error(
            "internal error in the thread %s", name, exc_info=fault.exc_value, extra={"thread_name": name}
        )
