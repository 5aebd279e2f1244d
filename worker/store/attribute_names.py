"""Which attributes customers have, as far as a look at some of them tells."""

from __future__ import annotations

from worker.model import AccountId
from worker.store.database import Database

LOOKED_AT = 2000
"""Customers of an account that are looked at: it may have a million."""


def some(db: Database, account_id: AccountId) -> list[str]:
    """Returns the names of attributes that some customers of an account have, by name."""
    rows = db.execute(
        "SELECT DISTINCT one.key FROM (SELECT CAST(state AS TEXT) AS state FROM customer WHERE account_id = ? "
        "ORDER BY customer_id LIMIT ?) AS known, json_each(known.state, '$.attributes') AS one "
        "WHERE known.state IS NOT NULL ORDER BY one.key",
        (account_id, LOOKED_AT),
    )
    return [str(row[0]) for row in rows]
