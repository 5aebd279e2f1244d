"""How far the reading of all members of each list is, and what the last one found. Kept here alone."""

from __future__ import annotations

from dataclasses import dataclass

from worker.clock import as_moment
from worker.model import AccountId, ListId
from worker.store import departure_reading
from worker.store.changed_rows import Rows, account_rows
from worker.store.database import Database
from worker.store.departure_reading import Reading


@dataclass(frozen=True, slots=True)
class MemberReading:
    """What a reading of a list has found so far, or found in all.

    Attributes:
        began_at: Mailchimp's time of the first page, as text; None where it told none.
        ended: whether the list was read to its end.
        members: members that were read.
        total: how many there are to read, as far as Mailchimp has told.
        learnt: places of which the ledger learnt something.
        unknown: members that this worker knows nothing of.
    """

    account_id: AccountId
    list_id: ListId
    began_at: str | None
    ended: bool
    members: int
    total: int
    learnt: int
    unknown: int


def find(db: Database, account_id: AccountId, list_id: ListId) -> Reading | None:
    """Returns the reading of a list that is under way, or None.

    One that began before the list's last whole reading, which another worker did, or at a time that Mailchimp did not
    tell, is not gone on with.
    """
    row = db.execute(
        "SELECT reading.status, reading.since, reading.began_at, list.members_read_at "
        "FROM member_reading AS reading LEFT JOIN list USING (account_id, list_id) "
        "WHERE account_id = ? AND list_id = ? AND reading.status IS NOT NULL",
        (account_id, list_id),
    ).fetchone()
    if row is None:
        return None
    began_at, before = row["began_at"], row["members_read_at"]
    if began_at is None or (before is not None and as_moment(began_at) < as_moment(before)):
        return None
    return Reading(row["status"], row["since"], began_at, whole=True)


def readings(db: Database, account_id: AccountId | None = None, since: str = "") -> list[MemberReading]:
    """Returns what readings found, by account and list.

    Args:
        db: the staging database.
        account_id: of one account; None for all.
        since: only those of which something was written at this time or later, as text.
    """
    rows = db.execute(
        "SELECT * FROM member_reading WHERE (?1 IS NULL OR account_id = ?1) AND written_at >= ?2 "
        "ORDER BY account_id, list_id",
        (account_id, since),
    )
    return [
        MemberReading(
            row["account_id"],
            row["list_id"],
            row["began_at"],
            row["status"] is None,
            row["members"],
            row["total"],
            row["learnt"],
            row["unknown"],
        )
        for row in rows
    ]


def add(
    db: Database,
    account_id: AccountId,
    list_id: ListId,
    reading: Reading,
    then: Reading | None,
    *,
    members: int,
    total: int,
    learnt: int,
    unknown: int,
    at: str,
) -> None:
    """Writes what a page held, and where the reading goes on. Belongs in the transaction that writes what was read.

    Args:
        db: the staging database.
        account_id: the account.
        list_id: the list.
        reading: of the page; one that begins counts from nothing.
        then: where it goes on; None at its end.
        members: members of the page that no earlier page had.
        total: more members that are to be read, told by the first page of each status; 0 for any other page.
        learnt: places of which the ledger learnt something.
        unknown: members that this worker knows nothing of.
        at: the time now, as text.
    """
    here = (account_id, list_id)
    where = "WHERE account_id = ? AND list_id = ?"
    db.execute(f"DELETE FROM member_reading {where} AND began_at IS NOT ?", (*here, reading.began_at))
    db.execute(
        "INSERT INTO member_reading (account_id, list_id, began_at, written_at) VALUES (?,?,?,?) "
        "ON CONFLICT (account_id, list_id) DO NOTHING",
        (*here, reading.began_at, at),
    )
    db.execute(
        "UPDATE member_reading SET members = members + ?, total = total + ?, learnt = learnt + ?, "
        f"unknown = unknown + ?, written_at = ?, status = ?, since = ? {where}",
        (members, total, learnt, unknown, at, then and then.status, then and then.since, *here),
    )


def end(db: Database, account_id: AccountId, list_id: ListId, began_at: str | None) -> Rows:
    """Notes that all members of a list were read, and so who left it. Belongs in the transaction of the last page.

    Args:
        began_at: when the reading began, by Mailchimp's time; None leaves the time of the reading before it.
    """
    departure_reading.end(db, account_id, list_id, began_at)
    if began_at is None:
        return []
    updated = db.execute(
        "UPDATE list SET members_read_at = ? WHERE account_id = ? AND list_id = ?", (began_at, account_id, list_id)
    )
    return account_rows(account_id) if updated.rowcount else []


def delete(db: Database) -> None:
    """Removes all readings. Belongs in a transaction."""
    db.execute("DELETE FROM member_reading")


def delete_account(db: Database, account_id: AccountId) -> None:
    """Removes the readings of an account. Belongs in a transaction."""
    db.execute("DELETE FROM member_reading WHERE account_id = ?", (account_id,))
