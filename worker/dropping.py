"""Drops personal data that a worker needs no more.

Of partitions that are another worker's since long all, fields of customers whose account has no settings, and by age.
"""

from __future__ import annotations

import logging
import threading
from contextlib import closing
from datetime import timedelta

from worker.app import App
from worker.clock import as_text
from worker.consumer.owned_partitions import OwnedPartitions
from worker.plural import counted
from worker.store import bare_customers, free_space, offsets, unowned
from worker.store.database import Database
from worker.store.unowned import PartitionBack, Unowned
from worker.tidy import tidy

log = logging.getLogger("worker.daemon")

LOOK_SECONDS = 600.0
"""How often partitions are looked for, for the first time so long after the start."""
STALE_SECONDS = 120.0
"""A worker that Kafka has not confirmed for so long does not know which partitions are another worker's."""


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
            if db.must_end is not None and db.must_end():
                return dropped
            with db.transaction():
                unowned.end(db, one)
        except PartitionBack:
            log.info("partition %d came back while it was dropped", partition, extra={"partition": partition})
            continue
        dropped += 1
        told = "dropped %s of partition %d, which is another worker's"
        log.info(told, counted(rows, "row"), partition, extra={"partition": partition, "count": rows})
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
    if not accounts or (db.must_end is not None and db.must_end()):
        return count
    if count:
        # As after every erasing. Noted as done only then, so that it is done again after a crash.
        free_space.erase(db)
        told = "fields of %s were removed, whose account is not connected"
        log.info(told, counted(count, "customer"), extra={"count": count})
    with db.transaction():
        bare_customers.stripped(db, accounts)
    return count


class DroppingThread:
    """Drops what a worker needs no more, while it runs: also at one that delivers nothing."""

    def __init__(self, app: App, owned_partitions: OwnedPartitions) -> None:
        self._app, self._owned_partitions = app, owned_partitions
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dropping", daemon=True)

    def start(self) -> None:
        """Starts it."""
        self._thread.start()

    def end(self, timeout: float) -> None:
        """Ends it; what it did not finish is found again."""
        self._stop.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        with closing(self._app.open_database()) as db:
            db.must_end = self._stop.is_set
            # At its start a worker does not know yet what it will be given.
            while not self._stop.wait(LOOK_SECONDS):
                try:
                    tidy(db, self._app.clock(), self._app.config)
                    strip_unconnected(db, self._owned_partitions)
                    if self._owned_partitions.why_no_member(STALE_SECONDS) is None:
                        drop_unowned(self._app, db, self._owned_partitions)
                except Exception:
                    # Whatever it was, what is to go is looked for as long as the worker runs.
                    log.exception("dropping what is not needed any more failed; see the traceback below")
