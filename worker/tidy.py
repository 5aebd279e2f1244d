"""What is dropped for its age or number: receipts, runs and dead letters."""

from __future__ import annotations

import logging
from datetime import datetime
from functools import partial

from worker.config import Config, DeadLetters
from worker.plural import counted
from worker.store import dead_letters, expiry, receipts, runs
from worker.store.database import Database

log = logging.getLogger("worker.daemon")


def tidy(db: Database, now: datetime, config: Config) -> None:
    """Drops receipts, runs and dead letters that are older or more than wanted, and writes the write-ahead log back."""
    for table, what, days in (
        (receipts, "receipts", config.receipts.keep_days),
        (runs, "runs", config.receipts.keep_days),
        (dead_letters, "dead letters", config.dead_letters.keep_days),
    ):
        report = partial(_log_dropped, what, days)
        expiry.drop_old(db, table, what, days, now, report)
    bound_letters(db, config.dead_letters)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _log_dropped(what: str, days: int, count: int, more: bool) -> None:
    facts = {"what": what, "count": count, "days": days}
    log.info("dropped %s older than %s", counted(count, what.removesuffix("s")), counted(days, "day"), extra=facts)
    if more:
        told = "the other %s of that age follow within days: never many at once, in case the clock is wrong"
        log.info(told, what, extra={"what": what})


def bound_letters(db: Database, wanted: DeadLetters) -> None:
    """Drops the oldest dead letters where there are more than wanted."""
    if dead_letters.count(db) > wanted.keep_at_most:
        dropped = dead_letters.drop_beyond(db, wanted.keep_at_most)
        told, kept = counted(dropped, "dead letter"), wanted.keep_at_most
        log.warning("dropped %s beyond the newest %d", told, kept, extra={"count": dropped, "kept": kept})
