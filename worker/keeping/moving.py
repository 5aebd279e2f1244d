"""What an operator does with ledger and settings in Kafka: move into it what a database alone holds, accept a loss."""

from __future__ import annotations

from collections import Counter

from worker.keeping.keeper import Keeper
from worker.keeping.loss import Note
from worker.keeping.reader import Reader
from worker.keeping.records import key_of
from worker.staging import kept
from worker.staging.database import Database
from worker.staging.kept import Kind

MOST_AT_ONCE = 5000
"""Rows written together."""


def accept_loss(keeper: Keeper, reader: Reader) -> None:
    """Writes to Kafka that ledger and settings are to be taken as they are now.

    Args:
        keeper: writes.
        reader: of this database, which then reads both from their beginning.

    Raises:
        KafkaError: Kafka cannot be read, or did not take it; the command can be given again.
        DatabaseError: the database cannot be used.
    """
    topics = keeper.topics
    take_everything(keeper)
    notes = [
        Note(topics.settings.name, topics.settings.topic_id).of_settings(one) for one in range(topics.ledger.partitions)
    ]
    keeper.write_through(reader.db, [*notes, reader.note_now().of_ledger()])
    reader.read_again_where_cut()


def take_everything(keeper: Keeper) -> None:
    """Becomes the one writer of all partitions of both topics, without reading them.

    Raises:
        KafkaError: they cannot be taken.
    """
    for topic in (keeper.topics.ledger, keeper.topics.settings):
        for partition in range(topic.partitions):
            keeper.take(topic, partition, lambda: None)


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
    take_everything(keeper)
    ledger, strays = reader.everything(topics.ledger)
    settings, stray_settings = reader.everything(topics.settings)
    there, strays = ledger | settings, strays | stray_settings
    # Since the topic got more partitions, some rows are where nobody looks for them.
    missing = [one for key, one in strays.items() if key not in there]
    missing += [one for one in kept.everything(db) if key_of(one) not in there | strays]
    for start in range(0, len(missing), MOST_AT_ONCE):
        keeper.write(missing[start : start + MOST_AT_ONCE])
    with db.transaction():
        kept.apply(db, [*missing, *there.values()])
        for topic in (topics.ledger, topics.settings):
            for partition in range(topic.partitions):
                reader.note_read(topic, partition)
    return Counter(one.kind for one in missing)
