"""Updates about to be sent by a flush: if the process dies, it is unknown which of their fields Mailchimp has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from worker.model import AccountId, CustomerId, ListId
from worker.sqlite.database import Database
from worker.sqlite.rows import RowMapper


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


_ROW = RowMapper(UpdateIntent)


def note(db: Database, account_id: AccountId, updates: Iterable[UpdateIntent]) -> None:
    """Stores updates. Call it in a transaction that is committed before the first of them is sent."""
    insert = _ROW.insert("begun_update", "account_id", verb="INSERT OR REPLACE")
    db.executemany(insert, [(account_id, *_ROW.values(update)) for update in updates])


def of_account(db: Database, account_id: AccountId) -> list[UpdateIntent]:
    """Returns the updates whose result was not recorded."""
    return _ROW.select(db, "begun_update WHERE account_id = ?", (account_id,))


def clear(db: Database, account_id: AccountId) -> None:
    """Deletes them once the ledger has their results. Call it in a transaction."""
    db.execute("DELETE FROM begun_update WHERE account_id = ?", (account_id,))
