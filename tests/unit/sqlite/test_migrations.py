"""A database that an earlier release made serves this one: nothing in it is lost, and all of it can be read."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.unit.sqlite.migrated import FILE, NAMES, database_after, heading, make_database, sections
from worker.changelog import table_rows
from worker.model import AccountId, AddressKey, CustomerId, MembershipKey
from worker.sqlite import migrations
from worker.sqlite.database import open_database
from worker.sqlite.library import sqlite3
from worker.store import accounts, counts, customers, dead_letters, ledger, offsets, receipts, runs

ONE, TWO = AccountId("acct-1"), AccountId("acct-2")
ANN, BOB, CAT = (AddressKey(f"{name}@example.com") for name in ("ann", "bob", "cat"))
TOPIC, TOPIC_ID = "billmywork.customers", "t0p1cId"
MOMENT = "2026-11-22T10:00:00.000Z"


def rows(path, columns=None):
    """Returns all rows of all tables but SQLite's own, of the given columns where these are given."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        found = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        own = [name for name in found if not name.startswith("_") and name != "sqlite_stat4"]  # which SQLite may make
        tables = [name for name in own if columns is None or name in columns]
        return {
            name: [
                {column: row[column] for column in (columns[name] if columns else row.keys())}
                for row in connection.execute(f"SELECT * FROM {name}")
            ]
            for name in tables
        }


@pytest.fixture(params=NAMES)
def path(request, tmp_path):
    """Returns a database as each migration left it."""
    made = tmp_path / "x.db"
    make_database(request.param, made)
    return made


@pytest.fixture
def db(path):
    """Returns that database, opened by this release."""
    database = open_database(path)
    yield database
    database.close()


@pytest.mark.parametrize("name", NAMES)
def test_no_migration_is_changed_later(name):
    """Databases have what a migration did when it was added: another statement of it would change new ones only."""
    assert heading(name) in sections(), f"add to {FILE.name}, if the migration is new: {heading(name)}"


def test_no_migration_is_left_out():
    """They are applied in the order of the file, and none of the file is missing."""
    assert [line.split()[1] for line in sections()] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_table_has_rows(tmp_path, name):
    """A table without rows would be migrated untried."""
    made = tmp_path / "x.db"
    make_database(name, made)
    assert [table for table, found in rows(made).items() if not found] == []
    applied = database_after(name).execute("SELECT name FROM _sqlite_migrations ORDER BY id")
    assert [one for (one,) in applied] == NAMES[: NAMES.index(name) + 1]


def test_no_row_is_lost_or_changed(path):
    """Every row has the values that it had; opened again, nothing changes any more."""
    before = rows(path)
    columns = {name: [*found[0]] for name, found in before.items()}
    open_database(path).close()
    assert rows(path, columns) == before
    after = rows(path)
    open_database(path).close()
    assert rows(path) == after


def test_customers_are_read(db):
    """What a flush begins with: who changed, who has an address, what was read of each."""
    ann, cat = customers.changed(db, ONE, None, 10)
    assert (ann.customer_id, ann.state.email, ann.state.list_id, ann.version) == (
        "cus-ann",
        "Ann@example.com",
        "lista",
        3,
    )
    assert (ann.revision, ann.position.offset) == (4, 12)
    assert (cat.customer_id, cat.deleted, cat.state.email) == ("cus-cat", True, None)
    assert customers.accounts_with_changes(db) == {ONE: 2, TWO: 1}
    assert [one.account_id for one in customers.find_by_address(db, ANN, None)] == [ONE, TWO]
    assert customers.find_by_address(db, ANN, TWO)[0].state.marketing_consent is False
    customers.settle_known(db)
    with db.transaction():
        customers.settle(db, ONE, [(ann.customer_id, ann.revision)])
    assert customers.changed_count(db, ONE) == 1


def test_the_ledger_is_read(db):
    """What consent depends on: every place with its state, every customer status with its refusal."""
    found = {
        (one.membership.list_id, one.membership.address): one for one in ledger.entries_of(db, ONE, [ANN, BOB, CAT])
    }
    told = {membership: (one.state, one.origin, one.member_status) for membership, one in found.items()}
    assert told == {
        ("lista", ANN): ("present", "added", "subscribed"),
        ("lista", BOB): ("present", "found", "unsubscribed"),
        ("listb", ANN): ("intended", "added", None),
        ("listb", BOB): ("gone", "added", None),
        ("listb", CAT): ("archived", "added", "archived"),
    }
    assert found["lista", ANN].fields == {"FNAME": "0a1b"}
    assert (found["listb", CAT].status_before, found["listb", CAT].last_changed) == ("subscribed", MOMENT)
    assert ledger.present_count(db, ONE) == {"lista": 2}
    who = [CustomerId(f"cus-{name}") for name in ("ann", "bob", "cat")]
    ann, bob, cat = ledger.customer_statuses_of(db, ONE, who)
    assert (ann.membership, ann.refusal) == (MembershipKey("lista", ANN), None)
    assert (bob.refusal, bob.refused_address, bob.attempts, bob.retry_at) == (
        "Member In Compliance State",
        BOB,
        2,
        MOMENT,
    )
    assert cat.membership is None
    everything = [(one.kind, one.key) for one in table_rows.all_rows(db) if one.kind not in ("forgotten", "erasure")]
    assert len(everything) == 5 + 3 + 2


def test_settings_are_read(db):
    """Accounts with their lists, keys and pauses."""
    one, two = accounts.all_accounts(db)
    assert (one.account_id, one.enabled, one.master_list, one.status_if_new) == (ONE, True, "lista", "subscribed")
    assert [(each.list_id, each.stored) for each in one.lists] == [("lista", True), ("listb", True), ("listc", False)]
    assert (one.lists[1].pause is not None, one.lists[2].gone_at is not None) == (True, True)
    assert (two.enabled, two.pause is not None, two.status_if_new) == (False, True, "pending")
    assert accounts.encrypted_key(db, ONE) == b"gAAAAA-encrypted"
    assert accounts.stored_by(db, "listb") == ONE


def test_what_was_read_and_what_was_done_is_there(db):
    """Positions, counts, dead letters, receipts, runs and requests."""
    assert [offsets.next_of(db, TOPIC, TOPIC_ID, partition) for partition in (0, 1)] == [13, 4]
    assert offsets.account_partitions(db, TOPIC, TOPIC_ID) == {ONE: {0}, TWO: {1}}
    assert offsets.instance_id(db, "another") == "worker-0123456789abcdef"
    assert counts.totals(db, TOPIC) == {"skipped": 2, "older": 1}
    (letter,) = dead_letters.all_letters(db)
    assert (letter.number, letter.key, letter.value) == (2, b"acct-1/cus-x", b"\xff no JSON")
    assert letter.headers == [("ce_type", b"x"), ("none", None)]
    added, held = receipts.find(db, account_id=ONE)
    assert (added.outcome, added.sent, added.answer_status) == ("added", {"email_address": "Ann@example.com"}, 200)
    assert (held.outcome, held.call) == ("held", None)
    assert [one.customer_id for one in receipts.find(db, address=BOB)] == ["cus-bob"]
    newest, oldest = runs.last(db, 2)
    assert (newest.ended, oldest.ended, oldest.accounts[0].counts) == (None, "done", {"added": 1, "held": 1})
    assert [one.account_id for one in runs.not_completed(db, MOMENT, MOMENT)] == [TWO], "in partition 1"
    request = next(iter(runs.open_requests(db)), None)
    assert request is not None
    assert request.request == 2


def test_what_is_written_next_has_a_number_of_its_own(db):
    """Numbers of rows that were removed are not given again."""
    with db.transaction():
        assert runs.start(db, MOMENT, "daily", None) == 3
        assert runs.ask(db, MOMENT, None, confirmed=False).request == 3


def test_two_that_open_a_new_database_at_once_both_have_it(tmp_path, monkeypatch):
    """Both find that migrations are missing; the second one waits for the first, and finds none missing any more."""
    both, lacks = threading.Barrier(2, timeout=20), migrations.are_missing

    def lacks_for_both(tables):
        found = lacks(tables)
        both.wait()
        return found

    monkeypatch.setattr(migrations, "are_missing", lacks_for_both)
    monkeypatch.setattr(migrations, "apply", migrations.apply.__wrapped__)  # no copy of a database
    with ThreadPoolExecutor(2) as threads:
        opened = list(threads.map(open_database, [tmp_path / "worker.db"] * 2))
    for one in opened:
        assert runs.last(one, 1) == []
        one.close()
