"""Clocks as arguments, times as text (UTC, ISO 8601 with a trailing ``Z``), and the protocol of a stop signal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

Clock = Callable[[], datetime]
"""Returns the time, aware and in UTC."""
Wait = Callable[[float], object]
"""Waits so many seconds, or less if the worker must stop."""


class Stop(Protocol):
    """Tells waiting threads to stop, like a ``threading.Event``."""

    def is_set(self) -> bool:
        """Returns whether to stop."""
        ...

    def wait(self, timeout: float) -> bool:
        """Waits up to `timeout` seconds; returns whether to stop."""
        ...


def utc_now() -> datetime:
    """Returns the machine's time."""
    return datetime.now(UTC)


def as_text(moment: datetime) -> str:
    """Returns a time as it is stored and printed, in milliseconds: ``2026-11-22T10:00:00.000Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def text_or_none(moment: datetime | None) -> str | None:
    """Returns a time as text; None for None."""
    return as_text(moment) if moment is not None else None


def as_moment(text: str) -> datetime:
    """Parses a time; without an offset it is UTC.

    Raises:
        ValueError: it is not an ISO 8601 time, or outside of the calendar once converted to UTC.
    """
    moment = datetime.fromisoformat(text)
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:  # the offset moves it out of the calendar
        raise ValueError(f"{text} is before the year 1 or after 9999 in UTC") from error


def moment_or_none(text: Any) -> datetime | None:
    """Parses a time that somebody else wrote; None if it is empty or no time."""
    try:
        return as_moment(text) if isinstance(text, str) and text else None
    except (ValueError, OverflowError):  # an offset may move a time out of the calendar
        return None
