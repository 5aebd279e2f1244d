"""Customers whom Mailchimp refused: which refusals an operator may clear, and clearing them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from worker.model import AccountId, AddressKey, CustomerId
from worker.sqlite.changed_rows import Changed, customer_rows
from worker.sqlite.database import Database
from worker.store.ledger import LASTING_REFUSALS, customer_statuses_of


def clearable(db: Database, account_id: AccountId, address: AddressKey | None) -> tuple[list[CustomerId], int]:
    """Returns the customers whose refusals an operator may clear, and how many others there are.

    People whom Mailchimp forgot, or holds in compliance state, can only join again by the list's form: see
    LASTING_REFUSALS.

    Args:
        address: only customers who have or had this address, or were refused for it.
    """
    rows = db.execute(
        "SELECT customer_id, refusal, refused_address FROM standing "
        "WHERE account_id = ?1 AND refusal IS NOT NULL AND (?2 IS NULL OR address = ?2 OR refused_address = ?2 "
        "OR customer_id IN (SELECT customer_id FROM customer WHERE account_id = ?1 AND address = ?2))",
        (account_id, address),
    ).fetchall()
    passing = [
        row["customer_id"]
        for row in rows
        if row["refused_address"] is not None and row["refusal"] not in LASTING_REFUSALS
    ]
    return passing, len(rows) - len(passing)


def clear(db: Database, account_id: AccountId, customers: Sequence[CustomerId]) -> Changed[int]:
    """Clears what prevents sending customers; returns how many had a refusal. Call it in a transaction."""
    cleared = db.executemany(
        "UPDATE standing SET refusal = NULL, refused_address = NULL, attempts = 0, retry_at = NULL "
        "WHERE account_id = ? AND customer_id = ? AND refusal IS NOT NULL",
        [(account_id, customer_id) for customer_id in customers],
    )
    return Changed(cleared, customer_rows(account_id, customers))


def end(
    db: Database, account_id: AccountId, customers: Sequence[CustomerId], addresses: Collection[AddressKey]
) -> Changed[int]:
    """Clears lasting refusals of customers at addresses whose departure has ended. Call it in a transaction."""
    statuses = customer_statuses_of(db, account_id, customers)
    over = [status.customer_id for status in statuses if status.lasting and status.refused_address in addresses]
    return clear(db, account_id, over)


def count(db: Database) -> int:
    """Returns how many customers Mailchimp refuses, finally or temporarily."""
    return int(db.execute("SELECT count(*) FROM standing WHERE refusal IS NOT NULL").fetchone()[0])
