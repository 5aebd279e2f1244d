"""Customers whom Mailchimp refused: which refusals an operator may clear, and clearing them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence

from worker.model import AccountId, AddressKey, CustomerId
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed, customer_rows
from worker.store.ledger import LASTING_REFUSALS, customer_statuses_of


def clearable(db: Database, account_id: AccountId, address: AddressKey | None) -> Iterator[CustomerId]:
    """Yields the customers whose refusals an operator may clear, page by page.

    People whom Mailchimp forgot, or holds in compliance state, can only join again by the list's form: see
    LASTING_REFUSALS.

    Args:
        address: only customers who have or had this address, or were refused for it.
    """
    where, values = f"{_OF_ADDRESS} AND NOT {_LASTING}", (account_id, address, _TITLES)
    for rows in db.pages("standing", ("customer_id",), where, values):
        yield from (CustomerId(row[0]) for row in rows)


def lasting_count(db: Database, account_id: AccountId, address: AddressKey | None) -> int:
    """Returns how many others were refused, whose refusals only they can end."""
    return db.count(f"standing WHERE {_OF_ADDRESS} AND {_LASTING}", (account_id, address, _TITLES))


_OF_ADDRESS = (
    "account_id = ?1 AND refusal IS NOT NULL AND (?2 IS NULL OR address = ?2 OR refused_address = ?2 "
    "OR customer_id IN (SELECT customer_id FROM customer WHERE account_id = ?1 AND address = ?2))"
)
_LASTING = "(refused_address IS NULL OR refusal IN (SELECT value FROM json_each(?3)))"
_TITLES = json.dumps(sorted(LASTING_REFUSALS))


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
    return db.count("standing WHERE refusal IS NOT NULL")
