"""How far the reading of who left each list is. Kept here alone: what is lost of it is read again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from worker.clock import as_moment
from worker.model import AccountId, ListId
from worker.store.changed_rows import Rows, account_rows
from worker.store.database import Database

DepartedStatus = Literal["unsubscribed", "cleaned", "archived"]
"""Statuses of members that left a list."""
ReadStatus = Literal["all", "unsubscribed", "cleaned", "archived"]
"""Which members one call lists; all: but the archived."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading that is under way: the members of one status, those that changed first come first.

    Attributes:
        began_at: Mailchimp's time of the first page, as text; None where it gave none, or before that page.
        since: only members that changed at this time or later, as text; None for all.
        whole: whether members of all statuses are read; else those who left, see :mod:`worker.store.member_reading`.
    """

    status: ReadStatus
    since: str | None
    began_at: str | None = None
    whole: bool = False


def find(db: Database, account_id: AccountId, list_id: ListId) -> Reading | None:
    """Returns the reading of a list that is under way, or None.

    One that began before the list's last whole reading, which another worker did, or at a time that Mailchimp did not
    tell, is not gone on with.
    """
    row = db.execute(
        "SELECT reading.status, reading.since, reading.began_at, list.departures_read_at "
        "FROM departure_reading AS reading LEFT JOIN list USING (account_id, list_id) "
        "WHERE account_id = ? AND list_id = ?",
        (account_id, list_id),
    ).fetchone()
    if row is None:
        return None
    began_at, whole = row["began_at"], row["departures_read_at"]
    if began_at is None or (whole is not None and as_moment(began_at) < as_moment(whole)):
        return None
    return Reading(row["status"], row["since"], began_at)


def put(db: Database, account_id: AccountId, list_id: ListId, reading: Reading) -> None:
    """Writes how far a reading is. Belongs in the transaction that writes what was read."""
    db.execute(
        "INSERT OR REPLACE INTO departure_reading (account_id, list_id, began_at, status, since) VALUES (?,?,?,?,?)",
        (account_id, list_id, reading.began_at, reading.status, reading.since),
    )


def end(db: Database, account_id: AccountId, list_id: ListId, began_at: str | None) -> Rows:
    """Notes that a list was read to the end. Belongs in the transaction that writes the last page.

    Args:
        began_at: when the reading began, by Mailchimp's time; None leaves the time of the reading before it.
    """
    db.execute("DELETE FROM departure_reading WHERE account_id = ? AND list_id = ?", (account_id, list_id))
    if began_at is None:
        return []
    updated = db.execute(
        "UPDATE list SET departures_read_at = ? WHERE account_id = ? AND list_id = ?",
        (began_at, account_id, list_id),
    )
    return account_rows(account_id) if updated.rowcount else []


def delete(db: Database) -> None:
    """Removes all readings that are under way. Belongs in a transaction."""
    db.execute("DELETE FROM departure_reading")


def delete_account(db: Database, account_id: AccountId) -> None:
    """Removes the readings of an account that are under way. Belongs in a transaction."""
    db.execute("DELETE FROM departure_reading WHERE account_id = ?", (account_id,))
