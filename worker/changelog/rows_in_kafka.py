"""The rows that Kafka has of ledger and settings, collected in a scratch file: they may be millions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from worker.changelog.records import changelog_row_of, key_of, value_of
from worker.changelog.table_rows import ChangelogRow
from worker.sqlite.database import Database
from worker.sqlite.rows import RowKey, json_text
from worker.sqlite.scratch import open_scratch


class TopicRow(NamedTuple):
    """A row in a topic.

    Attributes:
        value: of its record.
        stray: whether it is outside its account's partition, where nobody looks for it, because partitions were added
            to the topic.
    """

    row: ChangelogRow
    value: bytes | None
    stray: bool


class RowsInKafka:
    """The newest row of each key; one in its account's partition counts before a stray one."""

    def __init__(self, db: Database) -> None:
        """Begins with no row.

        Args:
            db: outside of a transaction; its scratch database holds the rows.

        Raises:
            DatabaseError: the scratch file cannot be created.
        """
        self._db = db
        open_scratch(db)
        db.execute("DROP TABLE IF EXISTS scratch.row_in_kafka")
        db.execute(
            "CREATE TABLE scratch.row_in_kafka (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, value BLOB, "
            "stray INTEGER NOT NULL)"
        )

    def add(self, rows: Sequence[TopicRow]) -> None:
        """Adds rows in the order of their records. Call it outside of a transaction.

        Raises:
            DatabaseError: the scratch file cannot be written.
        """
        with self._db.transaction():
            self._db.executemany(
                "INSERT INTO scratch.row_in_kafka (key, value, stray) VALUES (?,?,?) ON CONFLICT (key) "
                "DO UPDATE SET value = excluded.value, stray = excluded.stray WHERE excluded.stray <= stray",
                [(key_of(row).decode(), value, stray) for row, value, stray in rows],
            )

    def find(self, row_key: RowKey) -> ChangelogRow | None:
        """Returns the row with a key, deleted or not; None if Kafka has none."""
        key = key_of(ChangelogRow(*row_key, None))
        record = self._db.execute("SELECT value FROM scratch.row_in_kafka WHERE key = ?", (key.decode(),)).fetchone()
        row = changelog_row_of(key, record[0]) if record is not None else None
        return row if isinstance(row, ChangelogRow) else None

    def compare(self, rows: Sequence[ChangelogRow]) -> list[ChangelogRow]:
        """Returns those of a database's rows that Kafka does not have, and drops here those that are the same.

        Call it outside of a transaction.

        Raises:
            DatabaseError: the scratch file cannot be written.
        """
        by_key = {key_of(row).decode(): row for row in rows}
        which = "key IN (SELECT value FROM json_each(?))"
        values = dict(
            self._db.execute(f"SELECT key, value FROM scratch.row_in_kafka WHERE {which}", (json_text([*by_key]),))
        )
        if same := [key for key, value in values.items() if value == value_of(by_key[key], erase=False)]:
            self._db.execute(f"DELETE FROM scratch.row_in_kafka WHERE {which}", (json_text(same),))
        return [row for key, row in by_key.items() if key not in values]

    def pages(self, *, stray: bool) -> Iterator[list[ChangelogRow]]:
        """Yields the rows page by page, without notes on the topics: those in their partition, or the stray ones."""
        for rows in self._db.pages("scratch.row_in_kafka", ("number",), "stray = ?", (stray,), more=("key", "value")):
            decoded = (changelog_row_of(key.encode(), value) for _, key, value in rows)
            yield [row for row in decoded if isinstance(row, ChangelogRow) and not row.of_these_topics]
