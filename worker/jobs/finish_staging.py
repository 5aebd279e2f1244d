"""The last steps of staging, once everything is read and before anything is planned or delivered.

After a take-over, customers that were delivered elsewhere are settled at once.
"""

from __future__ import annotations

import logging

from worker.app import App
from worker.clock import as_text
from worker.consumer.erased_customers import ErasedCustomers
from worker.consumer.missing_customers import delete_missing
from worker.consumer.owned_partitions import Held, OwnedPartitions
from worker.jobs import erase
from worker.jobs.job import attempt
from worker.sqlite.database import Database
from worker.store import customers, marking
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
    ready, ledger_partition = owned_partitions.ready(), app.changelog.ledger_partition
    delete_missing(db, app.config.kafka.topic, topic_id, ready, ledger_partition, as_text(app.clock()))
    settle_delivered(db)


def settle_delivered(db: Database) -> None:
    """Settles customers whose newest event was settled already, by another worker or with another database."""
    if settled := customers.settle_known(db):
        line = "%s delivered already, by another worker or with another database"
        log.info(line, counted(settled, "customer"), extra={"count": settled})


class Settle:
    """Compares staged customers with the ledger after each assignment, so that they do not wait for the next flush."""

    def __init__(self, owned_partitions: OwnedPartitions) -> None:
        self._owned_partitions = owned_partitions
        self._compared: Held = frozenset()

    def step(self, db: Database) -> None:
        """Compares them if a partition was assigned, and customers and ledger were read since."""
        ready = self._owned_partitions.held(self._owned_partitions.ready())
        if ready - self._compared:
            settle_delivered(db)
        self._compared = ready
