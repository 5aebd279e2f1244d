"""Whether a flush is due: by what is stored, so that downtime and clock changes neither skip nor double a day.

A stored time that lies in the future was written while this machine's clock was ahead. It counts as none.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from worker.clock import as_moment
from worker.store.runs import FlushTimes

CLOCK_TOLERANCE = timedelta(minutes=10)
"""Clocks differ by so much, and are put right by so much, without anybody being at fault."""
RETRY_AFTER = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4))
"""How long after each failure in a row an account is tried again. After the last it waits for the daily flush."""
REQUEST_LASTS = timedelta(minutes=10)
"""How long a request for a flush may wait until the worker takes it."""
RUN_AGAIN_AFTER = (timedelta(seconds=10), timedelta(seconds=30), timedelta(minutes=1), timedelta(minutes=5))
"""How long after each failure in a row a flush is begun again that could not be carried out at all."""


def latest_flush_time(now: datetime, at: time, zone: ZoneInfo) -> datetime:
    """Returns the last moment, not after now, at which the daily flush should have started.

    Args:
        now: aware.
        at: the local time of day. One that clocks skip in spring counts as if they had not been put forward yet;
            of one that comes twice in autumn, the first.

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
    """Tells whether what was last flushed then should be flushed now; at once where it never was."""
    if last_completed is None or is_in_future(now, last_completed):
        return True
    return latest_flush_time(now, at, zone) > last_completed


def is_account_due(now: datetime, at: time, zone: ZoneInfo, times: FlushTimes) -> bool:
    """Tells whether a daily flush of an account should be begun now.

    One that failed since the last flush time is tried again as :func:`is_retry_due` says.
    """
    enabled = as_moment(times.enabled_at) if times.enabled_at is not None else None
    noted = (as_moment(one) for one in (times.completed_at, times.failed_at) if one is not None)
    last = max((one for one in noted if not is_in_future(now, one)), default=None)
    return takes_part(enabled, latest_flush_time(now, at, zone), now) and is_due(now, at, zone, last)


def takes_part(enabled_at: datetime | None, flush_time: datetime, now: datetime) -> bool:
    """Tells whether the daily flush of a time delivers an account: it was enabled before that time.

    One without a time was enabled by an earlier release. A time in the future was noted by a clock that was ahead.
    """
    return enabled_at is None or enabled_at <= flush_time or is_in_future(now, enabled_at)


def is_in_future(now: datetime, stored: datetime) -> bool:
    """Tells whether a stored time cannot be right, because it is later than now by more than clocks may differ."""
    return stored > now + CLOCK_TOLERANCE


def next_retry(failures: int, failed_at: datetime) -> datetime | None:
    """Returns when an account is tried again that failed so many times in a row; None for not before the daily flush.

    Args:
        failures: 1 or more.
    """
    return failed_at + RETRY_AFTER[failures - 1] if failures <= len(RETRY_AFTER) else None


def is_retry_due(now: datetime, at: time, zone: ZoneInfo, failures: int, failed_at: datetime) -> bool:
    """Tells whether an account that failed should be tried again now, on its own.

    Not once a daily flush is due, which begins to count again.
    """
    retry = next_retry(failures, failed_at)
    if retry is None:
        return False
    if is_in_future(now, failed_at):
        return True
    return retry <= now and latest_flush_time(now, at, zone) <= failed_at


def is_expired(now: datetime, requested_at: datetime) -> bool:
    """Tells whether a request for a flush is too old to be carried out, or was made by a clock that was ahead."""
    return abs(now - requested_at) > REQUEST_LASTS


def run_again_at(failures: int, now: datetime) -> datetime:
    """Returns when to begin a flush again that could not be carried out, such as for an error of the database.

    Args:
        failures: how many in a row, 1 or more.
        now: when the last one failed.
    """
    return now + RUN_AGAIN_AFTER[min(failures, len(RUN_AGAIN_AFTER)) - 1]
