"""What the poll thread logs and counts of its reading."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.consumer.test_owned_partitions import Timer
from worker.consumer.owned_partitions import Lag, OwnedPartitions
from worker.consumer.report import ConsumerReport
from worker.metrics import Metrics

WALL = 1_800_000_000.0


class Report:
    """A report by a clock of the test, on one partition with records from offset 0 to 100."""

    def __init__(self) -> None:
        self.timer = Timer()
        self.owned = OwnedPartitions(self.timer)
        self.metrics = Metrics()
        self.report = ConsumerReport("t", self.owned, self.metrics, self.timer, lambda: WALL + self.timer.now)
        self.end = 100
        self.owned.assigned({0: (0, 100)})

    def get_watermark_offsets(self, place: object, cached: bool) -> tuple[int, int]:
        """What librdkafka knows of the end."""
        assert cached
        return 0, self.end

    def at(self, now: float) -> None:
        """Sets the clock and looks, as before a poll; a broker has just answered."""
        self.timer.now = now
        self.owned.session.answered()
        self.report.look(self)

    def read_to(self, offset: int, age: float) -> None:
        """Reads and stages up to an offset; the last record has that age."""
        message: Any = SimpleNamespace(
            partition=lambda: 0, error=lambda: None, timestamp=lambda: (1, int((WALL + self.timer.now - age) * 1000))
        )
        self.report.read([message])
        self.report.staged({"staged": 10}, None)
        self.owned.read_to(0, offset, at_end=False)


@pytest.fixture
def report() -> Report:
    """One that has begun."""
    return Report()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The messages since this was asked last."""
    found = [one.getMessage() for one in caplog.records]
    caplog.clear()
    return found


def test_progress_is_logged_while_reading_is_behind_and_once_at_the_end(
    report: Report, caplog: pytest.LogCaptureFixture
) -> None:
    """Every ten seconds, with how much of it is read and how fast; a worker that is up to date says nothing."""
    caplog.set_level(logging.INFO)
    for second in range(1, 13):
        report.at(second)
        report.read_to(second * 5, 0)
    (line,) = caplog.records
    assert line.getMessage() == "reading what was published before"
    assert {one: vars(line)[one] for one in ("records", "of", "per_second", "seconds")} == {
        "records": 50,
        "of": 100,
        "per_second": 10,
        "seconds": 10,
    }
    lines(caplog)
    report.read_to(100, 0)
    report.at(14)
    assert lines(caplog) == ["read to the end"]
    for second in range(15, 60):
        report.at(second)
    assert lines(caplog) == []


def test_dead_letters_are_one_warning_a_minute_with_the_first_reason(
    report: Report, caplog: pytest.LogCaptureFixture
) -> None:
    """However many come: a flood of them must not fill the log too."""
    caplog.set_level(logging.WARNING)
    for second in range(1, 70):
        report.report.staged({"dead_letter": 2}, f"reason {second}")
        report.at(second)
    first, second_line = caplog.records
    assert (vars(first)["count"], vars(first)["reason"]) == (2, "reason 1")
    assert (vars(second_line)["count"], vars(second_line)["reason"]) == (120, "reason 2")
    assert second_line.getMessage() == "new dead letters: 120. First reason: reason 2"
    report.report.end()
    report.report.end()
    assert vars(caplog.records[-1])["count"] == 16
    assert len(caplog.records) == 3
    assert report.metrics.events == {"dead_letter": 138}


def test_an_outage_of_the_brokers_is_a_warning_and_its_end_is_logged(
    report: Report, caplog: pytest.LogCaptureFixture
) -> None:
    """With the reason that librdkafka gives, and how long it lasts."""
    caplog.set_level(logging.INFO)
    report.owned.read_to(0, 100, at_end=True)
    report.timer.now = 5
    report.report.away("1/1 brokers are down")
    report.report.look(report)
    report.at(10)
    away, back = caplog.records
    assert (away.levelname, back.levelname) == ("WARNING", "INFO")
    assert "1/1 brokers are down" in away.getMessage()
    assert vars(back)["seconds"] == 5


def test_the_lag_is_known_from_what_librdkafka_knows(report: Report) -> None:
    """Records are counted by offsets; how old they are by the last one that was read, or since the end was reached."""
    assert report.owned.lags(WALL) == {0: Lag(0, 0.0)}
    report.at(1)
    assert report.owned.lags(WALL) == {0: Lag(100, None)}
    report.read_to(40, age=3600)
    assert report.owned.lags(WALL + 1) == {0: Lag(60, 3600.0)}
    report.owned.read_to(0, 100, at_end=True)
    report.at(10)
    assert report.owned.lags(WALL + 10) == {0: Lag(0, 0.0)}
    report.end = 101
    report.at(500)
    assert report.owned.lags(WALL + 500) == {0: Lag(1, 490.0)}
