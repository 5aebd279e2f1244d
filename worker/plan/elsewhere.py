"""Changed customers that are known elsewhere than where they belong now, found without planning them.

Only they may leave a list, so that the brake need not wait until everybody is planned.
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
_NOT_HERE = f"(customer.deleted = 1 OR place.address IS NOT customer.address OR place.list_id IS NOT {_BELONGS})"
_ELSEWHERE = " OR ".join(
    (
        *(f"EXISTS ({known} AND {_NOT_HERE})" for known in _KNOWN),
        # Who waits for it is looked at with it, as if it had changed too.
        "EXISTS (SELECT 1 FROM standing AS waiting WHERE waiting.account_id = customer.account_id "
        "AND waiting.waits_for = customer.customer_id)",
    )
)


def changed(
    db: Database, settings: AccountSettings, after: CustomerId | None, limit: int, most_bytes: int
) -> list[Customer]:
    """Returns such customers, at most so many beyond an id.

    With a bound in bytes of their states no more than come within it, but one where there is one. Some of them stay in
    the end, such as who is held back. Missing may be who is looked at for the sake of somebody else alone.

    Args:
        settings: which lists the account stored, with a master list.
    """
    rows = db.execute(
        f"SELECT {COLUMNS} FROM customer WHERE account_id = ?1 AND changed = 1 AND customer_id > ?4 AND bare = 0 "
        f"AND ({_ELSEWHERE}) ORDER BY customer_id LIMIT ?5",
        (*_values(settings), after or "", limit),
    )
    return within(rows, most_bytes)


def new_by_list(db: Database, settings: AccountSettings) -> dict[ListId, int]:
    """Returns how many changed customers belong on each list and are known nowhere: at the most so many are added."""
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
