"""Whether a flush is due: by what is stored, so that downtime and clock changes neither skip nor double a day."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo


def latest_flush_time(now: datetime, at: time, zone: ZoneInfo) -> datetime:
    """Returns the last moment, not after now, at which the daily flush should have started.

    Args:
        now: aware.
        at: the local time of day. One that clocks skip in spring counts as if they had not been put forward yet;
            of one that comes twice in autumn, the first.
        zone: the zone of that local time.

    Returns:
        The moment, aware and in UTC.
    """
    today = now.astimezone(zone).date()
    # One day ahead first: where a zone's change moves a late flush time past midnight, today's is not the last.
    candidates = (datetime.combine(today + timedelta(days=n), at, tzinfo=zone).astimezone(UTC) for n in (1, 0, -1, -2))
    return next(moment for moment in candidates if moment <= now)


def next_flush_time(now: datetime, at: time, zone: ZoneInfo) -> datetime:
    """Returns the first moment after now at which a daily flush should start, aware and in UTC."""
    today = now.astimezone(zone).date()
    candidates = (datetime.combine(today + timedelta(days=n), at, tzinfo=zone).astimezone(UTC) for n in (-1, 0, 1, 2))
    return next(moment for moment in candidates if moment > now)


def is_due(now: datetime, at: time, zone: ZoneInfo, last_completed: datetime | None) -> bool:
    """Tells whether a partition whose last completed run was then should be flushed now.

    One that never had a completed run is due at once.
    """
    return last_completed is None or latest_flush_time(now, at, zone) > last_completed
