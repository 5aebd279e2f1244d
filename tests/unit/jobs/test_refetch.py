"""Customers that are read again once their account is connected: for all accounts together, and on after any end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.connected import connected
from tests.staged import stage_batch
from tests.unit.consumer.test_batch import AT, event
from worker.app import App
from worker.clock import as_text
from worker.config import Config, Kafka, Staging
from worker.consumer.decode import Record
from worker.consumer.owned_partitions import OwnedPartitions
from worker.jobs import refetch
from worker.jobs.refetch import Refetch, being_read
from worker.sqlite.database import Database
from worker.store import bare_customers, customers, erasure_requests, offsets
from worker.store.bare_customers import Bare

ONE, TWO = "acct-1", "acct-2"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TOPIC = ("t", "id")


class Log:
    """A partition as Kafka has it; notes what was read of it."""

    def __init__(self) -> None:
        self.records: dict[int, Record] = {}
        self.read: list[tuple[int, int]] = []
        self.low = 0
        self.together = 1000
        self.meanwhile: Callable[[int], object] = lambda offset: None

    def bounds(self, topic: Any, partition: int) -> tuple[int, int]:
        """Returns where it begins and ends."""
        return self.low, max(self.records, default=-1) + 1

    def records_of(self, start: int, high: int) -> list[Record]:
        """Returns what is between two offsets."""
        return [self.records[offset] for offset in sorted(self.records) if start <= offset < high]

    def close(self) -> None:
        """Ends it."""


class World:
    """A worker with one partition, read to its end, and no account connected."""

    def __init__(self, path: Path, patched: pytest.MonkeyPatch) -> None:
        self.log, self.topic_id = Log(), "id"
        patched.setattr(refetch, "TopicLog", lambda settings: _Reading(self.log))
        self.app = App(Config(staging=Staging(path=path), kafka=Kafka(topic="t")), lambda: NOW)
        self.db: Database = self.app.open_database()
        self.owned = OwnedPartitions()
        self.owned.assigned({0: (0, 0)})
        self.ended = False
        self.db.must_end = lambda: self.ended
        self.job = Refetch(self.app, self.owned, lambda: self.topic_id)

    def publish(self, *records: Record) -> None:
        """Publishes records, which the worker stages."""
        self.log.records |= {one.offset: one for one in records}
        stage_batch(self.db, *TOPIC, records, AT)

    def bare(self) -> list[str]:
        """The ids of those who are bare."""
        return [row[0] for row in self.db.execute("SELECT customer_id FROM customer WHERE bare = 1 ORDER BY 1")]

    def waiting(self) -> set[str]:
        """The accounts whose flush waits."""
        return set(being_read(self.db, self.owned.owned(), TOPIC))


class _Reading:
    def __init__(self, log: Log) -> None:
        self._log, self.bounds, self.close = log, log.bounds, log.close

    def records(self, topic: Any, partition: int, start: int, high: int, on: Callable[[], bool]) -> Iterator[Any]:
        self._log.read.append((start, high))
        found = self._log.records_of(start, high)
        for begin in range(0, len(found), self._log.together):
            if not on():
                return
            yield found[begin : begin + self._log.together]
            self._log.meanwhile(begin)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A worker."""
    made = World(tmp_path / "x.db", monkeypatch)
    with closing(made.db):
        yield made


def of(account: str, offset: int, customer: str, **members: Any) -> Record:
    """An event of an account."""
    made = event(offset, customer, **members)
    value = (made.value or b"").replace(b'"acct-1"', f'"{account}"'.encode())
    return Record(0, offset, f"{account}/{customer}".encode(), value)


def many(account: str, offsets: Sequence[int]) -> list[Record]:
    """Events of as many customers."""
    return [of(account, one, f"{account}-{one}", version=1, email=f"{one}@example.com") for one in offsets]


def test_nobody_is_read_again_before_the_account_is_connected(world: World) -> None:
    """Then all of them are, from the first one on, and the account's flush waits until then."""
    world.publish(*many(TWO, range(3)), *many(ONE, range(3, 6)))
    world.job.step(world.db)
    assert (world.log.read, world.waiting()) == ([], set())
    connected(world.db, ONE)
    assert world.waiting() == {ONE}
    world.job.step(world.db)
    assert world.log.read == [(3, 6)]
    assert (world.bare(), world.waiting()) == ([f"{TWO}-{n}" for n in range(3)], set())
    changed = customers.changed(world.db, ONE, None, 10)  # type: ignore[arg-type]
    assert [one.address for one in changed] == ["3@example.com", "4@example.com", "5@example.com"]
    world.job.step(world.db)
    assert len(world.log.read) == 1


def test_accounts_that_are_connected_together_are_read_together(world: World) -> None:
    """The partition is read once for both."""
    world.publish(*many(ONE, range(3)), *many(TWO, range(3, 6)))
    connected(world.db, ONE, TWO)
    world.job.step(world.db)
    assert (world.log.read, world.bare()) == ([(0, 6)], [])


def test_reading_goes_on_where_it_was_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a kill, or the loss of the partition for a while; the account's flush waits still."""
    monkeypatch.setattr(refetch, "MOST_AT_ONCE", 2)
    world.log.together = 2
    world.publish(*many(ONE, range(6)))
    connected(world.db, ONE)
    world.log.meanwhile = lambda begin: setattr(world, "ended", begin >= 2)
    world.job.step(world.db)
    left = len(world.bare())
    assert 0 < left < 6
    assert world.waiting() == {ONE}
    world.ended, world.log.meanwhile = False, lambda begin: None
    world.job.step(world.db)
    assert world.log.read == [(0, 6), (6 - left, 6)]
    assert (world.bare(), world.waiting()) == ([], set())


def test_a_partition_that_is_taken_is_left_to_its_new_owner(world: World) -> None:
    """It is not read to its end here, and nothing is concluded from what is still bare."""
    world.publish(*many(ONE, range(3)))
    connected(world.db, ONE)
    world.owned.removed({0})
    world.job.step(world.db)
    assert world.log.read == []
    assert bare_customers.of_account(world.db, ONE) == Bare(3, reading=True)  # type: ignore[arg-type]
    world.owned.assigned({0: (3, 3)})
    world.job.step(world.db)
    assert world.bare() == []


def test_nothing_is_read_again_before_staging_reached_the_end(world: World) -> None:
    """Until then newer events may come that bring the fields anyway."""
    world.publish(*many(ONE, range(3)))
    connected(world.db, ONE)
    world.owned.assigned({0: (3, 9)})
    world.job.step(world.db)
    assert (world.log.read, world.waiting()) == ([], {ONE})


def test_whose_records_expired_are_told_and_resolved_by_their_next_event(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """They are not delivered by half a state, and the account is delivered without them."""
    world.publish(*many(ONE, range(3)))
    world.log.low = 2
    del world.log.records[0], world.log.records[1]
    connected(world.db, ONE)
    world.job.step(world.db)
    assert "2 customers cannot be delivered before the next event" in caplog.text
    assert (world.bare(), world.waiting()) == ([f"{ONE}-0", f"{ONE}-1"], set())
    assert bare_customers.of_account(world.db, ONE) == Bare(2, reading=False)  # type: ignore[arg-type]
    assert customers.accounts_with_changes(world.db) == {ONE: 1}
    world.publish(of(ONE, 3, f"{ONE}-0", version=2, email="new@example.com"), of(ONE, 4, f"{ONE}-1", version=2))
    assert bare_customers.of_account(world.db, ONE) is None  # type: ignore[arg-type]
    assert customers.accounts_with_changes(world.db) == {ONE: 3}


def test_customers_of_a_topic_that_was_recreated_are_not_waited_for(world: World) -> None:
    """Nothing reads that topic any more; who is in the new one was filled by staging."""
    world.publish(*many(ONE, range(2)))
    connected(world.db, ONE)
    world.topic_id = "new"
    stage_batch(world.db, "t", "new", many(ONE, [0]), AT)
    world.job.step(world.db)
    assert (world.log.read, world.bare()) == ([], [f"{ONE}-1"])
    assert being_read(world.db, world.owned.owned(), ("t", "new")) == set()


def test_an_account_that_is_forgotten_meanwhile_gets_no_fields(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was taken for it is not written."""
    world.publish(*many(ONE, range(3)), *many(TWO, range(3, 6)))
    connected(world.db, ONE, TWO)
    world.log.meanwhile = lambda begin: world.db.execute("DELETE FROM account WHERE account_id = ?", (ONE,))
    world.job.step(world.db)
    assert world.bare() == [f"{ONE}-{n}" for n in range(3)]
    assert world.waiting() == set()


def test_who_came_while_the_account_was_disconnected_for_a_moment_is_read_too(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Its record lies behind what was read then, and does not count as gone."""
    world.publish(*many(ONE, range(3)))
    connected(world.db, ONE)

    def disconnected_for_a_moment(begin: int) -> None:
        world.log.meanwhile = lambda begin: None
        world.db.execute("UPDATE account SET key_hint = NULL")
        world.publish(*many(ONE, [3]))
        connected(world.db, ONE)

    world.log.meanwhile = disconnected_for_a_moment
    world.job.step(world.db)
    assert (world.bare(), world.waiting()) == ([f"{ONE}-3"], {ONE})
    world.job.step(world.db)
    assert (world.bare(), world.waiting()) == ([], set())
    assert "gone from" not in caplog.text


def test_requests_to_erase_are_carried_out_once_more(world: World) -> None:
    """A person whose address was not known then may be among those who were read again."""
    with world.db.transaction():
        erasure_requests.put(world.db, "", "digest", as_text(NOW))
        erasure_requests.note_done(world.db, erasure_requests.to_do(world.db), "worker", as_text(NOW))
    world.publish(*many(ONE, [0]))
    assert erasure_requests.to_do(world.db) == []
    connected(world.db, ONE)
    world.job.step(world.db)
    assert [one.digest for one in erasure_requests.to_do(world.db)] == ["digest"]


def test_staging_goes_on_where_it_was(world: World) -> None:
    """Reading again moves no offset."""
    world.publish(*many(ONE, range(3)))
    before = offsets.of_topic(world.db, "t")
    connected(world.db, ONE)
    world.job.step(world.db)
    assert offsets.of_topic(world.db, "t") == before
