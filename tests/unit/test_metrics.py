"""What a process counts."""

from __future__ import annotations

from math import inf

from worker.metrics import Histogram, Metrics


def test_a_histogram_counts_each_duration_in_every_bound_that_is_not_shorter() -> None:
    """A duration just at a bound is within it, and none is lost beyond the last."""
    one = Histogram((1.0, 5.0))
    for seconds in (0.5, 1.0, 1.5, 60.0):
        one.observe(seconds)
    assert one.cumulated() == [(1.0, 2), (5.0, 3), (inf, 4)]
    assert one.total == 63.0


def test_a_snapshot_stays_as_it_is_while_more_is_counted() -> None:
    """What is shown is of one moment."""
    metrics = Metrics()

    def count() -> None:
        metrics.events_read({"staged": 2})
        metrics.called("ping", "2xx", 0.2)
        metrics.contacts_recorded({"added": 3})
        metrics.flushed("done", 7.0)
        metrics.changelog_written(0.01)

    count()
    then = metrics.snapshot()
    count()
    assert (then.events["staged"], then.calls["ping", "2xx"], then.contacts["added"]) == (2, 1, 3)
    assert (then.flushes["done"], then.flush_seconds.total) == (1, 7.0)
    assert then.call_seconds["ping"].cumulated()[-1] == (inf, 1)
    assert metrics.snapshot().changelog_write_seconds.cumulated()[-1] == (inf, 2)


def test_a_call_and_a_receipt_show_that_a_flush_goes_on() -> None:
    """What else is counted does not."""
    now = 0.0
    metrics = Metrics(lambda: now)
    now = 100.0
    metrics.events_read({"staged": 1})
    assert metrics.seconds_idle() == 100.0
    metrics.called("ping", "2xx", 0.2)
    assert metrics.seconds_idle() == 0.0
