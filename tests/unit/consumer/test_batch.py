"""What staging a batch of records writes."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.connected import connected
from tests.staged import stage_batch
from tests.unit.consumer.cases import cases, record
from worker.consumer.batch import Batch, replay
from worker.consumer.decode import Record
from worker.errors import DatabaseError
from worker.model import AccountId, Customer
from worker.sqlite.database import Database, open_database
from worker.store import counts, customers, dead_letters, offsets

AT = "2026-11-22T10:00:00.000Z"
ACCOUNT = AccountId("acct-1")


@pytest.fixture
def db(db: Database) -> Database:
    """An empty staging database."""
    return connected(db)


def event(offset: int, customer: str = "cus-1", kind: str = "updated", partition: int = 0, **members: Any) -> Record:
    """A record of an event; ``version`` and ``time`` go where they belong, the rest into the customer."""
    data: dict[str, Any] = {"account_id": ACCOUNT, "version": members.pop("version", None)}
    value = {
        "id": f"e-{partition}-{offset}",
        "type": f"com.billmywork.customer.{kind}",
        "time": members.pop("time", None),
        "data": data | {"customer": {"id": customer} | members},
    }
    return Record(partition, offset, f"{ACCOUNT}/{customer}".encode(), json.dumps(value).encode())


def stage(db: Database, *records: Record, topic_id: str = "id") -> None:
    """Stages them in one batch."""
    stage_batch(db, "t", topic_id, records, AT)


def one(db: Database, customer: str = "cus-1") -> Customer:
    """That customer's row."""
    (found,) = customers.by_ids(db, ACCOUNT, [customer])  # type: ignore[list-item]
    return found


def test_a_customer_is_staged_as_its_event_says(db: Database) -> None:
    """The row has state, event and position, and needs a flush."""
    stage(db, event(4, email=" Ann@Example.com ", first_name="Ann", version=7, time=AT, address={"city": "Leeds"}))
    row = one(db)
    assert (row.state.email, row.address, row.state.first_name) == (" Ann@Example.com ", "ann@example.com", "Ann")
    assert row.state.address is not None
    assert (row.state.address.city, row.state.marketing_consent) == ("Leeds", True)
    assert (row.version, row.event_id, row.event_time, row.position.offset) == (7, "e-0-4", AT, 4)
    assert (row.revision, row.changed, row.deleted) == (1, True, False)


def test_attributes_and_tags_are_staged_as_part_of_the_whole_state(db: Database) -> None:
    """Nulls are none; an event without them, as one with empty ones, says that the customer has none."""
    stage(db, event(0, attributes={"plan": "Gold", "invoices": 12, "spent": 0.5, "old": None}, tags=["vip", "gold"]))
    state = one(db).state
    assert state.attributes == {"plan": "Gold", "invoices": 12, "spent": 0.5}
    assert state.tags == ("vip", "gold")
    stage(db, event(1, attributes={}, tags=[]))
    assert (one(db).state.attributes, one(db).state.tags) == ({}, ())
    stage(db, event(2, attributes={"plan": "Gold"}, tags=["vip"]), event(3, first_name="Ann"))
    assert (one(db).state.attributes, one(db).state.tags) == ({}, ())


def test_a_batch_is_folded_to_one_write_a_customer(db: Database) -> None:
    """Of many events the newest is written once; every other is counted or was overtaken."""
    stage(db, *(event(n, version=n, email=f"{n}@example.com") for n in range(5)))
    assert (one(db).state.email, one(db).revision) == ("4@example.com", 1)


def test_next_offset_moves_on_with_whatever_is_read(db: Database) -> None:
    """Events, skipped ones and dead letters all count, partition by partition."""
    stage(
        db,
        event(4),
        Record(0, 5, None, b"hello"),
        Record(0, 8, None, b'{"type":"other"}'),
        event(2, "cus-2", partition=1),
    )
    assert {one.partition: one.next_offset for one in offsets.of_topic(db, "t")} == {0: 9, 1: 3}
    assert counts.totals(db, "t") == {"skipped": 1}
    assert offsets.account_partitions(db, "t", "id") == {ACCOUNT: {0, 1}}


def test_reading_again_doubles_nothing(db: Database) -> None:
    """The same records once more leave rows and dead letters as they are."""
    records = (event(0, version=1), event(1, "cus-2"), Record(0, 2, b"k", b"hello", (("h", None),)))
    stage(db, *records)
    before = [tuple(row) for row in db.execute("SELECT * FROM customer")]
    stage(db, *records)
    assert [tuple(row) for row in db.execute("SELECT * FROM customer")] == before
    assert dead_letters.count(db) == 1
    assert counts.totals(db, "t")["repeated"] == 2


def test_a_deleted_customer_is_not_revived_by_a_late_event(db: Database) -> None:
    """The row stays, with its version."""
    stage(db, event(0, version=3, kind="deleted", email="ann@example.com"))
    stage(db, event(1, version=2, email="ann@example.com"))
    assert (one(db).deleted, one(db).version, one(db).state.email) == (True, 3, "ann@example.com")
    assert counts.totals(db, "t") == {"out_of_order": 1}


def test_a_null_value_deletes_and_keeps_the_version(db: Database) -> None:
    """Nothing but the deletion is known then; an older version does not revive the customer."""
    stage(db, event(0, version=3, email="ann@example.com"))
    stage(db, Record(0, 1, b"acct-1/cus-1", None))
    assert (one(db).deleted, one(db).version, one(db).state.email, one(db).event_id) == (True, 3, None, None)
    stage(db, event(2, version=2))
    assert one(db).deleted
    stage(db, event(3, version=4, email="ann@example.com"))
    assert not one(db).deleted


def test_a_newer_event_needs_a_flush_again(db: Database) -> None:
    """A settled row changes back, under a higher revision; an answer to the old one settles it no more."""
    stage(db, event(0, version=1))
    customers.settle(db, ACCOUNT, [(one(db).customer_id, 1)])
    assert not one(db).changed
    stage(db, event(1, version=2))
    assert (one(db).revision, one(db).changed) == (2, True)
    customers.settle(db, ACCOUNT, [(one(db).customer_id, 1)])
    assert one(db).changed


def test_a_key_that_disagrees_is_counted(db: Database) -> None:
    """The data say whose event it is."""
    stage(db, Record(0, 0, b"acct-1/cus-9", event(0).value))
    assert customers.total_count(db) == 1
    assert counts.totals(db, "t") == {"key_disagrees": 1}


def test_a_topic_recreated_starts_its_offsets_again(db: Database) -> None:
    """Old offsets are compared with none of the new topic's; versions still are."""
    stage(db, event(100, email="old@example.com"), event(101, "cus-2", version=5))
    stage(db, event(0, email="new@example.com"), event(1, "cus-2", version=4), topic_id="new")
    assert one(db).state.email == "new@example.com"
    assert one(db, "cus-2").version == 5
    assert counts.totals(db, "t") == {"older": 1}


def test_a_failure_stages_nothing(db: Database) -> None:
    """Rows, dead letters, counts and next_offset are written together or not at all."""
    db.execute("CREATE TRIGGER full BEFORE INSERT ON next_offset BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(DatabaseError):
        stage(db, event(0), Record(0, 1, None, b"hello"), Record(0, 2, None, b'{"type":"other"}'))
    assert customers.total_count(db) == dead_letters.count(db) == 0
    assert not counts.totals(db, "t")


@pytest.mark.parametrize("case", cases("undecodable"), ids=lambda case: case["name"])
def test_a_dead_letter_is_kept_whole(db: Database, case: dict[str, Any]) -> None:
    """Key, value, headers, position and reason; a valid record after it is staged."""
    bad = record(case, offset=7)
    stage(db, bad, event(8))
    (letter,) = dead_letters.all_letters(db)
    assert (letter.key, letter.value, tuple(letter.headers)) == (bad.key, bad.value, tuple(bad.headers))
    assert (letter.topic, letter.topic_id, letter.partition, letter.offset) == ("t", "id", 0, 7)
    assert letter.reason
    assert one(db).position.offset == 8


def test_a_dead_letter_that_is_understood_by_now_is_staged_and_gone(db: Database) -> None:
    """Replaying takes the same way as reading, and drops what it could stage."""
    stage(db, Record(0, 3, b"acct-1/cus-1", b"hello"))
    (letter,) = dead_letters.all_letters(db)
    assert "malformed" in str(replay(db, letter, AT))
    assert dead_letters.count(db) == 1
    with db.transaction():
        db.execute("UPDATE dead_letter SET value = ?", (event(3, email="ann@example.com").value,))
    (letter,) = dead_letters.all_letters(db)
    assert replay(db, letter, AT) is None
    assert (dead_letters.count(db), one(db).position.offset, one(db).state.email) == (0, 3, "ann@example.com")


def test_a_replayed_dead_letter_overwrites_nothing_newer(db: Database) -> None:
    """What came after it stays."""
    stage(db, Record(0, 3, b"acct-1/cus-1", b"hello"), event(4, email="new@example.com"))
    with db.transaction():
        db.execute("UPDATE dead_letter SET value = ?", (event(3, email="old@example.com").value,))
    (letter,) = dead_letters.all_letters(db)
    assert replay(db, letter, AT) is None
    assert one(db).state.email == "new@example.com"
    assert counts.totals(db, "t") == {"older": 1}


def test_a_replayed_dead_letter_brings_nobody_back_whom_a_null_deleted_since(db: Database) -> None:
    """The null has no version, and the replayed event has a higher one than the event before both."""
    stage(db, event(2, version=1), Record(0, 3, b"acct-1/cus-1", b"hello"), Record(0, 4, b"acct-1/cus-1", None))
    with db.transaction():
        db.execute("UPDATE dead_letter SET value = ?", (event(3, version=2).value,))
    (letter,) = dead_letters.all_letters(db)
    assert replay(db, letter, AT) is None
    assert one(db).deleted
    assert counts.totals(db, "t") == {"older": 1}
    stage(db, event(5, version=2))
    assert not one(db).deleted


changes = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.none() | st.integers(0, 5),
        st.sampled_from(["created", "updated", "deleted"]),
        st.integers(0, 1),
    ),
    max_size=12,
)


@given(changes, st.lists(st.integers(0, 12), max_size=4))
@settings(max_examples=100, deadline=None)
def test_how_records_are_cut_into_batches_changes_nothing(
    drawn: list[tuple[str, int | None, str, int]], cuts: list[int]
) -> None:
    """One batch or many: the same rows, but for the revision, and the same counts."""
    records = [
        event(n, customer, kind, partition, version=version, email=f"{n}@example.com")
        for n, (customer, version, kind, partition) in enumerate(drawn)
    ]
    edges = sorted({0, *(min(cut, len(records)) for cut in cuts), len(records)})
    outcomes = []
    for parts in ([0, len(records)], edges):
        db = connected(open_database(":memory:"))
        for start, end in pairwise(parts):
            stage(db, *records[start:end])
        outcomes.append(
            (
                [tuple(row) for row in db.execute("SELECT customer_id, state, deleted, version FROM customer")],
                [(one.partition, one.next_offset) for one in offsets.of_topic(db, "t")],
            )
        )
        db.close()
    assert outcomes[0] == outcomes[1]


def position(db: Database) -> tuple[int, str]:
    """Where reading goes on, and since when that is known to be the end."""
    (found,) = offsets.of_topic(db, "t")
    return found.next_offset, found.updated_at


def test_a_partition_is_as_old_as_its_last_end(db: Database) -> None:
    """What is read on the way there moves next_offset, and makes the partition look no younger."""
    later, last = AT.replace("22T", "23T"), AT.replace("22T", "24T")
    for offset, at, behind in ((1, AT, {0}), (2, later, {0}), (3, last, set())):
        batch = Batch(db, "t", "id")
        batch.add([event(offset)])
        batch.write(at, behind)
        assert position(db) == (offset + 1, last if not behind else AT)


def test_a_partition_that_is_read_again_goes_on_where_it_did(db: Database) -> None:
    """Its customers are staged, no dead letter comes back, and a crash before the end finds it as it was."""
    stage(db, event(9))
    batch = Batch(db, "t", "id")
    batch.add([event(1, "cus-2")])
    batch.add([Record(0, 2, b"2", b"?"), Record(0, 10, b"10", b"?")])
    batch.write(AT.replace("22T", "23T"), again={0: 10})
    assert position(db) == (10, AT)
    assert [letter.offset for letter in dead_letters.all_letters(db)] == [10]
    assert one(db, "cus-2").changed


def test_a_partition_that_held_nothing_unread_is_younger(db: Database) -> None:
    """Never older, though the answer was asked for before something was read."""
    stage(db, event(9))
    later = AT.replace("22T", "23T")
    for at in (later, AT):
        with db.transaction():
            offsets.still_at_end(db, "t", "id", [0, 1], at)
    assert position(db) == (10, later)
