"""Changed customers that may leave a list, or be added to one, found without planning them.

So the brake need not wait until everybody is planned.
"""

from __future__ import annotations

import json

from worker.model import Customer, CustomerId, ListId
from worker.sqlite.database import Database
from worker.store.accounts import AccountSettings
from worker.store.customers import COLUMNS, within

_BELONGS = "coalesce((SELECT value FROM json_each(?2) WHERE value = CAST(customer.state AS TEXT) ->> '$.list_id'), ?3)"
"""On which list: its own where that is stored and there, else the master list."""
_KNOWN = (
    "SELECT 1 FROM standing AS place WHERE place.account_id = customer.account_id "
    "AND place.customer_id = customer.customer_id AND place.address IS NOT NULL",
    # A member that this worker archived is none any more, unless its opt-out goes with the customer.
    "SELECT 1 FROM ledger AS place WHERE place.account_id = customer.account_id "
    "AND place.customer_id = customer.customer_id "
    "AND (place.state <> 'archived' OR place.status_before = 'unsubscribed')",
)
"""Where a customer is known."""
_NOT_WHERE_IT_BELONGS = (
    f"(customer.deleted = 1 OR place.address IS NOT customer.address OR place.list_id IS NOT {_BELONGS})"
)
_MAY_LEAVE = " OR ".join(
    (
        *(f"EXISTS ({known} AND {_NOT_WHERE_IT_BELONGS})" for known in _KNOWN),
        # Who waits for it is looked at with it, as if it had changed too.
        "EXISTS (SELECT 1 FROM standing AS waiting WHERE waiting.account_id = customer.account_id "
        "AND waiting.waits_for = customer.customer_id)",
    )
)


def may_leave(
    db: Database, settings: AccountSettings, after: CustomerId | None, limit: int, most_bytes: int
) -> list[Customer]:
    """Returns changed customers, by id, whose last known list or address is not the one they should have now.

    Some of them stay in the end, such as who is held back. Customers who are planned only because of another one may be
    missing.

    Args:
        settings: which lists the account stored, with a master list.
        limit: customers, at most.
        most_bytes: of their states, at most; but always one customer.
    """
    rows = db.execute(
        f"SELECT {COLUMNS} FROM customer WHERE account_id = ?1 AND changed = 1 AND customer_id > ?4 AND bare = 0 "
        f"AND ({_MAY_LEAVE}) ORDER BY customer_id LIMIT ?5",
        (*_values(settings), after or "", limit),
    )
    return within(rows, most_bytes)


def new_by_list(db: Database, settings: AccountSettings) -> dict[ListId, int]:
    """Returns how many changed customers belong on each list and are known nowhere: at most so many are added."""
    nowhere = " AND ".join(f"NOT EXISTS ({known})" for known in _KNOWN)
    rows = db.execute(
        f"SELECT {_BELONGS}, count(*) FROM customer INDEXED BY customer_changed WHERE account_id = ?1 AND changed = 1 "
        f"AND bare = 0 AND deleted = 0 AND address IS NOT NULL "
        f"AND CAST(state AS TEXT) ->> '$.marketing_consent' IS NOT 0 AND {nowhere} GROUP BY 1",
        _values(settings),
    )
    return {ListId(row[0]): row[1] for row in rows}


def _values(settings: AccountSettings) -> tuple[str, str, str | None]:
    there = [stored_list.list_id for stored_list in settings.stored if not stored_list.gone]
    return settings.account_id, json.dumps(there), settings.master_list
