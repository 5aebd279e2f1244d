import json
import random
from collections import defaultdict
from contextlib import closing
from dataclasses import replace

import pytest

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.unit.accounts.build import ACCOUNT, AT, NEIGHBOUR, SECRET, Mailchimp, connect, everything, stage
from worker.accounts import forget, lists
from worker.accounts.forget import forget_account
from worker.accounts.settings import load
from worker.errors import DatabaseError, NotFound
from worker.model import AddressKey, CustomerId, ListId, MembershipKey
from worker.sqlite import database
from worker.sqlite.database import open_database
from worker.store import customers, dead_letters, ledger, receipts, runs
from worker.store.dead_letters import DeadLetter
from worker.store.ledger import CustomerStatus, LedgerEntry
from worker.store.receipts import Receipt
from worker.store.runs import AccountRun

ANN, OLD = AddressKey("1@example.com"), AddressKey("old@example.com")
MOMENT = "2026-11-20T10:00:00.000Z"
OWN_TABLES = ("account", "list", "ledger", "standing", "receipt", "flush_run_account")


def forget_person(db, address):
    """Erases a person with the secret key of these tests."""
    return forget.forget_person(db, CHANGELOG, address, secret=SECRET, at=AT)


def entry(number, address, account_list="one"):
    """A member that was added for the customer of that number."""
    return LedgerEntry(
        MembershipKey(ListId(account_list), AddressKey(address)),
        CustomerId(f"cus-{number}"),
        "present",
        "added",
        MOMENT,
    )


def customer_status(number, address, **values):
    """A customer that was settled at a place."""
    return CustomerStatus(CustomerId(f"cus-{number}"), MembershipKey(ListId("one"), AddressKey(address)), **values)


def receipt(number, address, account_id=ACCOUNT):
    """What became of the customer of that number."""
    return Receipt(
        run=1,
        at=MOMENT,
        account_id=account_id,
        customer_id=CustomerId(f"cus-{number}"),
        address=AddressKey(address),
        revision=1,
        event_id=None,
        topic="customers",
        partition=0,
        offset=number,
        list_id=ListId("one"),
        list_reason=None,
        outcome="added",
        detail="Added.",
        next="Nothing.",
        sent={"email_address": address},
    )


def letter(offset, key=None, value=None):
    """A record that could not be understood."""
    return DeadLetter("customers", "", 0, offset, key, value, [], "not JSON", MOMENT)


def work(db, account_id, *numbers):
    """An account with lists, customers, members, statuses, receipts and a part in a run."""
    connect(db, account_id)
    mailchimp = Mailchimp(f"one-{account_id}")
    lists.refresh(db, CHANGELOG, account_id, secret=SECRET, open_sender=mailchimp.open, at=AT)
    setters.store(db, CHANGELOG, account_id, None)
    stage(db, *numbers, account_id=account_id)
    with db.transaction():
        for one in numbers:
            ledger.put_entries(db, account_id, [entry(one, f"{one}@example.com")])
            ledger.put_customer_statuses(db, account_id, [customer_status(one, f"{one}@example.com")])
            receipts.write(db, [receipt(one, f"{one}@example.com", account_id)])
        run = runs.start(db, MOMENT, "daily", None)
        runs.put_account(db, run, AccountRun(account_id, {"added": 1}, 1, 1))


def told(path, text):
    """The tables that have a text in any row."""
    return {
        table
        for table, rows in everything(path).items()
        for row in rows
        for value in row
        if text.lower() in (value.decode(errors="replace") if isinstance(value, bytes) else str(value)).lower()
    }


# --- an account


def test_a_forgotten_account_is_in_no_table_but_its_customers(db, path):
    """All else is gone; customers stay without their fields, and where to read these again should it connect again."""
    work(db, ACCOUNT, 1, 2)
    assert told(path, ACCOUNT) >= set(OWN_TABLES)
    forget_account(db, CHANGELOG, ACCOUNT)
    assert told(path, ACCOUNT) == {"customer", "bare_account"}
    assert told(path, "1@example.com") == told(path, "2@example.com") == set()
    assert customers.changed_count(db, ACCOUNT) == 2
    with pytest.raises(NotFound):
        load(db, ACCOUNT)


def test_forgetting_an_account_leaves_the_others(db, path):
    """Another account keeps every row, whatever the two have in common."""
    work(db, NEIGHBOUR, 1, 2)
    before = everything(path)
    work(db, ACCOUNT, 1, 2)
    forget_account(db, CHANGELOG, ACCOUNT)
    after = everything(path)
    for table in OWN_TABLES:
        assert after[table] == before[table]
    assert customers.changed_count(db, NEIGHBOUR) == 0


def test_a_forgotten_account_begins_as_a_new_one(db):
    """An account that connects again has chosen nothing, and its lists are free for others meanwhile."""
    work(db, ACCOUNT, 1)
    forget_account(db, CHANGELOG, ACCOUNT)
    again = connect(db)
    assert (again.lists, again.enabled, again.master_list, again.refreshed_at) == ((), False, None, None)


def test_forgetting_an_unknown_account_changes_nothing(db, path):
    """Forgetting an account that is not there leaves everything as it was."""
    work(db, NEIGHBOUR, 1)
    before = everything(path)
    forget_account(db, CHANGELOG, ACCOUNT)
    assert everything(path) == before


# --- a person


def test_a_forgotten_person_is_in_no_table(db, path):
    """Every row about a customer with the address goes, in all accounts, dead letters too; the counts include each."""
    work(db, ACCOUNT, 1, 2)
    work(db, NEIGHBOUR, 1, 3)
    with db.transaction():
        dead_letters.keep(
            db, [letter(1, value=b'{"email": "1@Example.COM"'), letter(2, key=b"x", value=b"2@example.com")]
        )
    assert told(path, ANN) == {"customer", "ledger", "standing", "receipt", "dead_letter"}
    assert forget_person(db, ANN) == {"receipts": 2, "places": 4, "customers": 2, "dead letters": 1}
    assert told(path, ANN) == set()
    assert {row[1] for row in everything(path)["customer"]} == {"cus-2", "cus-3"}
    assert dead_letters.count(db) == 1


def test_others_keep_every_row_when_a_person_is_forgotten(db, path):
    """No row of anybody else changes; of the person stays a hash alone, with the key that it was made with."""
    work(db, ACCOUNT, 2, 3)
    before = everything(path)
    stage(db, 1)
    with db.transaction():
        ledger.put_entries(db, ACCOUNT, [entry(1, ANN)])
        ledger.put_customer_statuses(db, ACCOUNT, [customer_status(1, ANN)])
        receipts.write(db, [receipt(1, ANN)])
    forget_person(db, ANN)
    after = everything(path)
    own = {"sqlite_sequence", "forgotten", "changelog_topic"}
    assert {name: rows for name, rows in after.items() if name not in own} == {
        name: rows for name, rows in before.items() if name not in own
    }


@pytest.mark.parametrize(
    "known",
    [
        lambda db: receipts.write(db, [receipt(1, OLD)]),
        lambda db: ledger.put_customer_statuses(db, ACCOUNT, [customer_status(1, OLD)]),
        lambda db: ledger.put_entries(db, ACCOUNT, [replace(entry(1, OLD), state="archived")]),
        lambda db: ledger.put_customer_statuses(
            db, ACCOUNT, [customer_status(1, ANN, refusal="Invalid Resource", refused_address=OLD)]
        ),
    ],
    ids=["receipt", "standing", "ledger", "refusal"],
)
def test_a_person_is_found_by_an_address_of_before(db, path, known):
    """A person who ever had the address is forgotten whole, everywhere, under the new address too."""
    stage(db, 1, 2)
    with db.transaction():
        ledger.put_entries(db, ACCOUNT, [entry(1, ANN), entry(2, "2@example.com")])
        known(db)
    forget_person(db, OLD)
    assert told(path, OLD) == set()
    assert told(path, ANN) == set()
    assert told(path, "cus-1") == set()
    assert told(path, "cus-2") == {"customer", "ledger"}


@pytest.mark.parametrize(
    "value",
    [
        '{"email": "ÉMILE@example.com"'.encode(),
        '{"email": "émile@example.com"'.encode(),
        b'{"email": "\\u00c9mile@example.com"',
        b'{"email": "\\u00E9mile@example.com"',
        b'\xff{"email": "' + "Émile@example.com".encode(),
        '{"email": "ÉMILE@example.com"'.encode("utf-16"),
        b"email=%C3%89mile%40example.com",
    ],
)
def test_dead_letters_are_found_however_they_spell_an_address(db, value):
    """A dead letter goes whatever its letter case, its encoding, whether JSON escaped it, and whatever is broken."""
    with db.transaction():
        dead_letters.keep(db, [letter(1, value=value), letter(2, key=value), letter(3, value=b"other@example.com")])
    assert forget_person(db, AddressKey("émile@example.com"))["dead letters"] == 2
    assert dead_letters.count(db) == 1


def test_forgetting_nobody_changes_nothing(db, path):
    """An address that nobody has or had leaves everything as it was, and the counts say so."""
    work(db, ACCOUNT, 1)
    before = everything(path)
    assert forget_person(db, AddressKey("nobody@example.com")) == {
        "receipts": 0,
        "places": 0,
        "customers": 0,
        "dead letters": 0,
    }
    assert everything(path) == before


# --- traces


def raw(path):
    """All bytes of the database's file and of its write-ahead log."""
    return b"".join(one.read_bytes() for one in (path, path.with_name(path.name + "-wal")) if one.exists())


def live(db):
    """Lets many customers change their address again and again; returns the addresses of each."""
    chance, addresses = random.Random(1), defaultdict(set)
    for turn in range(30):
        with db.transaction():
            for number in (chance.randrange(800) for _ in range(100)):
                address = f"p{number}-{turn}@example.com"
                addresses[number].add(address)
                customers.stage(db, [staged(number, address, "x" * chance.choice((10, 300, 900, 9000)))])
                receipts.write(db, [receipt(number, address)])
                ledger.put_entries(db, ACCOUNT, [entry(number, address)])
        if turn == 20:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return addresses


def staged(number, address, padding):
    """A customer as it is staged."""
    state = json.dumps({"id": f"cus-{number}", "email": address, "company": padding}).encode()
    return ACCOUNT, f"cus-{number}", address, state, 0, None, None, None, "customers", "", 0, number, MOMENT


def test_no_byte_of_a_forgotten_person_is_left_in_the_files(db, path):
    """No address that the person ever had is left in the file or its log, however often pages were split and moved."""
    addresses = live(db)
    gone = sorted(addresses)[::60]
    assert all(address.encode() in raw(path) for number in gone for address in addresses[number])
    for number in gone:
        forget_person(db, AddressKey(max(addresses[number])))
    left = raw(path)
    assert [address for number in gone for address in addresses[number] if address.encode() in left] == []
    assert path.with_name(path.name + "-wal").stat().st_size == 0


def test_no_byte_of_a_forgotten_account_is_left_in_the_files(db, path):
    """Neither what its receipts and ledger say nor its encrypted key."""
    work(db, ACCOUNT, *range(50))
    key = bytes(everything(path)["account"][0][1])
    assert key in raw(path)
    forget_account(db, CHANGELOG, ACCOUNT)
    assert key not in raw(path)
    assert b"email_address" not in raw(path)


def test_traces_that_cannot_be_removed_are_reported(db, path, monkeypatch):
    """Another connection that reads on keeps the log from being emptied: an error says so and what to do."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.01)
    work(db, ACCOUNT, 1)
    with closing(open_database(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM customer").fetchone()
        with pytest.raises(DatabaseError, match="removed, but its bytes may still be in the file") as caught:
            forget_person(db, ANN)
        assert "overwrites them" in caught.value.advice
        reader.execute("COMMIT")
    assert told(path, ANN) == set()
    assert forget_person(db, ANN)["customers"] == 0
    assert ANN.encode() not in raw(path)


@pytest.mark.parametrize("now", [True, False])
def test_an_address_that_the_person_gave_a_member_is_erased_too(tmp_path, now):
    """Whether another customer has it by now, of whom the person is asked for, or nobody."""
    path = tmp_path / "x.db"
    with closing(open_database(path)) as db:
        stage(db, *((1, 2) if now else (2,)))
        with db.transaction():
            changed = replace(entry(2, "2@example.com"), state="gone", address_now=ANN)
            ledger.put_entries(db, ACCOUNT, [changed])
        forget_person(db, ANN)
    assert ANN not in str(everything(path))
