"""Updates about to be sent by a flush: if the process dies, it is unknown which of their fields Mailchimp has."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from worker.model import AccountId, CustomerId, ListId
from worker.sqlite.database import Database


@dataclass(frozen=True, slots=True)
class UpdateIntent:
    """An update of a member that is about to be sent.

    Attributes:
        customer_id: the customer whose fields the member has, by the ledger.
        fields: merge tags of what is sent.
        begun_at: by this machine's clock, as text.
    """

    customer_id: CustomerId
    list_id: ListId
    fields: Sequence[str]
    begun_at: str


def note(db: Database, account_id: AccountId, updates: Iterable[UpdateIntent]) -> None:
    """Stores updates. Call it in a transaction that is committed before the first of them is sent."""
    db.executemany(
        "INSERT OR REPLACE INTO begun_update (account_id, customer_id, list_id, fields, begun_at) VALUES (?,?,?,?,?)",
        [
            (account_id, update.customer_id, update.list_id, json.dumps(update.fields), update.begun_at)
            for update in updates
        ],
    )


def of_account(db: Database, account_id: AccountId) -> list[UpdateIntent]:
    """Returns the updates whose result was not recorded."""
    rows = db.execute("SELECT * FROM begun_update WHERE account_id = ?", (account_id,))
    return [
        UpdateIntent(row["customer_id"], row["list_id"], json.loads(row["fields"]), row["begun_at"]) for row in rows
    ]


def clear(db: Database, account_id: AccountId) -> None:
    """Deletes them once the ledger has their results. Call it in a transaction."""
    db.execute("DELETE FROM begun_update WHERE account_id = ?", (account_id,))
