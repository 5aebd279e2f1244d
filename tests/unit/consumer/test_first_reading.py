"""Who was deleted by a null that nothing is left of, where the database was lost before that was delivered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.connected import connected
from tests.unit.consumer.test_batch import ACCOUNT, AT, event, one, stage
from worker.changelog import table_rows
from worker.clock import as_moment
from worker.config import Kafka
from worker.consumer.assignment import Assignment, EventsTopic
from worker.consumer.decode import Record
from worker.consumer.owned_partitions import OwnedPartitions
from worker.consumer.retention_gap import RetentionGap
from worker.consumer.start_offset import Compaction
from worker.model import AccountId, AddressKey, CustomerId, ListId, MembershipKey
from worker.sqlite.database import open_database
from worker.sqlite.rows import Rows
from worker.store import counts, customers, first_reading, ledger, offsets
from worker.store.first_reading import Absent
from worker.store.ledger import CustomerStatus, LedgerEntry

TOPIC, ID, END = "t", "id", 10


class World:
    """A database that was recreated: partition 0 is read to offset 10, and cus-1 to cus-3 are in the ledger."""

    def __init__(self) -> None:
        self.before, self.db = connected(open_database(":memory:")), connected(open_database(":memory:"))
        self.bounds = 0, END
        self.assignment = Assignment(EventsTopic(TOPIC, 1, ID))
        self.away = RetentionGap(
            Kafka(topic=TOPIC),
            self.db,
            self.assignment,
            OwnedPartitions(lambda: 0.0),
            lambda: as_moment(AT),
            None,
            lambda _: self.bounds,
        )
        self.away.compaction = Compaction("compact", 3600.0)

    def settled(self, *records: Record, topic_id: str = ID) -> None:
        """What was staged and delivered before, of which Kafka has the ledger."""
        stage(self.before, *records, topic_id=topic_id)
        with self.before.transaction():
            people = {who.customer_id: who.revision for who in customers.changed(self.before, ACCOUNT, None, 100)}
            named = Rows()
            for who in people:
                place = MembershipKey(ListId("master"), AddressKey(f"{who}@example.com"))
                named += ledger.put_entries(self.before, ACCOUNT, [LedgerEntry(place, who, "present", "added", AT)])
                named += ledger.put_customer_statuses(self.before, ACCOUNT, [CustomerStatus(who, place)])
            named += customers.settle(self.before, ACCOUNT, list(people.items()))
            rows = table_rows.rows_of(self.before, named)
        with self.db.transaction():
            table_rows.apply(self.db, [row for row in rows if row.kind != "account"])

    def read(self, *records: Record, to: int = END) -> None:
        """Reads the log with the new database, as after a new assignment."""
        if offsets.next_of(self.db, TOPIC, ID, 0) is None:
            with self.db.transaction():
                offsets.move_on(self.db, TOPIC, ID, 0, self.bounds[0], AT)
        (self.reading,) = self.assignment.begin([0])
        self.reading.find_start(offsets.next_of(self.db, TOPIC, ID, 0) or 0, END)
        self.reading.whole = self.away.begin(self.reading, None)
        self.reading.start(0.0)
        stage(self.db, *records)
        self.away.staged_to(self.reading, to, at_end=to == END)

    def judged(self, *, ready: frozenset[int] = frozenset({0}), ledger_partition: int = 0) -> list[Absent]:
        """What follows from it before a flush."""
        return first_reading.judge(self.db, TOPIC, ID, ready, lambda _: ledger_partition, AT)

    def changed(self) -> set[tuple[str, bool]]:
        """Who is changed, and whether deleted."""
        return {(who.customer_id, who.deleted) for who in customers.changed(self.db, ACCOUNT, None, 100)}


@pytest.fixture
def world() -> Iterator[World]:
    """Nothing is settled in it yet."""
    made = World()
    yield made
    made.before.close()
    made.db.close()


def test_who_is_in_the_ledger_and_not_in_the_log_was_deleted(world: World) -> None:
    """The null is compacted away, and the file is lost: the deletion is staged all the same, with its version."""
    world.settled(event(1, "cus-1", version=3), event(2, "cus-2", version=7))
    world.read(event(1, "cus-1", version=3))
    assert world.judged() == [Absent(0, 1, 0, None)]
    assert world.changed() == {("cus-1", False), ("cus-2", True)}
    row = one(world.db, "cus-2")
    assert (row.version, row.position.offset, row.event_id) == (7, END - 1, None)
    assert customers.settle_known(world.db) == 1
    assert world.changed() == {("cus-2", True)}
    assert world.judged() == []


def test_a_late_event_revives_nobody_who_was_found_deleted(world: World) -> None:
    """The highest version comes from the ledger, though no record of the log has it any more."""
    world.settled(event(2, "cus-2", version=7))
    world.read()
    world.judged()
    stage(world.db, event(END, "cus-2", version=6))
    assert one(world.db, "cus-2").deleted
    stage(world.db, event(END + 1, "cus-2", version=8))
    assert not one(world.db, "cus-2").deleted


def test_a_settled_deletion_keeps_its_version_without_any_record(world: World) -> None:
    """Deleted, delivered, the null gone and the file lost: a late event is no return, a newer one is."""
    world.settled(event(1, "cus-1", version=7), event(2, "cus-2", version=7))
    world.settled(Record(0, 3, b"acct-1/cus-1", None), Record(0, 4, b"acct-1/cus-2", None))
    world.read(event(8, "cus-1", version=6), event(9, "cus-2", version=8))
    assert first_reading.delete_revived(world.db) == 1
    assert (one(world.db, "cus-1").deleted, one(world.db, "cus-1").version) == (True, 7)
    assert not one(world.db, "cus-2").deleted
    assert world.judged() == []


@pytest.mark.parametrize(
    ("policy", "low", "reason"), [("delete", 0, "cleanup.policy is delete"), ("compact", 2, "begins at offset 2")]
)
def test_where_records_go_for_other_reasons_it_is_only_reported(
    world: World, policy: str, low: int, reason: str
) -> None:
    """Nobody is deleted; how many are missing is counted."""
    world.settled(event(1, "cus-1", version=3), event(2, "cus-2", version=7))
    world.away.compaction, world.bounds = Compaction(policy, 3600.0), (low, END)
    world.read(event(2, "cus-2", version=7))
    (found,) = world.judged()
    assert (found.deleted, found.unclear) == (0, 1)
    assert reason in str(found.reason)
    assert world.changed() == {("cus-2", False)}
    assert counts.totals(world.db, TOPIC) == {"absent": 1}


def test_who_was_settled_in_another_topic_of_the_name_is_only_reported(world: World) -> None:
    """The topic was recreated and not everybody published again yet: that is no deletion."""
    world.settled(event(1, "cus-1", version=3), topic_id="old")
    world.read()
    assert world.judged() == [Absent(0, 0, 1, None)]
    assert world.changed() == set()


def test_who_was_settled_behind_the_end_is_only_reported(world: World) -> None:
    """The log was cut: what stood behind is not there for another reason."""
    world.settled(event(END, "cus-1", version=3))
    world.read()
    assert world.judged() == [Absent(0, 0, 1, None)]


def test_whose_record_is_not_understood_is_not_gone(world: World) -> None:
    """A dead letter, or an event of another type, took the place of the customer's event."""
    world.settled(event(1, "cus-1"), event(2, "cus-2"), event(3, "cus-3"))
    world.read(Record(0, 4, b"acct-1/cus-1", b"?"), Record(0, 5, b"acct-1/cus-2", b'{"type":"other"}'))
    assert world.judged() == [Absent(0, 1, 0, None)]
    assert world.changed() == {("cus-3", True)}


def test_nothing_is_concluded_before_the_end_and_the_ledger(world: World) -> None:
    """Nor of a partition that is not ready, nor of an account whose ledger is in another one."""
    world.settled(event(1, "cus-1"))
    world.read(to=5)
    assert world.judged() == []
    world.assignment.drop([0])
    world.read()  # assigned again, it is read on and not from the beginning
    assert world.judged(ready=frozenset()) == []
    assert world.judged(ledger_partition=1) == []
    assert world.changed() == set()


def test_what_came_while_it_was_read_is_read_too(world: World) -> None:
    """Compaction may have taken a record before it was reached: then a newer one is behind the first end."""
    world.settled(event(1, "cus-1", version=1))
    world.bounds = 0, END + 1
    world.read()
    assert world.judged() == []
    stage(world.db, event(END, "cus-1", version=2))
    world.away.staged_to(world.reading, END + 1, at_end=True)
    assert world.judged() == []
    assert world.changed() == {("cus-1", False)}


def test_a_database_of_an_earlier_release_is_not_at_its_first_reading(world: World) -> None:
    """It has read on from somewhere: nothing is known of what stood before."""
    world.settled(event(1, "cus-1"))
    with world.db.transaction():
        offsets.move_on(world.db, TOPIC, ID, 0, 5, AT)
    world.read()
    assert world.judged() == []
    assert world.changed() == set()


def test_another_database_knows_the_version_of_a_settled_deletion(world: World) -> None:
    """It is written to Kafka with the customer's status."""
    world.settled(event(1, "cus-1", version=7))
    world.settled(Record(0, 3, b"acct-1/cus-1", None))
    row = world.db.execute("SELECT version, deleted FROM standing WHERE customer_id = 'cus-1'").fetchone()
    assert tuple(row) == (7, 1)


def test_a_customer_of_another_account_is_no_matter(world: World) -> None:
    """Who is looked for are only the customers of the accounts whose ledger this partition has."""
    world.settled(event(1, "cus-1"))
    with world.db.transaction():
        world.db.execute("UPDATE standing SET account_id = 'other'")
        world.db.execute("UPDATE ledger SET account_id = 'other'")
    world.read()
    assert first_reading.judge(world.db, TOPIC, ID, [0], lambda who: int(who == AccountId("other")), AT) == []


def test_a_place_without_a_settled_event_is_only_reported(world: World) -> None:
    """An add was begun and never settled: whose event that was is not known."""
    with world.db.transaction():
        place = MembershipKey(ListId("master"), AddressKey("a@example.com"))
        ledger.put_entries(world.db, ACCOUNT, [LedgerEntry(place, CustomerId("cus-9"), "intended", "added", AT)])
    world.read()
    assert world.judged() == [Absent(0, 0, 1, None)]
