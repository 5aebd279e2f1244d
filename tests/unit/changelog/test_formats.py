"""Releases before and after this one read what it wrote, and it reads what they wrote."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.changelog import format_1
from tests.unit.sqlite.migrated import database_after
from worker.accounts.settings import missing
from worker.changelog import table_rows
from worker.changelog.column_types import LIST_SHAPE, SHAPES
from worker.changelog.records import FORMAT, Unreadable, changelog_row_of, key_of, value_of
from worker.changelog.table_rows import ChangelogRow
from worker.model import AccountId, AddressKey, CustomerId, ListId, MembershipKey
from worker.sqlite.database import Database, open_database
from worker.sqlite.library import sqlite3
from worker.store import accounts, dead_letters, ledger, marking
from worker.store.dead_letters import DeadLetter

DATA = Path(__file__).parents[2] / "data"
ACCOUNT = AccountId("acct-1")
Record = tuple[bytes | None, bytes | None]


def frozen(name: str) -> list[Record]:
    """Records as a release wrote them, or as a later one might."""
    lines = (DATA / "changelog" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    told = [json.loads(line) for line in lines]
    return [(one["key"].encode(), None if one["value"] is None else one["value"].encode()) for one in told]


def rows(records: list[Record]) -> list[ChangelogRow]:
    """The rows that records tell of; none is left out."""
    found = [changelog_row_of(*record) for record in records]
    assert [one for one in found if isinstance(one, Unreadable)] == []
    return [one for one in found if isinstance(one, ChangelogRow)]


def written(db: Database) -> list[Record]:
    """Records of everything that a database has, as this release writes them."""
    return [(key_of(one), value_of(one, erase=False)) for one in table_rows.all_rows(db)]


def table(db: Any, name: str, columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Some columns of a table."""
    return sorted((tuple(row) for row in db.execute(f"SELECT {', '.join(columns)} FROM {name}")), key=str)


def old_release() -> Any:
    """A database of the release before there was a format."""
    connection = sqlite3.connect(":memory:")
    database_after("0002_kept_in_kafka").backup(connection)
    for name in ("ledger", "standing", "account", "list"):
        connection.execute(f"DELETE FROM {name}")
    return connection


OLD_TABLES = [
    *((name, (*key, *columns)) for name, key, columns in format_1.TABLES.values()),
    ("account", ("account_id", *format_1.ACCOUNT)),
    ("list", ("account_id", *format_1.LIST)),
]


def test_records_of_the_release_before_are_read(db: Database) -> None:
    """Also records of rows that are gone: the ledger, the customer statuses and the settings are as they were."""
    with db.transaction():
        table_rows.apply(db, rows(frozen("format-1")))
    with closing(old_release()) as old:
        assert format_1.read(frozen("format-1"), old) == 0
        for name, columns in OLD_TABLES:
            assert table(db, name, columns) == table(old, name, columns)
    entries = {
        one.membership.address: one for one in ledger.owned_by(db, ACCOUNT, [CustomerId("ann"), CustomerId("bob")])
    }
    assert entries[AddressKey("ann@example.com")].fields == {"FNAME": "0a1b"}
    assert entries[AddressKey("bob@example.com")].intent is not None
    assert [one.name for one in accounts.all_accounts(db)[0].lists] == ["Mäster", "Other"]


def test_the_release_before_reads_what_this_one_wrote(db: Database) -> None:
    """The way back: with an empty database it knows of every row what it ever knew, fields of later releases aside."""
    with db.transaction():
        table_rows.apply(db, rows(frozen("format-1")))
        table_rows.apply(db, rows(frozen("later-fields")))
        table_rows.apply(db, [ChangelogRow("forgotten", ("acct-1", "d1g3st"), {"forgotten_at": "x", "has_left": 1})])
    with closing(old_release()) as old:
        records = written(db)
        assert format_1.read(records, old) == 1  # who was forgotten, which that release does not know
        for name, columns in OLD_TABLES:
            assert table(old, name, columns) == table(db, name, columns)
        assert table(old, "ledger", ("address",))


def test_what_a_later_release_wrote_is_kept_when_a_row_is_written_back(db: Database) -> None:
    """Fields that this release does not know survive its own changes of the row, in each kind of record."""
    with db.transaction():
        table_rows.apply(db, rows(frozen("later-fields")))
    with db.transaction():
        place = MembershipKey(ListId("master"), AddressKey("ann@example.com"))
        named = ledger.put_entries(db, ACCOUNT, [ledger.LedgerEntry(place, CustomerId("ann"), "gone", "added", "now")])
        status = ledger.CustomerStatus(CustomerId("ann"), place, "Forgotten")
        named += ledger.put_customer_statuses(db, ACCOUNT, [status])
        found = accounts.find(db, ACCOUNT)
        assert found is not None
        named += accounts.save(db, found)
        named += marking.mark_changed(db, ACCOUNT, None).rows
        changed = table_rows.rows_of(db, named)
    told = {one.kind: json.loads(value_of(one, erase=False) or b"null") for one in changed}
    assert (told["place"]["state"], told["place"]["tags"], told["place"]["score"]) == ("gone", ["vip"], 1.5)
    assert (told["customer"]["refusal"], told["customer"]["reviewed"]) == ("Forgotten", {"by": "operator"})
    assert (told["account"]["resyncs"], told["account"]["quota"]) == (2, 500)
    assert told["account"]["lists"][0]["colour"] == "blue"
    assert {one["format"] for one in told.values()} == {FORMAT}


@pytest.mark.parametrize("record", frozen("not-applied"))
def test_what_cannot_be_applied_is_reported_with_its_account(record: Record) -> None:
    """A later format, another kind or a value that no column takes: why, and for whom nothing may be delivered."""
    found = changelog_row_of(*record)
    assert isinstance(found, Unreadable)
    assert found.account_id == ACCOUNT
    assert found.reason


def test_an_account_with_a_record_that_cannot_be_applied_waits(db: Database) -> None:
    """Until the record is applied, or dropped; to resume the account is not enough, and age does not remove it."""
    with db.transaction():
        table_rows.apply(db, rows(frozen("format-1")))
        letter = DeadLetter("x.ledger", "id", 0, 7, b"key", b"?", (), "why", "2020-01-01T00:00:00Z", account_id=ACCOUNT)
        dead_letters.keep(db, [letter])
    found = accounts.find(db, ACCOUNT)
    assert found is not None
    lacking = missing(found)[0]
    assert (lacking.code, f"dead letter {found.unapplied}" in lacking.message) == ("record_not_applied", True)
    assert dead_letters.drop_before(db, "2030-01-01T00:00:00Z") == 0
    assert dead_letters.drop_beyond(db, 0) == 0
    with db.transaction():
        dead_letters.drop_superseded(db, "x.ledger", [b"key"])
    found = accounts.find(db, ACCOUNT)
    assert found is not None
    assert found.unapplied is None


def test_every_column_has_its_shape(db: Database) -> None:
    """A column that is kept in Kafka and not checked could stop every worker with one value."""
    with db.transaction():
        table_rows.apply(db, rows(frozen("format-1")))
        table_rows.apply(db, rows(frozen("later-fields")))
    found = {one.kind: set(one.row or ()) for one in table_rows.all_rows(db)}
    unknown = {"tags", "score", "reviewed", "quota"}
    for kind, columns in found.items():
        assert columns - unknown == set(SHAPES[kind]), kind


def test_every_column_of_the_tables_is_kept(db: Database) -> None:
    """A column that a migration adds is stored in Kafka too: none is left out by mistake."""
    lists = set(LIST_SHAPE) - {"list_id"}
    for table, key, columns in (
        ("ledger", {"account_id", "list_id", "address"}, set(SHAPES["place"])),
        ("standing", {"account_id", "customer_id"}, set(SHAPES["customer"])),
        ("forgotten", {"account_id", "digest"}, set(SHAPES["forgotten"])),
        ("account", {"account_id"}, set(SHAPES["account"]) - {"lists"}),
        ("list", {"account_id", "list_id"}, lists),
    ):
        there = {row["name"] for row in db.execute(f"PRAGMA table_info({table})")}
        assert there == key | columns | {"other_fields"}, table


VALUES = st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2) | st.booleans()
MIXED = st.sampled_from(
    [json.loads(value) for _, value in (*frozen("format-1"), *frozen("later-fields")) if value not in (None, b"{}")]
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(frozen("format-1") + frozen("later-fields")), MIXED, st.data())
def test_what_is_read_can_be_written_and_read_again(record: Record, row: dict[str, Any], data: st.DataObject) -> None:
    """Whatever a record holds: either it is refused as a whole, or the database takes it, and its rows are read."""
    name = data.draw(st.sampled_from(sorted(row)))
    found = changelog_row_of(record[0], json.dumps(row | {name: data.draw(VALUES)}).encode())
    if isinstance(found, Unreadable):
        return
    with closing(open_database(":memory:")) as db:
        with db.transaction():
            table_rows.apply(db, [found])
        for one in table_rows.all_rows(db):
            assert changelog_row_of(key_of(one), value_of(one, erase=False)) == one
        accounts.all_accounts(db)
        ledger.owned_by(db, ACCOUNT, [CustomerId("ann"), CustomerId("bob"), CustomerId("")])
        ledger.customer_statuses_of(db, ACCOUNT, [CustomerId("ann")])
