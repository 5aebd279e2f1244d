"""Customers of accounts that are not connected: staged without their fields, and filled once they are read again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.connected import connected
from tests.staged import stage_batch
from tests.unit.consumer.test_batch import ACCOUNT, AT, event, one
from worker.consumer.batch import Batch
from worker.consumer.decode import Record
from worker.consumer.erased_customers import ErasedCustomers, no_key
from worker.sqlite.database import Database, open_database
from worker.store import bare_customers, counts, customers, dead_letters, ignored, offsets
from worker.store.bare_customers import BareAccount

FIELDS: dict[str, Any] = {
    "email": "ann@example.com",
    "first_name": "Ann",
    "last_name": "Lee",
    "phone": "0113 496 0000",
    "company": "Lee Ltd",
    "list_id": "a1b2c3d4e5",
    "address": {"line1": "1 High St"},
    "attributes": {"plan": "Gold"},
    "tags": ["vip"],
}
TOLD = ("ann@", "Ann", "Lee", "0113", "a1b2c3d4e5", "High St", "Gold", "vip")


def stage(db: Database, *records: Record, topic_id: str = "id") -> None:
    """Stages records as the worker does."""
    stage_batch(db, "t", topic_id, records, AT)


def fill(db: Database, *records: Record, topic_id: str = "id") -> None:
    """Gives customers their fields from records that are read again."""
    batch = Batch(db, "t", topic_id, erased=ErasedCustomers(no_key))
    batch.add(records)
    with db.transaction():
        batch.customers.write_fills(AT)


def row(db: Database, customer: str = "cus-1") -> dict[str, Any]:
    """A customer's row."""
    return dict(db.execute("SELECT * FROM customer WHERE customer_id = ?", (customer,)).fetchone())


def everything(db: Database) -> str:
    """All that is in customers and ignored events."""
    return str([tuple(one) for table in ("customer", "ignored_event") for one in db.execute(f"SELECT * FROM {table}")])


def whole(*records: Record) -> list[Any]:
    """What the same records leave in a database in which the account was connected from the beginning."""
    other = connected(open_database(":memory:"))
    stage(other, *records)
    found = said(other)
    other.close()
    return found


def said(db: Database) -> list[Any]:
    """All that is known of each customer, but for how often it was written."""
    rows = db.execute(
        "SELECT customer_id, address, CAST(state AS TEXT), deleted, version, event_id, event_time, topic, topic_id, "
        'partition, "offset", changed, bare FROM customer ORDER BY customer_id'
    )
    return [tuple(one) for one in rows]


def test_nothing_that_describes_a_person_is_staged_before_the_account_is_connected(db: Database) -> None:
    """What decides about later events stays: ids, version, position, deletion and consent."""
    stage(db, event(4, version=7, time=AT, **FIELDS), event(5, "cus-2", version=1, marketing_consent=False, **FIELDS))
    assert not [told for told in TOLD if told in everything(db)]
    ann = row(db)
    assert (ann["version"], ann["topic"], ann["topic_id"], ann["partition"], ann["offset"]) == (7, "t", "id", 0, 4)
    assert (ann["event_id"], ann["event_time"], ann["deleted"], ann["changed"]) == ("e-0-4", AT, 0, 1)
    assert (ann["address"], ann["bare"]) == (None, 1)
    assert [one(db, name).state.marketing_consent for name in ("cus-1", "cus-2")] == [True, False]
    assert customers.accounts_with_changes(db) == {ACCOUNT: 2}
    assert customers.total_count(db) == 2


def test_who_is_disconnected_is_staged_so_too(db: Database) -> None:
    """An account with settings and without an API key is as one that never had any."""
    db.execute("INSERT INTO account (account_id) VALUES (?)", (ACCOUNT,))
    stage(db, event(4, **FIELDS))
    assert row(db)["bare"] == 1


def test_a_newer_event_takes_the_fields_away_while_the_account_is_not_connected(db: Database) -> None:
    """A row of an account that was connected once has no older fields beside a newer event."""
    connected(db)
    stage(db, event(4, version=1, **FIELDS))
    db.execute("DELETE FROM account")
    stage(db, event(5, version=2, **FIELDS))
    assert (row(db)["bare"], row(db)["address"], row(db)["version"]) == (1, None, 2)


def test_a_dead_letter_is_kept_whole_whoever_is_connected(db: Database) -> None:
    """It has no account that could be connected, and is replayed once it is understood."""
    stage(db, Record(0, 3, b"acct-1/cus-1", b'{"email": "ann@example.com"'))
    (letter,) = dead_letters.all_letters(db)
    assert letter.value == b'{"email": "ann@example.com"'


def test_it_is_noted_from_where_on_an_account_is_to_be_read(db: Database) -> None:
    """The lowest offset of each partition, to be read once the account is connected, and not before."""
    stage(db, event(4), event(5, "cus-2"), event(9, "cus-3", partition=1))
    stage(db, event(6, "cus-2"), event(3, "cus-4"))
    assert bare_customers.to_read(db) == []
    connected(db)
    assert bare_customers.to_read(db) == [BareAccount(ACCOUNT, "t", "id", 0, 3), BareAccount(ACCOUNT, "t", "id", 1, 9)]


def test_a_deletion_needs_no_field(db: Database) -> None:
    """It is complete as it is: nobody is to be read again for it."""
    stage(db, event(4, **FIELDS), event(5, version=2, kind="deleted", **FIELDS))
    stage(db, event(6, "cus-2", **FIELDS))
    stage(db, Record(0, 7, b"acct-1/cus-2", None))
    assert [(row(db, name)["deleted"], row(db, name)["bare"]) for name in ("cus-1", "cus-2")] == [(1, 0), (1, 0)]
    assert not [told for told in TOLD if told in everything(db)]


HISTORIES: dict[str, list[Record]] = {
    "one event": [event(0, version=1, **FIELDS)],
    "without versions": [event(0, **FIELDS), event(1, first_name="Anna", email="anna@example.com")],
    "a version twice": [event(0, version=1, **FIELDS), event(1, version=1, **FIELDS)],
    "a late event": [event(0, version=2, **FIELDS), event(1, version=1, email="old@example.com")],
    "a late withdrawal": [event(0, version=2, **FIELDS), event(1, version=1, marketing_consent=False, **FIELDS)],
    "withdrawn": [event(0, version=1, marketing_consent=False, **FIELDS)],
    "deleted": [event(0, version=1, **FIELDS), event(1, version=2, kind="deleted", **FIELDS)],
    "withdrawn and deleted": [
        event(0, version=1, marketing_consent=False, **FIELDS),
        event(1, version=2, kind="deleted", **FIELDS),
    ],
    "withdrawn and a null": [
        event(0, version=1, marketing_consent=False, **FIELDS),
        Record(0, 1, b"acct-1/cus-1", None),
    ],
    "deleted and withdrawn late": [
        event(0, version=2, kind="deleted", **FIELDS),
        event(1, version=1, marketing_consent=False, **FIELDS),
    ],
}


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("records", HISTORIES.values(), ids=HISTORIES)
def test_read_again_a_customer_is_as_if_its_account_had_always_been_connected(
    db: Database, records: list[Record], together: bool
) -> None:
    """Whatever happened before, and whether it was read in one part or in several."""
    for some in [records] if together else [[each] for each in records]:
        stage(db, *some)
    connected(db)
    for some in [records] if together else [[each] for each in records]:
        fill(db, *some)
    (wanted,) = whole(*records)
    if wanted[3] and '"marketing_consent":false' not in wanted[2]:
        wanted = (wanted[0], None, None, *wanted[3:])  # a deletion needs no more
    assert said(db) == [wanted]


def test_filled_customers_need_a_flush_and_their_position_stays(db: Database) -> None:
    """A record that is read again is no news: only what was left out is written."""
    stage(db, event(4, version=7, **FIELDS))
    assert customers.changed(connected(db), ACCOUNT, None, 10) == []
    fill(db, event(4, version=7, **FIELDS))
    (ann,) = customers.changed(db, ACCOUNT, None, 10)
    assert (ann.state.email, ann.state.tags, ann.position.offset, ann.revision) == ("ann@example.com", ("vip",), 4, 2)
    fill(db, event(4, version=7, **FIELDS))
    assert one(db).revision == 2


def test_a_newer_event_needs_no_filling(db: Database) -> None:
    """What came since the account was connected stays, whatever older record is read again."""
    stage(db, event(4, version=7, **FIELDS))
    stage(connected(db), event(9, version=8, email="new@example.com"))
    fill(db, event(4, version=7, **FIELDS))
    assert (one(db).state.email, one(db).version, one(db).revision) == ("new@example.com", 8, 2)


def test_reading_again_for_one_account_writes_nothing_of_another(db: Database) -> None:
    """Where the other one is not connected its customers stay bare."""
    stage(db, event(4, version=7, **FIELDS))
    connected(db, "other")
    fill(db, event(4, version=7, **FIELDS))
    assert row(db)["bare"] == 1


@pytest.mark.parametrize("version", [7, None])
def test_staging_fills_what_it_reads_again_by_itself(db: Database, version: int | None) -> None:
    """As where the topic was recreated, or nobody read it for long: the same event is no repeat then."""
    stage(db, event(4, version=version, time=AT, **FIELDS))
    stage(connected(db), event(0, version=version, time=AT, **FIELDS), topic_id="new")
    assert (one(db).state.email, row(db)["bare"]) == ("ann@example.com", 0)
    stage(db, event(0, version=version, time=AT, **FIELDS), topic_id="new")
    assert counts.totals(db, "t") == {"repeated": 1}


def test_what_was_ignored_is_found_when_it_is_read_again(db: Database) -> None:
    """An event below a version that was too high is kept for the operator, with its fields, once they may be here."""
    records = [event(0, version=99, **FIELDS), event(1, version=1, email="late@example.com")]
    stage(db, *records)
    assert ignored.count(db) == 0
    fill(connected(db), *records)
    with db.transaction():
        ignored.forget_versions(db, ACCOUNT, None)
    assert one(db).state.email == "late@example.com"


def test_reading_again_moves_no_offset_and_counts_nothing(db: Database) -> None:
    """Where staging goes on, what is a dead letter and what was ignored stay as staging found them."""
    records = [event(0, version=2, **FIELDS), Record(0, 1, None, b"?"), event(2, version=1)]
    stage(db, *records)
    before = counts.totals(db, "t")
    fill(connected(db), *records)
    assert counts.totals(db, "t") == before
    assert offsets.next_of(db, "t", "id", 0) == 3
    assert dead_letters.count(db) == 1
