"""Which rows a transaction touched, and rows of another database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.changelog import table_rows
from worker.changelog.table_rows import ChangelogRow
from worker.model import AccountId, CustomerId, ListId, MembershipKey
from worker.store import accounts, customers, ledger, ledger_erasure, lists
from worker.store.accounts import AccountSettings
from worker.store.database import Database, open_database
from worker.store.ledger import CustomerStatus, LedgerEntry
from worker.store.lists import AccountList, Pause

ACCOUNT = AccountId("acct-1")
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
TABLES = ("ledger", "standing", "account", "list")


def entry(address: str, state: str = "present") -> LedgerEntry:
    """An entry of the master list."""
    membership = MembershipKey(ListId("master"), address)  # type: ignore[arg-type]
    return LedgerEntry(membership, CustomerId("cus-1"), state, "added", "2026-11-22T10:00:00.000Z", {"FNAME": "x"})  # type: ignore[arg-type]


def chosen(account: str = "acct-1", *, stored: bool = True, name: str = "Master") -> AccountSettings:
    """An account with one list."""
    one = AccountList(ListId("master"), name, stored, 5, False, NOW, pause=Pause("it refuses everybody", NOW))
    return AccountSettings(AccountId(account), True, "-us1", ListId("master"), lists=(one,))


def rows(db: Database) -> dict[str, list[tuple[object, ...]]]:
    """All that the four tables hold."""
    return {table: sorted((tuple(row) for row in db.execute(f"SELECT * FROM {table}")), key=str) for table in TABLES}


class Copied:
    """A database that watches, and another one that gets whatever each transaction touched."""

    def __init__(self) -> None:
        self.db, self.copy = open_database(":memory:"), open_database(":memory:")
        table_rows.watch(self.db)
        self.db.before_commit = self._pass_on
        self.passed: list[list[ChangelogRow]] = []

    def _pass_on(self, db: Database, erase: bool) -> None:
        found = table_rows.touched(db)
        self.passed.append(found)
        with self.copy.transaction():
            table_rows.apply(self.copy, found)

    def close(self) -> None:
        """Closes both."""
        self.db.close()
        self.copy.close()


@pytest.fixture
def copied() -> Iterator[Copied]:
    """Both, empty."""
    with closing(Copied()) as made:
        yield made


STEPS = st.sampled_from(
    ["entry", "archived", "drop", "drop intent", "standing", "place", "settle", "account", "pause", "list gone",
     "key", "delete account", "forget", "clear", "resync", "resync one"]
)  # fmt: skip


def do(db: Database, step: str, number: int) -> None:
    """Does one of the things that write to these tables."""
    address, who = f"{number}@example.com", CustomerId(f"cus-{number}")
    membership = MembershipKey(ListId("master"), address)  # type: ignore[arg-type]
    match step:
        case "entry" | "archived":
            ledger.put_entries(db, ACCOUNT, [entry(address, "intended" if step == "entry" else "archived")])
        case "drop":
            ledger.drop_entries(db, ACCOUNT, [membership])
        case "drop intent":
            ledger.drop_intents(db, ACCOUNT, [membership])
        case "standing":
            ledger.put_customer_statuses(
                db, ACCOUNT, [CustomerStatus(who, membership, "Invalid Resource", membership.address, 1)]
            )
        case "place":
            ledger.put_memberships(db, ACCOUNT, [(who, membership)])
        case "settle":
            row = (ACCOUNT, who, address, None, 0, 1, "e", None, "t", "id", 0, number, "now")
            customers.stage(db, [row])
            customers.settle(db, ACCOUNT, [(who, 1)])
        case "account":
            accounts.save(db, chosen(name=f"Master {number}"))
        case "pause":
            accounts.pause(db, ACCOUNT, Pause("why", NOW))
            lists.pause(db, ACCOUNT, ListId("master"), Pause("why", NOW))
        case "list gone":
            lists.mark_gone(db, ACCOUNT, ListId("master"), NOW)
        case "key":
            accounts.set_encrypted_key(db, ACCOUNT, b"\x00sealed")
        case "delete account":
            accounts.delete(db, ACCOUNT)
        case "forget":
            ledger_erasure.delete_customers(db, [(ACCOUNT, who)], membership.address)
        case "clear":
            ledger.clear_refusals(db, ACCOUNT, None)
        case "resync":
            customers.mark_changed(db, ACCOUNT, None)
        case "resync one":
            customers.mark_changed(db, ACCOUNT, membership.address)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(STEPS, st.integers(0, 2)), min_size=1, max_size=4), max_size=12))
def test_another_database_holds_the_same_after_every_transaction(history: list[list[tuple[str, int]]]) -> None:
    """Whichever function wrote: what is passed on is all that changed."""
    with closing(Copied()) as copied:
        for transaction in history:
            with copied.db.transaction():
                for step, number in transaction:
                    do(copied.db, step, number)
            assert rows(copied.copy) == rows(copied.db)


def test_a_transaction_that_is_rolled_back_leaves_nothing_noted(copied: Copied) -> None:
    """What was not written is not passed on, then or later."""

    def fail() -> None:
        with copied.db.transaction():
            ledger.put_entries(copied.db, ACCOUNT, [entry("a@example.com")])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with copied.db.transaction():
        ledger.put_entries(copied.db, ACCOUNT, [entry("b@example.com")])
    assert [[one.key for one in found] for found in copied.passed] == [[("acct-1", "master", "b@example.com")]]


def test_what_cannot_be_passed_on_is_not_written(copied: Copied) -> None:
    """The transaction fails as a whole."""

    def refuse(db: Database, erase: bool) -> None:
        raise RuntimeError

    copied.db.before_commit = refuse
    with pytest.raises(RuntimeError), copied.db.transaction():
        ledger.put_entries(copied.db, ACCOUNT, [entry("a@example.com")])
    assert rows(copied.db)["ledger"] == []


def test_a_resync_elsewhere_marks_the_customers_here(copied: Copied) -> None:
    """Settings that were chosen at another worker have every customer of the account looked at again."""
    with copied.db.transaction():
        accounts.save(copied.db, chosen())
    row = (ACCOUNT, "cus-1", "a@example.com", None, 0, 1, "e", None, "t", "id", 0, 7, "now")
    with copied.copy.transaction():
        customers.stage(copied.copy, [row])
        customers.settle(copied.copy, ACCOUNT, [(CustomerId("cus-1"), 1)])
    assert customers.changed_count(copied.copy, ACCOUNT) == 0
    with copied.db.transaction():
        accounts.save(copied.db, chosen(name="Other name"))
    assert customers.changed_count(copied.copy, ACCOUNT) == 0
    with copied.db.transaction():
        customers.mark_changed(copied.db, ACCOUNT, None)
    assert customers.changed_count(copied.copy, ACCOUNT) == 1


def test_of_two_accounts_that_stored_one_list_elsewhere_the_first_keeps_it(copied: Copied) -> None:
    """A list is stored by one account only, though two workers allowed it at the same moment."""
    one, other = open_database(":memory:"), open_database(":memory:")
    found = []
    for db, account in ((one, "acct-1"), (other, "acct-2")):
        table_rows.watch(db)
        with db.transaction():
            accounts.save(db, chosen(account))
            found += table_rows.touched(db)
    with copied.copy.transaction():
        table_rows.apply(copied.copy, found)
    assert lists.stored_by(copied.copy, ListId("master")) == ACCOUNT
    assert [len(each.lists) for each in accounts.all_accounts(copied.copy)] == [1, 1]


# Customers that were settled with another database


def settled_elsewhere(resyncs: int, offset: int) -> Database:
    """A database with one changed customer, whose standing says that this offset was settled."""
    db = open_database(":memory:")
    with db.transaction():
        accounts.save(db, chosen())
        for _ in range(resyncs):
            customers.mark_changed(db, ACCOUNT, None)
        customers.stage(db, [(ACCOUNT, "cus-1", "a@example.com", None, 0, 1, "e", None, "t", "id", 0, 7, "now")])
        row = {"attempts": 0, "settled": f"0 id 0 {offset}"}
        table_rows.apply(db, [ChangelogRow("customer", ("acct-1", "cus-1"), row)])
    return db


@pytest.mark.parametrize(("resyncs", "offset", "known"), [(0, 7, 1), (0, 6, 0), (1, 7, 0)])
def test_only_the_event_that_was_settled_is_known(resyncs: int, offset: int, known: int) -> None:
    """Not another event of the customer, nor the same after the account wanted everybody looked at again."""
    with closing(settled_elsewhere(resyncs, offset)) as db:
        assert customers.settle_known(db) == known
        assert customers.changed_count(db, ACCOUNT) == 1 - known


def test_a_resync_of_one_address_takes_back_that_it_was_settled() -> None:
    """Also for workers that learn of it from Kafka."""
    with closing(settled_elsewhere(0, 7)) as db:
        with db.transaction():
            customers.mark_changed(db, ACCOUNT, "a@example.com")  # type: ignore[arg-type]
        assert customers.settle_known(db) == 0
