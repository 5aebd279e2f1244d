"""Who is erased while its account is flushed: what that flush has read of the account counts no more.

In this database alone, and only while the flush lasts: one that begins later finds nothing of who was erased.
"""

from __future__ import annotations

from worker.model import AccountId
from worker.store.database import Database


def begin(db: Database, account_id: AccountId) -> None:
    """Begins to count for a flush of an account. Belongs in the transaction that reads what the flush goes by."""
    db.execute("INSERT OR REPLACE INTO erasure (account_id, number, whole) VALUES (?, 0, 0)", (account_id,))


def end(db: Database, account_id: AccountId) -> None:
    """Counts no longer for an account. Belongs in the transaction that ends its flush."""
    db.execute("DELETE FROM erasure WHERE account_id = ?", (account_id,))


def end_all(db: Database) -> None:
    """Counts no longer for flushes of a process that has ended. Belongs in a transaction."""
    db.execute("DELETE FROM erasure")


def note(db: Database, account_id: AccountId, *, whole: bool = False) -> None:
    """Writes that somebody is erased from an account; nothing where no flush is under way.

    Belongs in each transaction that erases, so that a flush which begins between two of them finds out too.
    """
    db.execute(
        "UPDATE erasure SET number = number + 1, whole = max(whole, ?) WHERE account_id = ?", (int(whole), account_id)
    )


def number_of(db: Database, account_id: AccountId) -> int | None:
    """Returns how many transactions erased somebody from an account since the flush began; None without a flush."""
    row = db.execute("SELECT number FROM erasure WHERE account_id = ?", (account_id,)).fetchone()
    return None if row is None else int(row[0])


def is_whole(db: Database, account_id: AccountId) -> bool:
    """Returns whether the whole account was erased since the flush began, though it may be connected again."""
    row = db.execute("SELECT whole FROM erasure WHERE account_id = ?", (account_id,)).fetchone()
    return row is not None and bool(row[0])
