"""When a running worker counts as live, and when as ready."""

from __future__ import annotations

import pytest

from tests.unit.consumer.test_owned_partitions import Timer
from worker.consumer.owned_partitions import OwnedPartitions
from worker.metrics import Metrics
from worker.web.health import FLUSH_STUCK_SECONDS, STALE_SECONDS, Conditions, Health


class Worker:
    """A worker by a clock of the test, that the main thread and the poll thread keep alive."""

    def __init__(self) -> None:
        self.timer = Timer()
        self.owned = OwnedPartitions(self.timer, follows=True)
        self.metrics = Metrics(self.timer)
        self.reads = True
        self.health = Health(self.owned, lambda: self.reads, self.metrics, self.timer)

    def goes_on(self, seconds: float, *, flushing: bool = False, polls: bool = True, ticks: bool = True) -> None:
        """Passes time, as the worker does each second."""
        until = self.timer.now + seconds
        while self.timer.now < until:
            self.timer.now += 1
            if polls:
                self.owned.session.polled()
            if ticks:
                self.health.checked(flushing=flushing)


@pytest.fixture
def worker() -> Worker:
    """One that has just started."""
    return Worker()


def missing(conditions: Conditions) -> set[str]:
    """The conditions that do not hold."""
    return {name for name, reason in conditions.items() if reason is not None}


def test_a_worker_that_polls_and_looks_is_live(worker: Worker) -> None:
    """From its start on, also before it has polled for the first time."""
    assert missing(worker.health.live()) == set()
    worker.goes_on(1000)
    assert missing(worker.health.live()) == set()


def test_a_poll_loop_that_stands_still_is_not_live(worker: Worker) -> None:
    """Two minutes after its last poll, after a start without any, or at once where its thread has ended."""
    worker.goes_on(STALE_SECONDS, polls=False)
    assert missing(worker.health.live()) == {"poll_loop"}
    worker.goes_on(1)
    assert missing(worker.health.live()) == set()
    worker.goes_on(STALE_SECONDS, polls=False)
    assert worker.health.live()["poll_loop"] == "Kafka was not polled for 120 seconds."
    worker.goes_on(1)
    worker.reads = False
    assert missing(worker.health.live()) == {"poll_loop"}


def test_a_main_thread_that_starts_no_flush_any_more_is_not_live(worker: Worker) -> None:
    """Such as one that waits for a lock without end."""
    worker.goes_on(STALE_SECONDS, ticks=False)
    assert missing(worker.health.live()) == {"flush_thread"}


def test_a_flush_that_does_nothing_for_half_an_hour_is_not_live(worker: Worker) -> None:
    """One that makes calls or writes receipts is, however long it lasts."""
    worker.goes_on(FLUSH_STUCK_SECONDS * 2)
    worker.goes_on(FLUSH_STUCK_SECONDS - 1, flushing=True)
    assert missing(worker.health.live()) == set()
    worker.metrics.called("account", "2xx", 1.0)
    worker.goes_on(FLUSH_STUCK_SECONDS - 1, flushing=True)
    worker.metrics.contacts_recorded({"added": 1})
    worker.goes_on(FLUSH_STUCK_SECONDS - 1, flushing=True)
    assert missing(worker.health.live()) == set()
    worker.goes_on(1, flushing=True)
    assert worker.health.live()["flush_thread"] == "A flush did nothing for 1800 seconds."
    worker.goes_on(1)
    assert missing(worker.health.live()) == set()


def test_a_worker_is_ready_once_it_is_a_member_and_has_read_the_changelog(worker: Worker) -> None:
    """Step by step, each with what is missing."""
    worker.goes_on(1)
    assert missing(worker.health.ready()) == {"changelog_read", "group_member"}
    worker.owned.assigned({3: (0, 100)})
    assert missing(worker.health.ready()) == {"changelog_read"}
    worker.owned.settings_read()
    assert worker.health.ready()["changelog_read"] == "The ledger of these partitions is not read yet: 3."
    worker.owned.ledger_read(3, 1)
    assert missing(worker.health.ready()) == set()


def test_a_worker_without_partitions_is_ready(worker: Worker) -> None:
    """Others have them all; it takes over when one of them ends."""
    worker.owned.settings_read()
    worker.owned.assigned({})
    assert missing(worker.health.ready()) == set()


def test_a_worker_that_kafka_does_not_answer_or_has_fenced_is_not_ready(worker: Worker) -> None:
    """It is live all the same, while it tries: its restart would not bring Kafka back."""
    worker.owned.settings_read()
    worker.owned.assigned({})
    worker.goes_on(STALE_SECONDS)
    assert missing(worker.health.ready()) == {"group_member"}
    assert missing(worker.health.live()) == set()
    worker.owned.session.answered()
    assert missing(worker.health.ready()) == set()
    worker.owned.fenced()
    assert missing(worker.health.ready()) == {"group_member"}


def test_a_worker_whose_ledger_or_settings_topic_is_deleted_is_not_ready(worker: Worker) -> None:
    """With the reason, once that lasts two minutes: a broker that restarts makes no worker unready."""
    worker.owned.assigned({0: (0, 0)})
    worker.owned.settings_read()
    worker.owned.ledger_read(0, 1)
    worker.owned.session.answered()
    worker.goes_on(1)
    assert worker.health.ready()["changelog_read"] is None
    worker.owned.changelog_faults["_follow_settings"] = "Kafka has no topic t.settings. Run move-ledger."
    worker.goes_on(STALE_SECONDS - 1)
    assert worker.health.ready()["changelog_read"] is None
    worker.goes_on(2)
    assert worker.health.ready()["changelog_read"] == "Kafka has no topic t.settings. Run move-ledger."
    worker.owned.changelog_faults.clear()
    worker.goes_on(1)
    assert worker.health.ready()["changelog_read"] is None
