"""Moves into Kafka what a database holds of ledger and settings and Kafka does not: once, by an operator."""

from __future__ import annotations

from collections import Counter

from worker.keeping.keeper import Keeper
from worker.keeping.reader import Reader
from worker.keeping.records import key_of
from worker.staging import kept
from worker.staging.database import Database
from worker.staging.kept import Kind

MOST_AT_ONCE = 5000
"""Rows written together."""


def move(db: Database, keeper: Keeper, reader: Reader) -> Counter[Kind]:
    """Writes what is missing in Kafka there; what Kafka has already is taken from there.

    Args:
        db: the reader's connection, outside of a transaction; no worker may run with this database.
        keeper: writes.
        reader: reads.

    Returns:
        How many rows of each kind were written.

    Raises:
        KafkaError: Kafka cannot be read, or did not take everything; the command can be given again.
        DatabaseError: the database cannot be used.
    """
    topics = keeper.topics
    for topic in (topics.ledger, topics.settings):
        for partition in range(topic.partitions):
            keeper.take(topic, partition, lambda: None)  # all of it is read below
    there = reader.everything(topics.ledger) | reader.everything(topics.settings)
    missing = [one for one in kept.everything(db) if key_of(one) not in there]
    for start in range(0, len(missing), MOST_AT_ONCE):
        keeper.write(missing[start : start + MOST_AT_ONCE])
    with db.transaction():
        kept.apply(db, there.values())
        for topic in (topics.ledger, topics.settings):
            for partition in range(topic.partitions):
                reader.note_read(topic, partition)
    return Counter(one.kind for one in missing)
