"""Drops what a worker needs no longer.

By age and number: receipts, runs and dead letters. The fields of customers whose account has no settings. Everything of
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
from worker.jobs.job import Job
from worker.sqlite import free_space
from worker.sqlite.database import Database
from worker.store import bare_customers, dead_letters, expiry, offsets, receipts, runs, unowned
from worker.store.unowned import PartitionBack, Unowned
from worker.text.plural import counted
from worker.web.health import STALE_SECONDS

log = logging.getLogger("worker.daemon")


def drop_old(db: Database, now: datetime, config: Config) -> None:
    """Drops receipts, runs and dead letters that are older or more than wanted, and writes the write-ahead log back.

    Raises:
        DatabaseError: not all is dropped; the rest is found again.
    """
    for table, what, days in (
        (receipts, "receipts", config.receipts.keep_days),
        (runs, "runs", config.receipts.keep_days),
        (dead_letters, "dead letters", config.dead_letters.keep_days),
    ):
        report = partial(_log_dropped, what, days)
        expiry.drop_old(db, table, what, days, now, report)
    limit_dead_letters(db, config.dead_letters)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _log_dropped(what: str, days: int, count: int, more: bool) -> None:
    facts = {"what": what, "count": count, "days": days}
    log.info("dropped %s older than %s", counted(count, what.removesuffix("s")), counted(days, "day"), extra=facts)
    if more:
        line = "the other %s of that age follow within days: never many at once, in case the clock is wrong"
        log.info(line, what, extra={"what": what})


def limit_dead_letters(db: Database, limits: DeadLetters) -> None:
    """Drops the oldest dead letters where there are more than wanted.

    Raises:
        DatabaseError: the database cannot be used.
    """
    if dead_letters.count(db) > limits.keep_at_most:
        dropped, kept = dead_letters.drop_beyond(db, limits.keep_at_most), limits.keep_at_most
        line = "dropped %s beyond the newest %d"
        log.warning(line, counted(dropped, "dead letter"), kept, extra={"count": dropped, "kept": kept})


def drop_unowned(app: App, db: Database, owned_partitions: OwnedPartitions) -> int:
    """Drops partitions that are another worker's for as long as the operator chose; returns how many.

    Args:
        db: outside of a transaction.
        owned_partitions: what the group gave, of a member of the group.

    Raises:
        KafkaError: the ledger's topic cannot be asked for.
        DatabaseError: not all is dropped; the rest is found again.
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
        one = Unowned(partition, (topic, size.topic_id), (ledger.name, ledger.topic_id))
        with db.transaction():
            begun = unowned.begin(db, one, before)
        if not begun:
            continue
        try:
            rows = unowned.drop_accounts(db, one, ledger.partition_of) + unowned.drop_events(db, one)
            if db.is_ending:
                return dropped
            with db.transaction():
                unowned.end(db, one)
        except PartitionBack:
            log.info("partition %d came back while it was dropped", partition, extra={"partition": partition})
            continue
        dropped += 1
        line = "dropped %s of partition %d, which is another worker's"
        log.info(line, counted(rows, "row"), partition, extra={"partition": partition, "count": rows})
    if dropped:
        # SQLite overwrites what it removes, but not what it had moved before.
        free_space.erase(db)
    return dropped


def strip_unconnected(db: Database, owned_partitions: OwnedPartitions) -> int:
    """Has customers lose their fields whose account has no settings, of a release that staged them; returns how many.

    Args:
        db: outside of a transaction.
        owned_partitions: knows whether the settings were read.

    Raises:
        DatabaseError: not all is done; the rest is found again.
    """
    if owned_partitions.why_settings_unread() is not None:
        return 0
    accounts = bare_customers.to_strip(db)
    count = sum(bare_customers.strip(db, one) for one in accounts)
    if not accounts or db.is_ending:
        return count
    if count:
        # As after every erasing. Noted as done only then, so that it is done again after a crash.
        free_space.erase(db)
        line = "removed the fields of %s whose account is not connected"
        log.info(line, counted(count, "customer"), extra={"count": count})
    with db.transaction():
        bare_customers.stripped(db, accounts)
    return count


class Retention(Job):
    """Drops it while a worker runs, also at one that delivers nothing."""

    name, failure = "retention", "what is too old could not be dropped"
    every = retry_after = 600.0  # the first time too: at its start a worker does not know yet which partitions it gets

    def __init__(self, app: App, owned_partitions: OwnedPartitions) -> None:
        self._app, self._owned_partitions = app, owned_partitions

    def step(self, db: Database) -> None:
        """Drops what is to go now; partitions only where Kafka says which ones are another worker's."""
        drop_old(db, self._app.clock(), self._app.config)
        strip_unconnected(db, self._owned_partitions)
        if self._owned_partitions.why_no_member(STALE_SECONDS) is None:
            drop_unowned(self._app, db, self._owned_partitions)
