"""Drops what the worker no longer needs.

Receipts, runs and dead letters by age and number; the fields of customers whose account has no settings; the rows of
partitions that another worker has had for long.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import partial

from worker.app import App
from worker.clock import as_text
from worker.config import Config, DeadLetters
from worker.consumer.owned_partitions import OwnedPartitions
from worker.consumer.waiting import why_no_member
from worker.sqlite import free_space
from worker.sqlite.database import Database
from worker.store import bare_customers, dead_letters, expiry, offsets, receipts, runs, unowned
from worker.store.unowned import PartitionBack, Unowned
from worker.text.plural import counted
from worker.web.health import STALE_SECONDS

log = logging.getLogger("worker.daemon")


def drop_old(db: Database, now: datetime, config: Config) -> None:
    """Drops receipts, runs and dead letters beyond the limits of age and number, and empties the write-ahead log.

    Raises:
        DatabaseError: not all is dropped; the next call continues.
    """
    for table, name, days in (
        (receipts, "receipts", config.receipts.keep_days),
        (runs, "runs", config.receipts.keep_days),
        (dead_letters, "dead letters", config.dead_letters.keep_days),
    ):
        report = partial(_log_dropped, name, days)
        expiry.drop_old(db, table, name, days, now, report)
    limit_dead_letters(db, config.dead_letters)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _log_dropped(name: str, days: int, count: int, more: bool) -> None:
    facts = {"what": name, "count": count, "days": days}
    log.info("dropped %s older than %s", counted(count, name.removesuffix("s")), counted(days, "day"), extra=facts)
    if more:
        line = "the other %s of that age follow within days: never many at once, in case the clock is wrong"
        log.info(line, name, extra={"what": name})


def limit_dead_letters(db: Database, limits: DeadLetters) -> None:
    """Drops the oldest dead letters beyond the limit.

    Raises:
        DatabaseError: the database cannot be used.
    """
    if dead_letters.count(db) > limits.keep_at_most:
        dropped, kept = dead_letters.drop_beyond(db, limits.keep_at_most), limits.keep_at_most
        line = "dropped %s beyond the newest %d"
        log.warning(line, counted(dropped, "dead letter"), kept, extra={"count": dropped, "kept": kept})


def drop_unowned(app: App, db: Database, owned_partitions: OwnedPartitions) -> int:
    """Drops partitions that another worker has had for `staging.keep_unowned_hours`; returns how many.

    Args:
        db: outside of a transaction.
        owned_partitions: of a member of the consumer group.

    Raises:
        KafkaError: the ledger topic cannot be read.
        DatabaseError: not all is dropped; the next call continues.
    """
    topic, now = app.config.kafka.topic, app.clock()
    size = offsets.size_of(db, topic)
    if size is None:
        return 0
    ledger = app.changelog.topics.ledger
    before = as_text(now - timedelta(hours=app.config.staging.keep_unowned_hours))
    with db.transaction():
        unowned.note(db, (topic, ledger.name), owned_partitions.owned(), as_text(now))
    dropped = 0
    for partition in unowned.due(db, before):
        if partition in owned_partitions.owned():
            continue
        other_workers = Unowned(partition, (topic, size.topic_id), (ledger.name, ledger.topic_id))
        with db.transaction():
            begun = unowned.begin(db, other_workers, before)
        if not begun:
            continue
        try:
            rows = unowned.drop_accounts(db, other_workers, ledger.partition_of) + unowned.drop_events(
                db, other_workers
            )
            if db.is_ending:
                return dropped
            with db.transaction():
                unowned.end(db, other_workers)
        except PartitionBack:
            log.info("partition %d came back while it was dropped", partition, extra={"partition": partition})
            continue
        dropped += 1
        line = "dropped %s of partition %d, which is another worker's"
        log.info(line, counted(rows, "row"), partition, extra={"partition": partition, "count": rows})
    if dropped:
        # SQLite overwrites what it deletes, but not copies of cells that it moved earlier.
        free_space.erase(db)
    return dropped


def strip_unconnected(db: Database, owned_partitions: OwnedPartitions) -> int:
    """Removes the fields of customers whose account has no settings, which earlier releases staged; returns how many.

    Args:
        db: outside of a transaction.
        owned_partitions: knows whether the settings were read.

    Raises:
        DatabaseError: not all is done; the next call continues.
    """
    if not owned_partitions.has_settings:
        return 0
    accounts = bare_customers.to_strip(db)
    count = sum(bare_customers.strip(db, account_id) for account_id in accounts)
    if not accounts or db.is_ending:
        return count
    if count:
        # As after every erasure. Recorded as done only afterwards, so that it is repeated after a crash.
        free_space.erase(db)
        line = "removed the fields of %s whose account is not connected"
        log.info(line, counted(count, "customer"), extra={"count": count})
    with db.transaction():
        bare_customers.stripped(db, accounts)
    return count


def drop_due(app: App, owned_partitions: OwnedPartitions, db: Database) -> None:
    """Drops what is due; partitions only while this worker is a member of the consumer group.

    Raises:
        KafkaError: the ledger topic cannot be read.
        DatabaseError: not all is dropped; the next call continues.
    """
    drop_old(db, app.clock(), app.config)
    strip_unconnected(db, owned_partitions)
    if why_no_member(owned_partitions, STALE_SECONDS) is None:
        drop_unowned(app, db, owned_partitions)
