"""When a flush is due, by stored times, so that downtime and clock changes neither skip nor double a day.

A stored time in the future was written while this machine's clock was ahead, and is ignored.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from worker.clock import as_moment
from worker.store.runs import FlushTimes

CLOCK_TOLERANCE = timedelta(minutes=10)
"""How far clocks may differ or be corrected in normal operation."""
RETRY_AFTER = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4))
"""How long after each consecutive failure an account is retried. After the last it waits for the daily flush."""
REQUEST_LASTS = timedelta(minutes=10)
"""How long a flush request may wait for the worker."""
RUN_AGAIN_AFTER = (timedelta(seconds=10), timedelta(seconds=30), timedelta(minutes=1), timedelta(minutes=5))
"""How long after each consecutive failure a flush that could not be carried out at all is started again."""


def latest_flush_time(now: datetime, at: time, zone: ZoneInfo) -> datetime:
    """Returns the last time, not after now, at which the daily flush should have started.

    Args:
        now: aware.
        at: the local time of day. One that is skipped in spring counts as if clocks had not been put forward yet;
            of one that comes twice in autumn, the first.

    Returns:
        The time, aware and in UTC.
    """
    today = now.astimezone(zone).date()
    # One day ahead first: a change of the zone's offset may move a late flush time past midnight.
    candidates = (datetime.combine(today + timedelta(days=n), at, tzinfo=zone).astimezone(UTC) for n in (1, 0, -1, -2))
    return next(moment for moment in candidates if moment <= now)


def next_flush_time(now: datetime, at: time, zone: ZoneInfo) -> datetime:
    """Returns the first time after now at which a daily flush should start, aware and in UTC."""
    today = now.astimezone(zone).date()
    candidates = (datetime.combine(today + timedelta(days=n), at, tzinfo=zone).astimezone(UTC) for n in (-1, 0, 1, 2))
    return next(moment for moment in candidates if moment > now)


def is_due(now: datetime, at: time, zone: ZoneInfo, last_completed: datetime | None) -> bool:
    """Returns whether a flush is due, given the last completed one; always if there was none."""
    if last_completed is None or is_in_future(now, last_completed):
        return True
    return latest_flush_time(now, at, zone) > last_completed


def is_account_due(now: datetime, at: time, zone: ZoneInfo, times: FlushTimes) -> bool:
    """Returns whether a daily flush of an account is due.

    One that failed since the last flush time is retried as :func:`is_retry_due` says.
    """
    enabled = as_moment(times.enabled_at) if times.enabled_at is not None else None
    noted = (as_moment(text) for text in (times.completed_at, times.failed_at) if text is not None)
    last = max((moment for moment in noted if not is_in_future(now, moment)), default=None)
    return takes_part(enabled, latest_flush_time(now, at, zone), now) and is_due(now, at, zone, last)


def takes_part(enabled_at: datetime | None, flush_time: datetime, now: datetime) -> bool:
    """Returns whether the daily flush of a time delivers an account, which must have been enabled before that time.

    Without a time it was enabled by an earlier release. A time in the future comes from a clock that was ahead.
    """
    return enabled_at is None or enabled_at <= flush_time or is_in_future(now, enabled_at)


def is_in_future(now: datetime, stored: datetime) -> bool:
    """Returns whether a stored time is later than now by more than clocks may differ."""
    return stored > now + CLOCK_TOLERANCE


def next_retry(failures: int, failed_at: datetime) -> datetime | None:
    """Returns when an account is retried after consecutive failures; None for not before the daily flush.

    Args:
        failures: 1 or more.
    """
    return failed_at + RETRY_AFTER[failures - 1] if failures <= len(RETRY_AFTER) else None


def is_retry_due(now: datetime, at: time, zone: ZoneInfo, failures: int, failed_at: datetime) -> bool:
    """Returns whether an account that failed should be retried now, on its own.

    Not once a daily flush is due, which starts counting again.
    """
    retry = next_retry(failures, failed_at)
    if retry is None:
        return False
    if is_in_future(now, failed_at):
        return True
    return retry <= now and latest_flush_time(now, at, zone) <= failed_at


def is_expired(now: datetime, requested_at: datetime) -> bool:
    """Returns whether a flush request is too old to be carried out, or comes from a clock that was ahead."""
    return abs(now - requested_at) > REQUEST_LASTS


def run_again_at(failures: int, now: datetime) -> datetime:
    """Returns when to start a flush again that could not be carried out, such as after a database error.

    Args:
        failures: consecutive ones, 1 or more.
        now: when the last one failed.
    """
    return now + RUN_AGAIN_AFTER[min(failures, len(RUN_AGAIN_AFTER)) - 1]
