"""Operator commands on ledger and settings in Kafka: move an old database's rows there, accept a loss."""

from __future__ import annotations

from collections import Counter

from worker.changelog import table_rows
from worker.changelog.loss import Note
from worker.changelog.reader import Reader
from worker.changelog.records import key_of
from worker.changelog.writer import ChangelogWriter
from worker.sqlite.changed_rows import Kind
from worker.sqlite.database import Database
from worker.store import readings

MOST_AT_ONCE = 5000
"""Rows written in one batch."""


def accept_loss(changelog: ChangelogWriter, reader: Reader) -> None:
    """Records in Kafka that ledger and settings are accepted as they are now.

    Departures that were read before may be lost with the ledger, so the next flush of each account reads them again.

    Raises:
        KafkaError: Kafka cannot be read, or did not accept it; the command can be repeated.
        DatabaseError: the database cannot be used.
    """
    topics = changelog.topics
    take_everything(changelog)
    settings, _ = reader.read_all(topics.settings)
    lost = [row for row in map(table_rows.with_departures_lost, settings.values()) if row is not None]
    for start in range(0, len(lost), MOST_AT_ONCE):
        changelog.write(lost[start : start + MOST_AT_ONCE])
    with reader.db.transaction():
        readings.delete(reader.db)
    notes = [
        Note(topics.settings.name, topics.settings.topic_id).of_settings(partition)
        for partition in range(topics.ledger.partitions)
    ]
    changelog.write_through(reader.db, [*notes, reader.current_note().of_ledger()])
    reader.reread_truncated()


def take_everything(changelog: ChangelogWriter) -> None:
    """Becomes the only writer of all partitions of both topics, without reading them.

    Raises:
        KafkaError: they cannot be taken over.
    """
    for topic, partition in changelog.topics.partitions():
        changelog.take(topic, partition, lambda: None)


def move(db: Database, changelog: ChangelogWriter, reader: Reader) -> Counter[Kind]:
    """Writes to Kafka the rows that it lacks; those that it has are read from it.

    Args:
        db: the reader's connection, outside of a transaction; no worker may run with this database.

    Returns:
        How many rows of each kind were written.

    Raises:
        KafkaError: Kafka cannot be read, or did not accept everything; the command can be repeated.
        DatabaseError: the database cannot be used.
    """
    topics = changelog.topics
    take_everything(changelog)
    ledger, strays = reader.read_all(topics.ledger)
    settings, stray_settings = reader.read_all(topics.settings)
    in_kafka, strays = ledger | settings, strays | stray_settings
    # After partitions were added to the topic, some rows are in partitions where nobody looks for them.
    missing = [row for key, row in strays.items() if key not in in_kafka]
    missing += [row for row in table_rows.all_rows(db) if key_of(row) not in in_kafka | strays]
    for start in range(0, len(missing), MOST_AT_ONCE):
        changelog.write(missing[start : start + MOST_AT_ONCE])
    with db.transaction():
        table_rows.apply(db, [*missing, *in_kafka.values()])
        for topic, partition in topics.partitions():
            reader.note_read(topic, partition)
    return Counter(row.kind for row in missing)
