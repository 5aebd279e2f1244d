"""Which rows a function wrote, how they are committed, and rows of another database."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.checked_changelog import touched, watch, written
from worker.changelog import table_rows
from worker.changelog.signatures import Signatures
from worker.changelog.table_rows import ChangelogRow
from worker.changelog.writer import Acknowledged, ChangelogWriter
from worker.config import Kafka
from worker.errors import KafkaError
from worker.model import AccountId, CustomerId, ListId, MembershipKey
from worker.sqlite.database import Database, open_database
from worker.sqlite.rows import Changed, RowKey, account_rows
from worker.store import accounts, customers, forgotten, ignored, ledger, ledger_erasure, marking, readings, refusals
from worker.store.accounts import AccountList, AccountSettings, Pause
from worker.store.ledger import CustomerStatus, LedgerEntry
from worker.store.readings import Reading

ACCOUNT = AccountId("acct-1")
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
TABLES = ("ledger", "standing", "account", "list", "forgotten", "changelog_topic")


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


class Copied(ChangelogWriter):
    """A database, and another one instead of Kafka, which gets the rows of each change before it is committed."""

    def __init__(self) -> None:
        super().__init__(Kafka(), lambda: NOW, lambda: Signatures([b"k"]))
        self.db, self.copy = open_database(":memory:"), open_database(":memory:")
        self.passed: list[Sequence[ChangelogRow]] = []

    def write(
        self, rows: Sequence[ChangelogRow], *, outcome_rows: object = (), erased: Collection[RowKey] = ()
    ) -> list[Acknowledged]:
        """Passes rows on."""
        self.passed.append(rows)
        with self.copy.transaction():
            table_rows.apply(self.copy, rows)
        return []

    def change(self, act: Callable[[], Sequence[RowKey]]) -> None:
        """Commits what a function writes, which names every row that it wrote."""
        watch(self.db)
        touched(self.db)  # what was written before

        def checked() -> Changed[None]:
            rows = act()
            assert written(self.db) <= set(rows)
            return Changed(None, rows)

        self.commit(self.db, checked)

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
     "key", "delete account", "forget", "clear", "resync", "resync one", "waits", "reopen", "list away", "departures",
     "versions", "hand over", "erase address", "erase intents", "delete ledger", "hash", "delete hashes", "hash key"]
)  # fmt: skip


def do(db: Database, step: str, number: int) -> Sequence[RowKey]:
    """Does one of the things that write to these tables, and returns the rows that it named."""
    address, who = f"{number}@example.com", CustomerId(f"cus-{number}")
    membership = MembershipKey(ListId("master"), address)  # type: ignore[arg-type]
    match step:
        case "entry" | "archived":
            return ledger.put_entries(db, ACCOUNT, [entry(address, "intended" if step == "entry" else "archived")])
        case "drop":
            return ledger.drop_entries(db, ACCOUNT, [membership])
        case "drop intent":
            return ledger.drop_intents(db, ACCOUNT, [membership])
        case "standing":
            return ledger.put_customer_statuses(
                db, ACCOUNT, [CustomerStatus(who, membership, "Invalid Resource", membership.address, 1)]
            )
        case "place":
            return ledger.put_memberships(db, ACCOUNT, [(who, membership)])
        case "settle":
            row = (ACCOUNT, who, address, None, 0, 1, "e", None, "t", "id", 0, number, "now")
            customers.stage(db, [row])
            return customers.settle(db, ACCOUNT, [(who, 1)])
        case "account":
            return accounts.save(db, chosen(name=f"Master {number}"))
        case "pause":
            paused = accounts.pause(db, ACCOUNT, Pause("why", NOW))
            return paused + accounts.pause_list(db, ACCOUNT, ListId("master"), Pause("why", NOW))
        case "list gone":
            return accounts.mark_list_gone(db, ACCOUNT, ListId("master"), NOW)
        case "key":
            return accounts.set_encrypted_key(db, ACCOUNT, b"\x00sealed")
        case "delete account":
            return accounts.delete(db, ACCOUNT)
        case "forget":
            return ledger_erasure.delete_customer(db, (ACCOUNT, who), membership.address).rows
        case "clear":
            return refusals.clear(db, ACCOUNT, [*refusals.clearable(db, ACCOUNT, None)]).rows
        case "resync":
            return marking.mark_changed(db, ACCOUNT, None).rows
        case "resync one":
            return marking.mark_changed(db, ACCOUNT, membership.address).rows
        case "waits":
            return ledger.put_waits(db, ACCOUNT, [(who, CustomerId("cus-0"))])
        case "reopen":
            return customers.reopen(db, ACCOUNT, [who])
        case "list away":
            return accounts.delete_lists(db, ACCOUNT, [ListId("master")])
        case "departures":
            return readings.end(db, ACCOUNT, ListId("master"), Reading("archived", None, "2026-11-22T10:00:00Z"))
        case "versions":
            return ignored.forget_versions(db, ACCOUNT, membership.address).rows
        case "hand over":
            return ledger_erasure.hand_over(db, ACCOUNT, CustomerId("cus-1"), "2026-11-22T10:00:00Z")
        case "erase address":
            return ledger_erasure.erase_address(db, ACCOUNT, membership.address, [who]).rows
        case "erase intents":
            named = ledger_erasure.intents_naming(db, ACCOUNT, membership.address)
            return ledger_erasure.erase_from_intents(db, membership.address, named).rows
        case "delete ledger":
            return ledger_erasure.delete(db, list(ledger_erasure.rows_of_account(db, ACCOUNT))).rows
        case "hash":
            return forgotten.put(db, [forgotten.Forgotten(ACCOUNT, f"d{number}", "2026-11-22T10:00:00Z", True)])
        case "delete hashes":
            return forgotten.delete_account(db, ACCOUNT)
        case "hash key":
            return forgotten.set_encrypted_key(db, f"sealed {number}")
    raise AssertionError(step)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(STEPS, st.integers(0, 2)), min_size=1, max_size=4), max_size=12))
def test_another_database_holds_the_same_after_every_transaction(history: list[list[tuple[str, int]]]) -> None:
    """Whichever function wrote: it names every row that it wrote, and what is passed on is all that changed."""
    with closing(Copied()) as copied:
        for transaction in history:
            copied.change(lambda steps=transaction: [row for one in steps for row in do(copied.db, *one)])  # type: ignore[misc]
            assert rows(copied.copy) == rows(copied.db)


def test_a_transaction_that_is_rolled_back_leaves_nothing_noted(copied: Copied) -> None:
    """What was not written is not passed on, then or later."""

    def fail() -> Sequence[RowKey]:
        ledger.put_entries(copied.db, ACCOUNT, [entry("a@example.com")])
        raise RuntimeError

    with pytest.raises(RuntimeError):
        copied.change(fail)
    copied.change(lambda: ledger.put_entries(copied.db, ACCOUNT, [entry("b@example.com")]))
    assert [[one.key for one in found] for found in copied.passed] == [[("acct-1", "master", "b@example.com")]]


def test_what_cannot_be_passed_on_is_not_written(copied: Copied, monkeypatch: pytest.MonkeyPatch) -> None:
    """The transaction fails as a whole."""

    def refuse(
        rows: Sequence[ChangelogRow], *, outcome_rows: object = (), erased: Collection[RowKey] = ()
    ) -> list[Acknowledged]:
        raise RuntimeError

    monkeypatch.setattr(copied, "write", refuse)
    with pytest.raises(RuntimeError):
        copied.change(lambda: ledger.put_entries(copied.db, ACCOUNT, [entry("a@example.com")]))
    assert rows(copied.db)["ledger"] == []


# Between the rehearsal and the transaction


class Meanwhile(Copied):
    """Lets something else write to the database while Kafka is asked."""

    def __init__(self, path: Path, act: Callable[[Database, int], None]) -> None:
        super().__init__()
        self.db.close()
        self.db, self._other, self._act = open_database(path), open_database(path), act

    def write(
        self, rows: Sequence[ChangelogRow], *, outcome_rows: object = (), erased: Collection[RowKey] = ()
    ) -> list[Acknowledged]:
        """Has the other connection write first, which needs the lock at once."""
        self._other.execute("PRAGMA busy_timeout = 0")
        with self._other.transaction():
            self._act(self._other, len(self.passed))
        return super().write(rows, erased=erased)

    def close(self) -> None:
        """Closes all three."""
        self._other.close()
        super().close()


def test_what_another_wrote_meanwhile_is_not_lost_in_kafka(tmp_path: Path) -> None:
    """Kafka gets the rows as the transaction then writes them, and what it was given in vain as that is now."""
    stage_one = (ACCOUNT, "cus-1", "a@example.com", None, 0, 1, "e", None, "t", "id", 0, 7, "now")

    def newer_event(db: Database, number: int) -> None:
        if number == 0:
            customers.stage(db, [(*stage_one[:5], 2, *stage_one[6:11], 8, "now")])

    with closing(Meanwhile(tmp_path / "x.db", newer_event)) as copied:
        with copied.db.transaction():
            accounts.save(copied.db, chosen())
            customers.stage(copied.db, [stage_one])
            table_rows.apply(copied.copy, table_rows.rows_of(copied.db, account_rows(ACCOUNT)))
        copied.change(
            lambda: [
                *ledger.put_entries(copied.db, ACCOUNT, [entry("a@example.com")]),
                *customers.settle(copied.db, ACCOUNT, [(CustomerId("cus-1"), 1)]),
            ]
        )
        assert len(copied.passed) == 2
        assert customers.changed_count(copied.db, ACCOUNT) == 1
        assert rows(copied.copy) == rows(copied.db)
        assert rows(copied.copy)["standing"] == []


def test_a_change_that_others_overtake_each_time_is_given_up(tmp_path: Path) -> None:
    """It says so, and nothing of it is written."""

    def elsewhere(db: Database, number: int) -> None:
        accounts.save_lists(db, ACCOUNT, chosen(name=f"Name {number}").lists)

    with closing(Meanwhile(tmp_path / "x.db", elsewhere)) as copied:
        with copied.db.transaction():
            accounts.save(copied.db, chosen())
        with pytest.raises(KafkaError, match="changed by others"):
            copied.change(lambda: accounts.pause(copied.db, ACCOUNT, Pause("why", NOW)))
        found = accounts.find(copied.db, ACCOUNT)
        assert found is not None
        assert found.pause is None


def test_a_resync_elsewhere_marks_the_customers_here(copied: Copied) -> None:
    """Settings that were chosen at another worker have every customer of the account looked at again."""
    copied.change(lambda: accounts.save(copied.db, chosen()))
    row = (ACCOUNT, "cus-1", "a@example.com", None, 0, 1, "e", None, "t", "id", 0, 7, "now")
    with copied.copy.transaction():
        customers.stage(copied.copy, [row])
        customers.settle(copied.copy, ACCOUNT, [(CustomerId("cus-1"), 1)])
    assert customers.changed_count(copied.copy, ACCOUNT) == 0
    copied.change(lambda: accounts.save(copied.db, chosen(name="Other name")))
    assert customers.changed_count(copied.copy, ACCOUNT) == 0
    copied.change(lambda: marking.mark_changed(copied.db, ACCOUNT, None).rows)
    assert customers.changed_count(copied.copy, ACCOUNT) == 1


def test_of_two_accounts_that_stored_one_list_elsewhere_the_first_keeps_it(copied: Copied) -> None:
    """A list is stored by one account only, though two workers allowed it at the same moment."""
    one, other = open_database(":memory:"), open_database(":memory:")
    found = []
    for db, account in ((one, "acct-1"), (other, "acct-2")):
        with db.transaction():
            found += table_rows.rows_of(db, accounts.save(db, chosen(account)))
    with copied.copy.transaction():
        table_rows.apply(copied.copy, found)
    assert accounts.stored_by(copied.copy, ListId("master")) == ACCOUNT
    assert [len(each.lists) for each in accounts.all_accounts(copied.copy)] == [1, 1]


# Customers that were settled with another database


def settled_elsewhere(resyncs: int, offset: int) -> Database:
    """A database with one changed customer, whose status says that this offset was settled."""
    db = open_database(":memory:")
    with db.transaction():
        accounts.save(db, chosen())
        for _ in range(resyncs):
            marking.mark_changed(db, ACCOUNT, None)
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
            marking.mark_changed(db, ACCOUNT, "a@example.com")  # type: ignore[arg-type]
        assert customers.settle_known(db) == 0


def test_memory_does_not_grow_with_the_number_of_rows() -> None:
    """All rows are read page by page."""
    numbers = "WITH RECURSIVE number(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n < 29999)"
    with closing(open_database(":memory:")) as db:
        with db.transaction():
            db.execute(
                f"{numbers} INSERT INTO standing (account_id, customer_id, address) "
                "SELECT 'acct-1', printf('cus-%08d', n), printf('a-long-address-%08d@example.com', n) FROM number"
            )
        tracemalloc.start()
        try:
            found = [row.key[1] for row in table_rows.all_rows(db)]
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert found == [f"cus-{n:08}" for n in range(30_000)]
    assert most < 20_000_000
