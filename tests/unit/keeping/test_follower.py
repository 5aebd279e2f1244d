"""Ledger and settings are followed by threads of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from worker.consuming.ownership import Ownership
from worker.errors import KafkaError, LedgerLost
from worker.keeping.follower import Follower
from worker.keeping.loss import Note
from worker.keeping.topics import KeptTopic, KeptTopics
from worker.staging.database import Database, open_database
from worker.staging.kept import Kept

SECONDS = 10.0


class FakeKeeper:
    """Takes partitions, and notes which; the tests hold the reading of one."""

    def __init__(self) -> None:
        self.topics = KeptTopics(KeptTopic("x.ledger", "id-1", 2), KeptTopic("x.settings", "id-2", 1))
        self.taken: list[int] = []
        self.written: list[Kept] = []
        self.lost: Callable[[int, bool], None] = lambda partition, fenced: None

    def take(self, topic: KeptTopic, partition: int, read: Callable[[], None]) -> None:
        """Takes a partition and reads it."""
        read()
        self.taken.append(partition)

    def take_all_settings(self, read: Callable[[int], None]) -> None:
        """Takes the settings."""
        read(0)

    def keep_only(self, partitions: Any) -> None:
        """Does nothing."""

    def write_through(self, db: Database, rows: list[Kept]) -> None:
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

    def apply_letters(self) -> int:
        """Applies none."""
        return 0

    def read_settings(self, partition: int | None = None) -> None:
        """Counts."""
        self.settings_reads.release()

    def check_topics(self) -> None:
        """Raises what a test wants."""
        if self.fails is not None:
            raise self.fails

    def read_ledger(self, partition: int, wanted: Callable[[], bool]) -> None:
        """Reads until the test lets it end."""
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
def following(reader: FakeReader, keeper: FakeKeeper, ownership: Ownership) -> Iterator[Follower]:
    """Follows as long as the context lasts."""
    made: Any = Follower
    follower: Follower = made(lambda: open_database(":memory:"), lambda db: reader, keeper)
    follower.start(ownership)
    try:
        yield follower
    finally:
        reader.go_on.set()
        follower.end(SECONDS)


@pytest.fixture
def reader() -> Iterator[FakeReader]:
    """A reader."""
    db = open_database(":memory:")
    yield FakeReader(db)
    db.close()


def test_settings_are_followed_while_a_large_ledger_is_read(reader: FakeReader, monkeypatch: Any) -> None:
    """An account that is disabled elsewhere is known here before the ledger is read to its end."""
    monkeypatch.setattr("worker.keeping.follower.LOOK_SECONDS", 0.01)
    reader.go_on.clear()
    keeper, ownership = FakeKeeper(), Ownership(follows=True)
    ownership.given({0: (0, 0)})
    with following(reader, keeper, ownership):
        for _ in range(20):
            assert reader.settings_reads.acquire(timeout=SECONDS)
        assert keeper.taken == []
        assert ownership.ready() == set()
        reader.go_on.set()
        assert ownership.wait_until_ready(SECONDS)
    assert keeper.taken == [0]


def test_topics_that_say_nothing_of_each_other_are_told_to(reader: FakeReader, monkeypatch: Any) -> None:
    """At the first start, so that a later one notices when one of them was made anew."""
    monkeypatch.setattr("worker.keeping.follower.LOOK_SECONDS", 0.01)
    keeper, ownership = FakeKeeper(), Ownership(follows=True)
    ownership.given({1: (0, 0)})
    with following(reader, keeper, ownership):
        assert ownership.wait_until_ready(SECONDS)
    assert keeper.written[0] == Note("x.ledger", "id-1", 2).of_ledger()
    assert Note("x.settings", "id-2").of_settings(1) in keeper.written


def test_no_ledger_is_taken_when_the_topics_are_not_whole(reader: FakeReader, monkeypatch: Any) -> None:
    """The worker ends with what is wrong."""
    monkeypatch.setattr("worker.keeping.follower.LOOK_SECONDS", 0.01)
    reader.fails = LedgerLost("made anew", "say so")
    keeper, ownership = FakeKeeper(), Ownership(follows=True)
    ownership.given({0: (0, 0)})
    with following(reader, keeper, ownership) as follower:
        for thread in follower._threads[:1]:
            thread.join(SECONDS)
        with pytest.raises(LedgerLost):
            follower.check()
    assert keeper.taken == []
    assert keeper.written == []
