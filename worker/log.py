"""What the worker writes to standard error: lines for people or JSON, never an API key or an email address.

A line is a sentence with its facts as ``extra``, by one name each: account, run, partition, list, count, seconds.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from typing import Any

import structlog

from worker.config import Log

_KEY = re.compile(r"(?<![0-9A-Za-z])[0-9A-Za-z]{16,}-[A-Za-z]{2,}[0-9]{1,3}\b")
"""A Mailchimp API key: letters and digits, a dash and the data centre. Looked for only where letters and digits begin:
otherwise a long text without a dash is read again from each of its letters."""
_SENT = re.compile(r"\bBasic [0-9A-Za-z+/=]{8,}")
"""The header by which it is sent."""
_ADDRESS = re.compile(r"(?<![\w.+-])[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(\.[\w-]+)+")
"""An email address, wherever it stands: in a field, in an answer of Mailchimp, in a traceback."""
_hidden: set[str] = set()


def hide(secret: str) -> None:
    """Keeps a secret out of everything that is written from now on, whatever it looks like."""
    _hidden.add(secret)


def redacted(text: str) -> str:
    """Returns a text without hidden secrets and whatever looks like an API key, but for their last four characters."""
    for secret in sorted(_hidden, key=len, reverse=True):  # one may be the beginning of another
        text = text.replace(secret, f"…{secret[-4:]}")
    return _SENT.sub("Basic …", _KEY.sub(lambda found: f"…{found[0][-4:]}", text))


def without_addresses(text: str) -> str:
    """Returns a text in which email addresses are left out."""
    return _ADDRESS.sub("…@…", text) if "@" in text else text


def configure(settings: Log) -> None:
    """Sends all of this process's log to standard error, as the operator chose: warnings and threads' faults too."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),  # the facts that a line was given as ``extra``
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    rendered: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, rendered, _redact],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.level.upper())
    logging.captureWarnings(capture=True)
    threading.excepthook = _thread_failed
    for chatty in ("urllib3", "uvicorn", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _redact(logger: Any, method: str, line: Any) -> str:
    # Last of all: nothing that comes into a line on any way passes it by.
    return without_addresses(redacted(line))


def _thread_failed(fault: threading.ExceptHookArgs) -> None:
    if fault.exc_type is not SystemExit:
        name = fault.thread.name if fault.thread is not None else "that ended"
        logging.getLogger("worker").error("internal error in the thread %s", name, exc_info=fault.exc_value)
