"""Operator commands on ledger and settings in Kafka: move an old database's rows there, accept a loss."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain, islice

from worker.changelog import table_rows
from worker.changelog.loss import Note
from worker.changelog.reader import Reader
from worker.changelog.rows_in_kafka import RowsInKafka
from worker.changelog.table_rows import ChangelogRow
from worker.changelog.topics import ChangelogTopics
from worker.changelog.writer import ChangelogWriter
from worker.errors import NotMoved
from worker.sqlite.database import Database
from worker.sqlite.rows import Kind
from worker.store import offsets, readings

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
    accounts = {
        row.key: row
        for rows in reader.rows_of(topics.settings)
        for row, _, stray in rows
        if row.kind == "account" and not stray
    }
    lost = [row for row in map(table_rows.with_departures_lost, accounts.values()) if row is not None]
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


def move(
    db: Database, changelog: ChangelogWriter, reader: Reader, progress: Callable[[int], None] = lambda count: None
) -> Counter[Kind]:
    """Writes to Kafka the rows that it lacks; those that it has are read from it.

    Nothing is written to the database before Kafka has everything, and settings come last: no worker takes a part of
    the ledger for the whole, and until then the database can go on with other topics.

    Args:
        db: the reader's connection, outside of a transaction; no worker may run with this database.
        progress: called with how many rows were written so far.

    Returns:
        How many rows of each kind were written.

    Raises:
        NotMoved: the database has changed since a copy of it was interrupted.
        KafkaError: Kafka cannot be read, or did not accept everything; the command can be repeated.
        DatabaseError: the database cannot be used.
    """
    topics, counts = changelog.topics, Counter[Kind]()
    take_everything(changelog)
    in_kafka = RowsInKafka(db)
    for topic in (topics.ledger, topics.settings):
        for topic_rows in reader.rows_of(topic):
            in_kafka.add(topic_rows)
    note = _note_of_copy(db, topics)
    _check_same_state(in_kafka.find(note.row_key), note, topics)
    changelog.write([note])
    # After partitions were added to the topic, some rows are in partitions where nobody looks for them.
    missing = (in_kafka.compare(rows) for rows in _parts(table_rows.all_rows(db)))
    for rows in chain(in_kafka.pages(stray=True), missing):
        changelog.write(rows)
        counts.update(row.kind for row in rows)
        progress(counts.total())
    with db.transaction():
        for rows in chain(in_kafka.pages(stray=True), in_kafka.pages(stray=False)):
            table_rows.apply(db, rows)
        for topic, partition in topics.partitions():
            reader.note_read(topic, partition)
    changelog.write([ChangelogRow(note.kind, note.key, None)])
    return counts


def _parts(rows: Iterator[ChangelogRow]) -> Iterator[list[ChangelogRow]]:
    while part := list(islice(rows, MOST_AT_ONCE)):
        yield part


def _note_of_copy(db: Database, topics: ChangelogTopics) -> ChangelogRow:
    # The state of the database when its copy began: how far it knows other ledger and settings topics. If the copy is
    # interrupted and the database then goes on with other topics, the part of it in Kafka is too old.
    instance = offsets.instance_id(db, f"worker-{uuid.uuid4()}")
    known = offsets.of_other_changelogs(db, (topics.ledger.name, topics.settings.name))
    return ChangelogRow("topic", ("copied", instance), {"note": json.dumps(known)})


def _check_same_state(before: ChangelogRow | None, now: ChangelogRow, topics: ChangelogTopics) -> None:
    if before is not None and before.row is not None and before.row.get("note") != (now.row or {}).get("note"):
        raise NotMoved(
            f"{topics.ledger.name} and {topics.settings.name} have a part of an earlier copy of this database, which "
            "was interrupted. The database has worked with other topics since, so that part is too old.",
            "Nothing was written. If no other worker uses the two topics, delete them and run the command again.",
        )
