"""Updates that a flush has begun: should the process die, no answer tells which of their fields Mailchimp has."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from worker.model import AccountId, CustomerId, ListId
from worker.store.database import Database


@dataclass(frozen=True, slots=True)
class BegunUpdate:
    """An update of a member.

    Attributes:
        customer_id: whose fields the member has, by the ledger.
        fields: merge tags of what is sent.
        begun_at: by this machine's clock, as text.
    """

    customer_id: CustomerId
    list_id: ListId
    fields: Sequence[str]
    begun_at: str


def note(db: Database, account_id: AccountId, updates: Iterable[BegunUpdate]) -> None:
    """Writes that updates begin. Belongs in a transaction that is committed before the first of them is sent."""
    db.executemany(
        "INSERT OR REPLACE INTO begun_update (account_id, customer_id, list_id, fields, begun_at) VALUES (?,?,?,?,?)",
        [(account_id, one.customer_id, one.list_id, json.dumps(one.fields), one.begun_at) for one in updates],
    )


def of_account(db: Database, account_id: AccountId) -> list[BegunUpdate]:
    """Returns the updates that were begun and of which it was not written how they ended."""
    rows = db.execute("SELECT * FROM begun_update WHERE account_id = ?", (account_id,))
    return [BegunUpdate(row["customer_id"], row["list_id"], json.loads(row["fields"]), row["begun_at"]) for row in rows]


def clear(db: Database, account_id: AccountId) -> None:
    """Removes them, once the ledger says how each ended. Belongs in a transaction."""
    db.execute("DELETE FROM begun_update WHERE account_id = ?", (account_id,))
