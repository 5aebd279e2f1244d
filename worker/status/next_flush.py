"""The time of the next daily flush, and the progress of a running one. Does no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from worker.clock import as_moment
from worker.flush.schedule import latest_flush_time, next_flush_time
from worker.model import AccountId
from worker.status.times import in_words, moment_in_words
from worker.store.run_result import RunResult
from worker.store.runs import Run
from worker.text.plural import counted


def next_flush(now: datetime, at: time, zone: ZoneInfo, *, due: bool, running: bool) -> tuple[datetime, str]:
    """Returns when the next daily flush starts, or should have started if it is due; also in words.

    Args:
        now: aware.
        at: the local time of day.
        due: whether a flush of some account has yet to start.
        running: whether a worker is running that will start it.
    """
    if due:
        since = latest_flush_time(now, at, zone)
        starts = "starts as soon as everything is read" if running else "starts when a worker runs"
        return since, f"due since {moment_in_words(since, now, zone)}: {starts}"
    moment = next_flush_time(now, at, zone)
    words = in_words(moment, now, zone)
    return moment, words if running else f"{words}, if a worker runs then"


@dataclass(frozen=True, slots=True)
class RunningFlush:
    """The progress of a running flush.

    Attributes:
        to_do: customers settled or left.
        left: changed customers, including those that changed since it began, of accounts whose part has not ended.
        per_second: customers settled per second since it began.
        ends_at: when it ends at this rate; None before anything is settled.
    """

    run: int
    started_at: str
    settled: int
    to_do: int
    left: int
    per_second: float
    ends_at: datetime | None


def running_flush(run: Run, waiting: Mapping[AccountId, int], now: datetime) -> RunningFlush:
    """Returns the progress of a run that has not ended.

    Args:
        waiting: how many changed customers each account has now.
    """
    settled = sum(part.settled for part in run.accounts)
    # Until a part has ended, it is stored as stopped, as it would be after a crash.
    left = sum(waiting.get(part.account_id, 0) for part in run.accounts if part.ended is RunResult.STOPPED)
    seconds = max((now - as_moment(run.started_at)).total_seconds(), 0.001)
    rate = settled / seconds
    ends_at = now + timedelta(seconds=left / rate) if settled else None
    return RunningFlush(run.run, run.started_at, settled, settled + left, left, rate, ends_at)


def running_flush_of(
    account_id: AccountId, under_way: Sequence[Run], waiting: int, now: datetime
) -> RunningFlush | None:
    """Returns the progress of one account's part of a running flush; None if no running flush delivers it.

    Args:
        waiting: how many changed customers the account has now.
    """
    for run in under_way:
        own = tuple(part for part in run.accounts if part.account_id == account_id and part.ended is RunResult.STOPPED)
        if own:
            return running_flush(replace(run, accounts=own), {account_id: waiting}, now)
    return None


def delivering(under_way: Sequence[Run]) -> frozenset[AccountId]:
    """Returns the accounts that running runs deliver, or will."""
    parts = (part for run in under_way for part in run.accounts)
    return frozenset(part.account_id for part in parts if part.ended is RunResult.STOPPED)


def running_in_words(flush: RunningFlush, now: datetime, zone: ZoneInfo) -> str:
    """Returns the progress as text: "run 7: 5000 of 20000 customers, 15000 left, 50 a second, ends today at 10:06"."""
    words = f"run {flush.run}: {flush.settled} of {counted(flush.to_do, 'customer')}, {flush.left} left"
    if flush.ends_at is None:
        return f"{words}, began {in_words(as_moment(flush.started_at), now, zone)}"
    rate = f"{flush.per_second:.0f} a second" if flush.per_second >= 1 else f"{flush.per_second * 60:.0f} a minute"
    return f"{words}, {rate}, ends {in_words(flush.ends_at, now, zone)}"
