"""Erasures in an account while it is being flushed, which invalidate what that flush has read.

Kept in this database only, and only during the flush: one that starts later reads nothing of an erased person.
"""

from __future__ import annotations

from worker.model import AccountId
from worker.sqlite.database import Database


def begin(db: Database, account_id: AccountId) -> None:
    """Starts counting for a flush of an account. Call it in the transaction that reads the flush's input."""
    db.execute("INSERT OR REPLACE INTO erasure (account_id, number, whole) VALUES (?, 0, 0)", (account_id,))


def end(db: Database, account_id: AccountId) -> None:
    """Stops counting for an account. Call it in the transaction that ends its flush."""
    db.execute("DELETE FROM erasure WHERE account_id = ?", (account_id,))


def end_all(db: Database) -> None:
    """Stops counting for flushes of a process that has ended. Call it in a transaction."""
    db.execute("DELETE FROM erasure")


def note(db: Database, account_id: AccountId, *, whole: bool = False) -> None:
    """Records that somebody is erased from an account, if it is being flushed.

    Call it in each transaction that erases, so that a flush that starts between two of them finds out too.
    """
    db.execute(
        "UPDATE erasure SET number = number + 1, whole = max(whole, ?) WHERE account_id = ?", (int(whole), account_id)
    )


def number_of(db: Database, account_id: AccountId) -> int | None:
    """Returns how many transactions erased somebody from an account since its flush began; None without a flush."""
    row = db.execute("SELECT number FROM erasure WHERE account_id = ?", (account_id,)).fetchone()
    return None if row is None else int(row[0])


def is_whole(db: Database, account_id: AccountId) -> bool:
    """Returns whether the whole account was erased since its flush began, even if it was connected again."""
    row = db.execute("SELECT whole FROM erasure WHERE account_id = ?", (account_id,)).fetchone()
    return row is not None and bool(row[0])
