"""Ledger and settings are followed by threads of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from worker.changelog.loss import Note
from worker.changelog.table_rows import ChangelogRow
from worker.changelog.tail import ChangelogTail
from worker.changelog.topics import ChangelogTopic, ChangelogTopics
from worker.consumer.owned_partitions import OwnedPartitions
from worker.errors import KafkaError, LedgerLost
from worker.sqlite.database import Database, open_database

SECONDS = 10.0


class FakeWriter:
    """Takes partitions, and notes which; the tests hold the reading of one."""

    def __init__(self) -> None:
        self.topics = ChangelogTopics(ChangelogTopic("x.ledger", "id-1", 2), ChangelogTopic("x.settings", "id-2", 1))
        self.taken: list[int] = []
        self.written: list[ChangelogRow] = []
        self.ledger_steps = threading.Semaphore(0)
        self.lost: Callable[[int, bool], None] = lambda partition, fenced: None

    def take(self, topic: ChangelogTopic, partition: int, read: Callable[[], None]) -> None:
        """Takes a partition and reads it."""
        read()
        self.taken.append(partition)

    def take_all_settings(self, read: Callable[[int], None]) -> None:
        """Takes the settings."""
        read(0)

    def keep_only(self, partitions: Any) -> None:
        """Counts."""
        self.ledger_steps.release()

    def write_through(self, db: Database, rows: list[ChangelogRow]) -> None:
        """Notes what is written."""
        self.written += rows


class FakeReader:
    """Reads nothing; the ledger for as long as a test wants."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.settings_reads = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()
        self.fails: KafkaError | None = None
        self.ledger_fails: KafkaError | None = None
        self.ledger_gone: KafkaError | None = None

    def apply_dead_letters(self) -> int:
        """Applies none."""
        return 0

    def read_settings(self, partition: int | None = None) -> None:
        """Counts."""
        self.settings_reads.release()

    def check_topics(self) -> None:
        """Raises what a test wants."""
        if self.fails is not None:
            raise self.fails

    def check_ledger_exists(self) -> None:
        """Raises what a test wants."""
        if self.ledger_gone is not None:
            raise self.ledger_gone

    def read_ledger(self, partition: int, wanted: Callable[[], bool]) -> None:
        """Reads until the test lets it end, or fails."""
        if self.ledger_fails is not None:
            raise self.ledger_fails
        assert self.go_on.wait(SECONDS)

    def ledger_note(self) -> Note | None:
        """Knows none."""
        return None

    def settings_note(self, partition: int) -> Note | None:
        """Knows none."""
        return None

    def close(self) -> None:
        """Does nothing."""


@contextmanager
def following(reader: FakeReader, changelog: FakeWriter, owned_partitions: OwnedPartitions) -> Iterator[ChangelogTail]:
    """Follows as long as the context lasts."""
    made: Any = ChangelogTail
    tail: ChangelogTail = made(lambda: open_database(":memory:"), lambda db: reader, changelog)
    tail.start(owned_partitions)
    try:
        yield tail
    finally:
        reader.go_on.set()
        tail.end(SECONDS)


def eventually(condition: Callable[[], bool]) -> None:
    """Waits until something holds."""
    ends = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.fixture
def reader() -> Iterator[FakeReader]:
    """A reader."""
    db = open_database(":memory:")
    yield FakeReader(db)
    db.close()


def test_settings_are_followed_while_a_large_ledger_is_read(reader: FakeReader, monkeypatch: Any) -> None:
    """An account that is disabled elsewhere is known here before the ledger is read to its end."""
    monkeypatch.setattr("worker.changelog.tail.LOOK_SECONDS", 0.01)
    reader.go_on.clear()
    changelog, owned_partitions = FakeWriter(), OwnedPartitions(follows=True)
    owned_partitions.assigned({0: (0, 0)})
    with following(reader, changelog, owned_partitions):
        for _ in range(20):
            assert reader.settings_reads.acquire(timeout=SECONDS)
        assert changelog.taken == []
        assert owned_partitions.ready() == set()
        reader.go_on.set()
        assert owned_partitions.wait_until_ready(SECONDS)
    assert changelog.taken == [0]


def test_topics_that_say_nothing_of_each_other_are_told_to(reader: FakeReader, monkeypatch: Any) -> None:
    """At the first start, so that a later one notices when one of them was recreated."""
    monkeypatch.setattr("worker.changelog.tail.LOOK_SECONDS", 0.01)
    changelog, owned_partitions = FakeWriter(), OwnedPartitions(follows=True)
    owned_partitions.assigned({1: (0, 0)})
    with following(reader, changelog, owned_partitions):
        assert owned_partitions.wait_until_ready(SECONDS)
    assert changelog.written[0] == Note("x.ledger", "id-1", 2).of_ledger()
    assert Note("x.settings", "id-2").of_settings(1) in changelog.written


def test_no_ledger_is_taken_when_the_topics_are_not_whole(reader: FakeReader, monkeypatch: Any) -> None:
    """The worker ends with what is wrong."""
    monkeypatch.setattr("worker.changelog.tail.LOOK_SECONDS", 0.01)
    reader.fails = LedgerLost("recreated", "say so")
    changelog, owned_partitions = FakeWriter(), OwnedPartitions(follows=True)
    owned_partitions.assigned({0: (0, 0)})
    with following(reader, changelog, owned_partitions) as tail:
        for thread in tail._threads[:1]:
            thread.join(SECONDS)
        with pytest.raises(LedgerLost):
            tail.check()
    assert changelog.taken == []
    assert changelog.written == []


def test_a_ledger_that_nobody_reads_any_more_is_not_said_to_be_read_again(
    reader: FakeReader, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """While Kafka is away, the worker loses its partitions, and then has nothing to read: that is no answer."""
    monkeypatch.setattr("worker.changelog.tail.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("worker.changelog.tail.STOP_SECONDS", 0.01)
    monkeypatch.setattr("worker.kafka.outage.SETTLED_SECONDS", 0.0)
    caplog.set_level("INFO")
    reader.ledger_fails = KafkaError("No Kafka broker answers.", "Check the network.")
    changelog, owned_partitions = FakeWriter(), OwnedPartitions(follows=True)
    owned_partitions.assigned({0: (0, 0)})
    with following(reader, changelog, owned_partitions):
        while "cannot be read now" not in caplog.text:
            assert reader.settings_reads.acquire(timeout=SECONDS)
        owned_partitions.removed([0])
        for _ in range(5):
            assert changelog.ledger_steps.acquire(timeout=SECONDS)
    assert "can be read again" not in caplog.text


def test_a_ledger_topic_that_is_deleted_after_it_was_read_is_a_fault_until_it_exists_again(
    reader: FakeReader, monkeypatch: Any
) -> None:
    """Between flushes nothing else asks for it."""
    monkeypatch.setattr("worker.changelog.tail.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("worker.changelog.tail.LEDGER_SECONDS", 0.0)
    owned_partitions = OwnedPartitions(follows=True)
    owned_partitions.assigned({0: (0, 0)})
    with following(reader, FakeWriter(), owned_partitions):
        assert owned_partitions.wait_until_ready(SECONDS)
        reader.ledger_gone = KafkaError("No topic t.ledger.", "Run move-ledger.")
        eventually(lambda: list(owned_partitions.changelog_faults.values()) == ["No topic t.ledger. Run move-ledger."])
        reader.ledger_gone = None
        eventually(lambda: not owned_partitions.changelog_faults)
