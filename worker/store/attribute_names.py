"""The names of customers' attributes, from a sample."""

from __future__ import annotations

from worker.model import AccountId
from worker.sqlite.database import Database

LOOKED_AT = 2000
"""Customers in the sample: an account may have a million."""


def some(db: Database, account_id: AccountId) -> list[str]:
    """Returns the sorted names of attributes of some customers of an account."""
    return db.column(
        str,
        "SELECT DISTINCT attribute.key FROM (SELECT CAST(state AS TEXT) AS state FROM customer WHERE account_id = ? "
        "ORDER BY customer_id LIMIT ?) AS known, json_each(known.state, '$.attributes') AS attribute "
        "WHERE known.state IS NOT NULL ORDER BY attribute.key",
        (account_id, LOOKED_AT),
    )
