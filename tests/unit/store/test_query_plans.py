"""How SQLite finds rows: never by reading all of an account, which may have a million."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.checked_changelog import CHANGELOG
from worker.accounts.forget import Erasing
from worker.model import AccountId, AddressKey, CustomerId
from worker.plan import candidates
from worker.sqlite.database import Database
from worker.store import (
    customer_outcomes,
    customers,
    dead_letters,
    ledger,
    ledger_erasure,
    receipts,
    refusals,
    totals,
    waiting,
)
from worker.store.accounts import AccountSettings

ACCOUNT, ANN = AccountId("acct-1"), AddressKey("ann@example.com")
CUSTOMER = CustomerId("cus-1")


def plans(db: Database, act: Callable[[], Any]) -> list[str]:
    """Returns how SQLite reaches the rows of each table in every statement that is run."""
    found: list[str] = []
    execute, executemany = db.execute, db.executemany

    def noted(sql: str, values: Any = ()) -> Any:
        if sql.split()[0] in ("SELECT", "UPDATE", "DELETE"):
            found.extend(row["detail"] for row in execute(f"EXPLAIN QUERY PLAN {sql}", values))
        return execute(sql, values)

    def noted_many(sql: str, rows: Any) -> Any:
        rows = list(rows)
        if rows and sql.split()[0] in ("SELECT", "UPDATE", "DELETE"):
            found.extend(row["detail"] for row in execute(f"EXPLAIN QUERY PLAN {sql}", rows[0]))
        return executemany(sql, rows)

    db.execute, db.executemany = noted, noted_many  # type: ignore[method-assign]
    act()
    return found


@pytest.mark.parametrize(
    "act",
    [
        lambda db: customers.by_addresses(db, ACCOUNT, [ANN]),
        lambda db: customers.ids_of_addresses(db, ACCOUNT, [ANN]),
        lambda db: customers.by_ids(db, ACCOUNT, [CUSTOMER]),
        lambda db: customers.find_by_address(db, ANN, ACCOUNT),
        lambda db: ledger.entries_of(db, ACCOUNT, [ANN]),
        lambda db: ledger.entries_of_customer(db, ACCOUNT, CUSTOMER),
        lambda db: ledger.settled_at(db, ACCOUNT, [ANN]),
        lambda db: ledger.customers_settled_at(db, ACCOUNT, [ANN]),
        lambda db: ledger.addresses_of_customers(db, ACCOUNT, [CUSTOMER]),
        lambda db: ledger.anyone_left(db, ACCOUNT, [ANN], [CUSTOMER]),
        lambda db: customer_outcomes.texts_of(db, [(ACCOUNT, CUSTOMER)]),
        lambda db: ledger.customer_statuses_of(db, ACCOUNT, [CUSTOMER]),
        lambda db: ledger.waiting_for(db, ACCOUNT, [CUSTOMER]),
        lambda db: customers.settle(db, ACCOUNT, [(CUSTOMER, 1)]),
        lambda db: refusals.clear(db, ACCOUNT, [CUSTOMER]),
        lambda db: ledger_erasure.hand_over(db, ACCOUNT, CUSTOMER, "2026-11-25T10:00:00Z"),
        lambda db: ledger_erasure.delete_customer(db, (ACCOUNT, CUSTOMER), ANN),
        lambda db: receipts.delete_customer(db, (ACCOUNT, CUSTOMER)),
    ],
)
def test_rows_of_an_address_or_customer_are_found_by_their_own_index(db: Database, act: Callable[..., Any]) -> None:
    """By account and address, or account and customer: not by the account alone, nor by reading a whole table."""
    for plan in plans(db, lambda: act(db)):
        assert not plan.startswith("SCAN ") or "VIRTUAL TABLE" in plan, plan
        assert not plan.endswith("(account_id=?)"), plan


def test_only_changed_customers_are_read_where_these_are_wanted(db: Database) -> None:
    """By an index of those."""
    for act in (
        lambda: customers.changed(db, ACCOUNT, None, 10),
        lambda: customers.changed_count(db, ACCOUNT),
        lambda: candidates.may_leave(db, AccountSettings(ACCOUNT), None, 10, 1000),
        lambda: candidates.new_by_list(db, AccountSettings(ACCOUNT)),
        lambda: customers.settle_known(db),
    ):
        assert any("customer_changed" in plan for plan in plans(db, act))


def test_what_metrics_count_is_found_by_index(db: Database) -> None:
    """Only changed customers are looked at, of these a page, and of dead letters not their content."""
    oldest = totals.OldestWaiting()
    for act in (waiting.count, oldest.look):
        found = plans(db, lambda act=act: act(db, "2026-11-22T10:00:00.000Z"))  # type: ignore[misc]
        assert any("customer_changed" in plan for plan in found)
        scans = [plan for plan in found if plan.startswith("SCAN ") and "subquery" not in plan]
        # The table of taken partitions has a row for each partition at most.
        assert all("USING" in plan or plan == "SCAN taken_partition" for plan in scans), found
        assert not any("standing" in plan and "standing_refusal" not in plan for plan in found), found
    assert all("COVERING INDEX" in plan for plan in plans(db, lambda: dead_letters.count(db)))


def test_what_status_counts_is_read_from_narrow_indexes(db: Database) -> None:
    """A million customers are counted without their events, and refusals without the other customers' statuses."""
    for act in (customers.total_count, refusals.count, receipts.refused_count):
        found = plans(db, lambda act=act: act(db))  # type: ignore[misc]
        assert not any(plan.startswith("SCAN ") and "USING" not in plan for plan in found if "subquery" not in plan), (
            found
        )
        assert not any("PRIMARY KEY" in plan and plan.startswith("SCAN") for plan in found), found


def test_what_names_an_erased_address_is_looked_for_without_the_lock(db: Database) -> None:
    """Only that reads all of an account; the transactions that follow go by key."""
    execute, locked = db.execute, list[str]()

    def noted(sql: str, values: Any = ()) -> Any:
        if db.connection.in_transaction and sql.split()[0] in ("SELECT", "UPDATE", "DELETE"):
            locked.extend(row["detail"] for row in execute(f"EXPLAIN QUERY PLAN {sql}", values))
        return execute(sql, values)

    db.execute = noted  # type: ignore[method-assign]
    Erasing(db, CHANGELOG, ANN, b"key", "now").erase_from_customers(ACCOUNT, [CUSTOMER])
    assert locked
    whole = [plan for plan in locked if plan.endswith("(account_id=?)")]
    assert set(whole) == {"SEARCH erasure USING PRIMARY KEY (account_id=?)"}  # one row an account
