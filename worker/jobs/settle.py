"""Settles customers that were delivered elsewhere, once their partition is taken over and read."""

from __future__ import annotations

from worker.consumer.owned_partitions import Held, OwnedPartitions
from worker.jobs.finish_staging import settle_delivered
from worker.sqlite.database import Database


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
