"""Times as the database keeps them: ISO 8601 text in UTC, of one width, so that text order is time order."""

from __future__ import annotations

from datetime import UTC, datetime


def to_text(at: datetime) -> str:
    """Returns an aware time as text, in UTC to the millisecond, such as ``2026-11-22T10:00:00.000Z``."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_text(text: str) -> datetime:
    """Returns the aware time that :func:`to_text` wrote."""
    return datetime.fromisoformat(text)
