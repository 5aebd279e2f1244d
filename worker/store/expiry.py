"""Drops rows older than the operator wants, never many at once, in case the clock is wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from worker.clock import as_moment, as_text
from worker.sqlite.database import Database

MOST_DAYS = 7
"""At most this many days' worth are dropped together, which limits the damage of a clock that is years ahead."""
BETWEEN = timedelta(hours=20)
"""How long to wait before dropping more."""


class Table(Protocol):
    """Rows that expire."""

    def oldest(self, db: Database) -> str | None:
        """Returns the time of the oldest row; None without any."""
        ...

    def drop_before(self, db: Database, moment: str) -> int:
        """Deletes rows older than a time; returns how many."""
        ...


def limit(now: datetime, days: int, oldest: datetime | None, dropped_at: datetime | None) -> datetime | None:
    """Returns the time before which rows are dropped now; None to drop none.

    Args:
        dropped_at: when rows were last dropped; ignored if it is in the future.
    """
    if oldest is None or (dropped_at is not None and timedelta(0) <= now - dropped_at < BETWEEN):
        return None
    return min(now - timedelta(days=days), oldest + timedelta(days=MOST_DAYS))


def drop_old(
    db: Database, table: Table, name: str, days: int, now: datetime, report: Callable[[int, bool], None]
) -> None:
    """Drops expired rows of a table, in many transactions.

    Args:
        db: outside of a transaction.
        report: called if any were dropped, with how many, and whether some are left for the next days.
    """
    dropped_at = db.value(as_moment, "SELECT at FROM tidied WHERE what = ?", (name,))
    oldest = table.oldest(db)
    before = limit(now, days, as_moment(oldest) if oldest else None, dropped_at)
    if before is None:
        return
    dropped = table.drop_before(db, as_text(before))
    if dropped:
        with db.transaction():
            db.execute("INSERT OR REPLACE INTO tidied (what, at) VALUES (?,?)", (name, as_text(now)))
        report(dropped, before < now - timedelta(days=days))
