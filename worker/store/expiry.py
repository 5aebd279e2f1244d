"""What is dropped once it is older than the operator wants: never much at once, for the clock may be wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from worker.clock import as_moment, as_text
from worker.store.database import Database

MOST_DAYS = 7
"""Days' worth that are dropped together: a clock that is years ahead costs so much a day, and not everything."""
BETWEEN = timedelta(hours=20)
"""How long to wait before more is dropped."""


class Table(Protocol):
    """Rows that are kept for a time."""

    def oldest(self, db: Database) -> str | None:
        """Returns the time of the oldest row, or None."""
        ...

    def drop_before(self, db: Database, moment: str) -> int:
        """Removes rows older than a moment; returns how many."""
        ...


def limit(now: datetime, days: int, oldest: datetime | None, dropped_at: datetime | None) -> datetime | None:
    """Returns before which moment rows are dropped now; None for not at all.

    Args:
        dropped_at: when rows were dropped last; one in the future counts as none.
    """
    if oldest is None or (dropped_at is not None and timedelta(0) <= now - dropped_at < BETWEEN):
        return None
    return min(now - timedelta(days=days), oldest + timedelta(days=MOST_DAYS))


def drop_old(
    db: Database, table: Table, what: str, days: int, now: datetime, report: Callable[[int, bool], None]
) -> None:
    """Drops rows of a table that are too old, in many transactions.

    Args:
        db: the staging database, outside of a transaction.
        report: where any were dropped, how many, and whether some are left for the next days.
    """
    row = db.execute("SELECT at FROM tidied WHERE what = ?", (what,)).fetchone()
    oldest = table.oldest(db)
    before = limit(now, days, as_moment(oldest) if oldest else None, as_moment(row["at"]) if row else None)
    if before is None:
        return
    dropped = table.drop_before(db, as_text(before))
    if dropped:
        with db.transaction():
            db.execute("INSERT OR REPLACE INTO tidied (what, at) VALUES (?,?)", (what, as_text(now)))
        report(dropped, before < now - timedelta(days=days))
