"""The last steps of staging, once everything is read and before anything is planned or delivered.

After a take-over or a crash, customers that were delivered already are settled at once.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from worker.app import App
from worker.clock import as_text
from worker.consumer.erased_customers import ErasedCustomers
from worker.consumer.owned_partitions import Held, OwnedPartitions
from worker.jobs import erase
from worker.jobs.job import attempt
from worker.sqlite.database import Database
from worker.store import customers, first_reading, marking, offsets
from worker.text.plural import counted

log = logging.getLogger("worker.daemon")


def finish_staging(app: App, owned_partitions: OwnedPartitions, topic_id: str, db: Database) -> None:
    """Marks customers to compare again, drops erased and deleted ones, and settles those delivered elsewhere.

    Raises:
        DatabaseError: the database cannot be used.
    """
    marking.mark_the_rest(db)
    attempt(lambda: erase.carry_out_requests(app, db), erase.FAILURE)
    if erased := ErasedCustomers(app.hash_key).drop_staged(db):
        line = "%d customers were removed: they were erased, and nothing newer of them was read"
        log.info(line, erased, extra={"count": erased})
    _delete_missing(app, owned_partitions, topic_id, db)
    settle_delivered(db, owned_partitions.ready())


def settle_delivered(db: Database, ready: Collection[int]) -> None:
    """Settles customers whose newest event was settled already, as only Kafka knew.

    By another worker, with another database, or by this worker, killed before it had written that to its database.

    Args:
        ready: the partitions whose ledger is read.
    """
    if settled := customers.settle_known(db):
        line = "%s delivered already, by another worker, with another database, or right before this worker was killed"
        log.info(line, counted(settled, "customer"), extra={"count": settled})
    with db.transaction():
        offsets.note_compared(db, ready)


class Settle:
    """Compares staged customers with the ledger after each assignment, so that they do not wait for the next flush."""

    def __init__(self, owned_partitions: OwnedPartitions) -> None:
        self._owned_partitions = owned_partitions
        self._compared: Held = frozenset()

    def step(self, db: Database) -> None:
        """Compares them if a partition was assigned, and customers and ledger were read since."""
        ready = self._owned_partitions.held(self._owned_partitions.ready())
        if ready - self._compared:
            settle_delivered(db, {partition for partition, _ in ready})
        self._compared = ready


def _delete_missing(app: App, owned_partitions: OwnedPartitions, topic_id: str, db: Database) -> None:
    # Customers that are in the ledger but no longer in the log, once a partition was read completely, are deleted if
    # nothing else can explain it.
    revived = first_reading.delete_revived(db)
    if revived:
        message = "still deleted: %s; the events that came again are older"
        log.info(message, counted(revived, "customer"), extra={"count": revived})
    topic, ready = app.config.kafka.topic, owned_partitions.ready()
    results = first_reading.judge(db, topic, topic_id, ready, app.changelog.ledger_partition, as_text(app.clock()))
    for absent in results:
        if absent.deleted:
            log.warning(
                "partition %d was read to its end. Missing from it, and therefore deleted: %s of the ledger",
                absent.partition,
                counted(absent.deleted, "customer"),
                extra={"partition": absent.partition, "count": absent.deleted},
            )
        if absent.unclear:
            reason = absent.reason or "they were settled under another id of the topic, or checked again since"
            log.warning(
                "partition %d was read to its end. Not in it, but not deleted: %s of the ledger, because %s. Publish "
                "those that were deleted again, as .deleted",
                absent.partition,
                counted(absent.unclear, "customer"),
                reason,
                extra={"partition": absent.partition, "count": absent.unclear, "reason": reason},
            )
