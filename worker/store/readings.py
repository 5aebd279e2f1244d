"""The progress of reading each list's members, and what the last reading found. Kept in this database only.

A reading covers all members, or only departures. If it is lost, it is repeated.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Literal

from worker.clock import as_moment
from worker.model import AccountId, ListId
from worker.sqlite.database import Database
from worker.sqlite.rows import Rows, account_rows

DepartedStatus = Literal["unsubscribed", "cleaned", "archived"]
"""Statuses of members that left a list."""
ReadStatus = Literal["all", "unsubscribed", "cleaned", "archived"]
"""The members that one call lists; all: except archived ones."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A running reading of the members of one status, in the order of their last change.

    Attributes:
        began_at: Mailchimp's time of the first page, as text; None if it gave none, or before that page.
        since: only members that changed at this time or later, as text; None for all.
        whole: whether members of all statuses are read; otherwise only departures.
        strangers: whether all strangers who ever left the list are known once it ends: see
            :mod:`worker.store.strangers`.
        contacts: whether the addresses of all its contacts are known then.
    """

    status: ReadStatus
    since: str | None
    began_at: str | None = None
    whole: bool = False
    strangers: bool = False
    contacts: bool = False


@dataclass(frozen=True, slots=True)
class PageCounts:
    """What one page of a reading of all members adds to its counts.

    Attributes:
        members: members of the page that were on no earlier page.
        total: additional members to read, from the first page of each status; 0 for other pages.
        learnt: places whose entry changed.
        unknown: members that this worker does not know.
    """

    members: int
    total: int
    learnt: int
    unknown: int


@dataclass(frozen=True, slots=True)
class MemberReading:
    """What a reading of all members of a list has found, so far or in all.

    Attributes:
        began_at: Mailchimp's time of the first page, as text; None if it gave none.
        ended: whether the list was read to its end.
        members: members that were read.
        total: how many there are to read, as far as Mailchimp has said.
        learnt: places whose entry changed.
        unknown: members that this worker does not know.
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
    """Returns the running reading of a list; None without one.

    Ignores one that began before the list's last complete reading by another worker, or at an unknown time.
    """
    table, last = ("member_reading", "members_read_at") if whole else ("departure_reading", "departures_read_at")
    row = db.execute(
        f"SELECT reading.*, list.{last} AS last "
        f"FROM {table} AS reading LEFT JOIN list USING (account_id, list_id) "
        "WHERE account_id = ? AND list_id = ? AND reading.status IS NOT NULL",
        (account_id, list_id),
    ).fetchone()
    if row is None:
        return None
    began_at, last_at = row["began_at"], row["last"]
    if began_at is None or (last_at is not None and as_moment(began_at) < as_moment(last_at)):
        return None
    contacts = whole and bool(row["contacts"])
    return Reading(row["status"], row["since"], began_at, whole, bool(row["strangers"]), contacts)


def of_members(db: Database, account_id: AccountId | None = None, since: str = "") -> list[MemberReading]:
    """Returns the results of readings, by account and list.

    Args:
        account_id: None for all accounts.
        since: only those updated at this time or later, as text.
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
    next_reading: Reading | None,
    counts: PageCounts,
    at: str,
) -> None:
    """Records a page, and where the reading continues. Call it in the transaction that writes what was read.

    Args:
        reading: of the page; a new one starts counting from zero.
        next_reading: where it continues; None at its end.
        at: when the page was read, as text.
    """
    key = (account_id, list_id)
    where = "WHERE account_id = ? AND list_id = ?"
    db.execute(f"DELETE FROM member_reading {where} AND began_at IS NOT ?", (*key, reading.began_at))
    db.execute(
        "INSERT INTO member_reading (account_id, list_id, began_at, written_at, strangers, contacts) "
        "VALUES (?,?,?,?,?,?) ON CONFLICT (account_id, list_id) DO NOTHING",
        (*key, reading.began_at, at, reading.strangers, reading.contacts),
    )
    db.execute(
        "UPDATE member_reading SET members = members + ?, total = total + ?, learnt = learnt + ?, "
        f"unknown = unknown + ?, written_at = ?, status = ?, since = ? {where}",
        (*astuple(counts), at, next_reading and next_reading.status, next_reading and next_reading.since, *key),
    )


def put_departures(db: Database, account_id: AccountId, list_id: ListId, reading: Reading) -> None:
    """Records the progress of a reading of departures. Call it in the transaction that writes what was read."""
    db.execute(
        "INSERT OR REPLACE INTO departure_reading (account_id, list_id, began_at, status, since, strangers) "
        "VALUES (?,?,?,?,?,?)",
        (account_id, list_id, reading.began_at, reading.status, reading.since, reading.strangers),
    )


def end(db: Database, account_id: AccountId, list_id: ListId, reading: Reading) -> Rows:
    """Records that a list was read to its end, and so its departures. Call it in the transaction of the last page.

    If the reading has no starting time, that of the previous reading stays.
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
    """Deletes all readings, or those of an account. Call it in a transaction."""
    for table in ("departure_reading", "member_reading"):
        db.execute(f"DELETE FROM {table} WHERE ?1 IS NULL OR account_id = ?1", (account_id,))
