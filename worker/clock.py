"""Time as an argument, and as text: aware, in UTC, ISO 8601 with a trailing ``Z``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the time, aware and in UTC."""


def utc_now() -> datetime:
    """Returns the time of the machine."""
    return datetime.now(UTC)


def as_text(moment: datetime) -> str:
    """Returns a moment as it is stored and printed, in milliseconds: ``2026-11-22T10:00:00.000Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_moment(text: str) -> datetime:
    """Returns the moment that a text names; without an offset it is UTC.

    Raises:
        ValueError: it is no ISO 8601 time, or one that UTC has no date for.
    """
    moment = datetime.fromisoformat(text)
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:  # an offset may carry a time out of the calendar
        raise ValueError(f"{text} is before the year 1 or after 9999 in UTC") from error
