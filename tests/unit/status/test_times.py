"""Times as an operator says them, the next flush and the one under way."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from worker.clock import as_text
from worker.model import AccountId
from worker.status.next_flush import next_flush, running_flush, running_in_words
from worker.status.times import in_words, span_in_words
from worker.store.run_result import RunResult
from worker.store.runs import AccountRun, Run

LONDON = ZoneInfo("Europe/London")
TEN = time(10)


def at(text: str) -> datetime:
    """A moment in November 2026, when London has UTC."""
    return datetime.fromisoformat(f"2026-11-{text}:00+00:00")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"), (1, "1 second"), (59, "59 seconds"), (60, "1 minute"), (1080, "18 minutes"),
        (7100, "118 minutes"), (7200, "2 hours"), (86_000, "24 hours"), (200_000, "2 days"), (-1080, "18 minutes"),
    ],
)  # fmt: skip
def test_a_span_is_said_in_its_largest_unit(seconds: int, words: str) -> None:
    """Rounded, and with the right plural."""
    assert span_in_words(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        ("22T10:00", "today at 10:00, in 18 minutes"),
        ("23T10:00", "tomorrow at 10:00, in 24 hours"),
        ("21T10:00", "yesterday at 10:00, 24 hours ago"),
        ("22T09:00", "today at 09:00, 42 minutes ago"),
        ("27T10:00", "Fri 27 Nov at 10:00, in 5 days"),
    ],
)
def test_a_moment_is_said_by_its_day(moment: str, words: str) -> None:
    """With how far away it is."""
    assert in_words(at(moment), at("22T09:42"), LONDON) == words


@pytest.mark.parametrize(
    ("now", "due", "running", "words"),
    [
        ("22T09:42", False, True, "today at 10:00, in 18 minutes"),
        ("22T10:05", False, True, "tomorrow at 10:00, in 24 hours"),
        ("22T10:05", False, False, "tomorrow at 10:00, in 24 hours, if a worker runs then"),
        ("22T10:05", True, True, "due since today at 10:00: starts as soon as everything is read"),
        ("22T12:00", True, False, "due since today at 10:00: starts when a worker runs"),
    ],
)
def test_the_next_flush_is_the_one_that_will_be(now: str, due: bool, running: bool, words: str) -> None:
    """One that is due already is said to be, and what it waits for."""
    assert next_flush(at(now), TEN, LONDON, due=due, running=running)[1] == words


@pytest.mark.parametrize(
    ("settled", "words"),
    [
        (5000, "run 7: 5000 of 20000 customers, 15000 left, 50 a second, ends today at 10:06, in 5 minutes"),
        (10, "run 7: 10 of 20010 customers, 20000 left, 6 a minute, ends Tue 24 Nov at 17:35, in 2 days"),
        (0, "run 7: 0 of 20000 customers, 20000 left, began today at 10:00, 2 minutes ago"),
    ],
)
def test_a_flush_under_way_is_said_with_its_rate_and_end(settled: int, words: str) -> None:
    """By what it settled since it began."""
    one, two, ended = (AccountId(name) for name in "abc")
    parts = (
        AccountRun(one, {}, 15_000, settled, RunResult.STOPPED),
        AccountRun(two, {}, 5000, 0, RunResult.STOPPED),
        AccountRun(ended, {}, 3, 0, RunResult.HELD),
    )
    waiting = {one: 15_000 if settled < 5000 else 10_000, two: 5000, ended: 3}
    now = datetime(2026, 11, 22, 10, 1, 40, tzinfo=UTC)
    run = Run(7, as_text(at("22T10:00")), None, "daily", None, None, parts)
    assert running_in_words(running_flush(run, waiting, now), now, LONDON) == words
