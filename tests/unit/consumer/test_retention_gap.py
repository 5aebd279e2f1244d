"""Partitions that are read again, and who is gone from them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.unit.consumer.test_batch import ACCOUNT, AT, event, one, stage
from worker.clock import as_moment
from worker.config import Kafka
from worker.consumer.assignment import Assignment, EventsTopic
from worker.consumer.decode import Record, whose
from worker.consumer.owned_partitions import OwnedPartitions
from worker.consumer.retention_gap import RetentionGap
from worker.consumer.start_offset import Compaction
from worker.sqlite.database import Database, open_database
from worker.store import offsets


class World:
    """A partition 0 of topic ``t``, with two customers staged from it."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.now = as_moment(AT)
        self.bounds = 0, 4
        self.owned_partitions = OwnedPartitions(lambda: 0.0)
        settings = Kafka(topic="t", client={"session.timeout.ms": 6000})
        self.assignment = Assignment(EventsTopic("t", 1, "id"))
        self.away = RetentionGap(
            settings, db, self.assignment, self.owned_partitions, lambda: self.now, None, lambda _: self.bounds
        )
        self.away.compaction = Compaction("compact", 24 * 3600.0)
        stage(db, event(1, "cus-1"), event(2, "cus-2"))
        self.now += timedelta(days=3)
        self.begin()

    def begin(self) -> None:
        """The partition is assigned, to be read again up to offset 4."""
        self.owned_partitions.assigned({0: (0, 4)}, again=[0])
        (self.reading,) = self.assignment.begin([0])
        self.reading.find_start(0, 4)
        self.reading.whole = self.away.begin(self.reading, 3)
        self.reading.start(0.0)

    def read(self, *records: Record) -> None:
        """Reads records."""
        self.away.records_read(records, self.assignment.current())

    def staged_to(self, next_offset: int, *, at_end: bool) -> None:
        """Stages what was read."""
        self.away.staged_to(self.reading, next_offset, at_end=at_end)

    def deleted(self) -> set[str]:
        """Who counts as deleted."""
        return {name for name in ("cus-1", "cus-2") if one(self.db, name).deleted}


@pytest.fixture
def world() -> Iterator[World]:
    """In memory."""
    db = open_database(":memory:")
    yield World(db)
    db.close()


def test_who_was_not_seen_is_deleted_at_the_end(world: World) -> None:
    """Then the partition is up to date, and may be delivered."""
    world.read(event(1, "cus-1"))
    world.staged_to(3, at_end=False)
    assert world.deleted() == set()
    assert world.owned_partitions.at_end() == {}
    world.owned_partitions.read_to(0, 4, at_end=False)
    world.staged_to(4, at_end=False)
    assert world.deleted() == {"cus-2"}
    assert one(world.db, "cus-2").position.offset == 3
    assert [(at.next_offset, at.updated_at) for at in offsets.of_topic(world.db, "t")] == [
        (4, AT.replace("22T", "25T"))
    ]
    assert world.owned_partitions.at_end() == {0: 4}
    assert world.reading.reread_from is None


def test_what_came_while_it_was_read_is_read_too(world: World) -> None:
    """Compaction may have taken a record before it was reached: then a newer one is behind the first end."""
    world.read(event(1, "cus-1"))
    world.bounds = 0, 6
    world.staged_to(4, at_end=True)
    assert world.deleted() == set()
    world.read(event(5, "cus-2"))
    world.bounds = 0, 9
    world.staged_to(6, at_end=False)
    assert world.deleted() == set()
    assert world.reading.reread_from is None


def test_what_was_seen_before_a_partition_was_lost_does_not_count(world: World) -> None:
    """Given back, it is read again from its beginning."""
    world.read(event(1, "cus-1"), event(2, "cus-2"))
    world.assignment.drop([0])
    world.staged_to(4, at_end=True)
    world.begin()
    world.read(event(2, "cus-2"))
    world.staged_to(4, at_end=True)
    assert world.deleted() == {"cus-1"}


def test_a_log_that_lost_its_beginning_meanwhile_tells_nothing(world: World) -> None:
    """Nobody is deleted, and the partition goes on."""
    world.bounds = 2, 4
    world.staged_to(4, at_end=True)
    assert world.deleted() == set()
    assert world.reading.reread_from is None


def test_a_process_that_was_frozen_finds_out_by_the_clock(world: World) -> None:
    """Once, after longer than nulls are kept."""
    world.away.was_frozen()
    for hours, frozen in ((24, False), (24.1, True), (0.1, False)):
        world.now += timedelta(hours=hours)
        assert world.away.was_frozen() is frozen


@pytest.mark.parametrize("keeps", [0.0, 5.0])
def test_a_short_silence_is_none_whatever_the_topic_keeps(world: World, keeps: float) -> None:
    """Up to the session timeout the group takes nothing away."""
    world.away.compaction = Compaction("compact", keeps)
    world.away.was_frozen()
    world.now += timedelta(seconds=6)
    assert not world.away.was_frozen()


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (b"acct-1/cus-1", None, "cus-1"),
        (b"acct-1/cus-1", b"?", "cus-1"),
        (b"acct-1/cus-1", event(0, "cus-2").value, "cus-1"),
        (None, event(0, "cus-2").value, "cus-2"),
        (b"\xff", event(0, "cus-2").value, "cus-2"),
        (b"cus-1", None, None),
        (None, b"?", None),
    ],
)
def test_whose_a_record_is_its_key_tells_first(key: bytes | None, value: bytes | None, expected: str | None) -> None:
    """By the key compaction goes; the data tell where the key names nobody."""
    assert whose(Record(0, 0, key, value)) == (None if expected is None else (ACCOUNT, expected))
