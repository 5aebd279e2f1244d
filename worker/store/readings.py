"""How far the readings of each list's members are, and what the last one found. Kept here alone.

A reading is of all members, or of those who left. What is lost of it is read again.
"""

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
        whole: whether members of all statuses are read; else those who left.
    """

    status: ReadStatus
    since: str | None
    began_at: str | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class MemberReading:
    """What a reading of all members of a list has found so far, or found in all.

    Attributes:
        began_at: Mailchimp's time of the first page, as text; None where it gave none.
        ended: whether the list was read to its end.
        members: members that were read.
        total: how many there are to read, as far as Mailchimp has said.
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


def find(db: Database, account_id: AccountId, list_id: ListId, *, whole: bool) -> Reading | None:
    """Returns the reading of a list that is under way, or None.

    One that began before the list's last whole reading, which another worker did, or at a time that Mailchimp did not
    tell, is not gone on with.
    """
    table, last = ("member_reading", "members_read_at") if whole else ("departure_reading", "departures_read_at")
    row = db.execute(
        f"SELECT reading.status, reading.since, reading.began_at, list.{last} AS last "
        f"FROM {table} AS reading LEFT JOIN list USING (account_id, list_id) "
        "WHERE account_id = ? AND list_id = ? AND reading.status IS NOT NULL",
        (account_id, list_id),
    ).fetchone()
    if row is None:
        return None
    began_at, last_at = row["began_at"], row["last"]
    if began_at is None or (last_at is not None and as_moment(began_at) < as_moment(last_at)):
        return None
    return Reading(row["status"], row["since"], began_at, whole)


def of_members(db: Database, account_id: AccountId | None = None, since: str = "") -> list[MemberReading]:
    """Returns what readings found, by account and list.

    Args:
        account_id: of one account; None for all.
        since: only those of which something was written at this time or later, as text.
    """
    rows = db.execute(
        "SELECT account_id, list_id, began_at, status, members, total, learnt, unknown FROM member_reading "
        "WHERE (?1 IS NULL OR account_id = ?1) AND written_at >= ?2 ORDER BY account_id, list_id",
        (account_id, since),
    )
    return [
        MemberReading(row["account_id"], row["list_id"], row["began_at"], row["status"] is None, *tuple(row)[-4:])
        for row in rows
    ]


def put_page(
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
        reading: of the page; one that begins counts from nothing.
        then: where it goes on; None at its end.
        members: members of the page that no earlier page had.
        total: more members that are to be read, by the first page of each status; 0 for any other page.
        learnt: places of which the ledger learnt something.
        unknown: members that this worker knows nothing of.
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


def put_departures(db: Database, account_id: AccountId, list_id: ListId, reading: Reading) -> None:
    """Writes how far a reading of departures is. Belongs in the transaction that writes what was read."""
    db.execute(
        "INSERT OR REPLACE INTO departure_reading (account_id, list_id, began_at, status, since) VALUES (?,?,?,?,?)",
        (account_id, list_id, reading.began_at, reading.status, reading.since),
    )


def end(db: Database, account_id: AccountId, list_id: ListId, reading: Reading) -> Rows:
    """Notes that a list was read to its end, and so who left it. Belongs in the transaction of the last page.

    Without a time of its beginning the time of the reading before it stays.
    """
    db.execute("DELETE FROM departure_reading WHERE account_id = ? AND list_id = ?", (account_id, list_id))
    if reading.began_at is None:
        return []
    written = "departures_read_at = ?1" + (", members_read_at = ?1" if reading.whole else "")
    updated = db.execute(
        f"UPDATE list SET {written} WHERE account_id = ?2 AND list_id = ?3", (reading.began_at, account_id, list_id)
    )
    return account_rows(account_id) if updated.rowcount else []


def delete(db: Database, account_id: AccountId | None = None) -> None:
    """Removes all readings, or those of an account. Belongs in a transaction."""
    for table in ("departure_reading", "member_reading"):
        db.execute(f"DELETE FROM {table} WHERE ?1 IS NULL OR account_id = ?1", (account_id,))
