"""Customers staged from records, for tests and benchmarks that need no consumer."""

from __future__ import annotations

from collections.abc import Iterable

from worker.consumer.batch import Batch
from worker.consumer.decode import Record
from worker.consumer.erased_customers import ErasedCustomers, HashKey, no_key
from worker.sqlite.database import Database


def stage_batch(
    db: Database, topic: str, topic_id: str, records: Iterable[Record], at: str, hash_key: HashKey = no_key
) -> None:
    """Stages records as they were read: all of them, or none.

    Args:
        db: the staging database, outside of a transaction.
        topic_id: Kafka's id of it; "" where the broker does not report it.
        records: in the order in which they were read.

    Raises:
        DatabaseError: nothing was staged.
    """
    batch = Batch(db, topic, topic_id, erased=ErasedCustomers(hash_key))
    batch.add(list(records))
    batch.write(at)
