"""Publishes all known outcomes of a partition to a topic that lacks them: a new one, or one that was switched off.

Each partition of the ledger has a note of the outcomes topic that has its outcomes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from worker.changelog import table_rows
from worker.changelog.table_rows import ChangelogRow
from worker.changelog.writer import ChangelogWriter
from worker.sqlite.database import Database
from worker.sqlite.rows import customer_rows
from worker.store import customer_outcomes, settings_notes


def publish_all(changelog: ChangelogWriter, db: Database, partition: int) -> None:
    """Publishes all outcomes of a partition, unless the topic has them.

    Args:
        changelog: must have taken the partition.
        db: the staging database, which must hold the whole partition.

    Raises:
        KafkaError: some may not have been written; the next call starts over.
        DatabaseError: the database cannot be used.
    """
    topics = changelog.topics
    topic = None if topics.outcomes is None else {"name": topics.outcomes.name, "id": topics.outcomes.topic_id}
    if topic == settings_notes.data_of(db, "outcomes", str(partition)):
        return
    for rows in _pages(changelog, db, partition) if topic is not None else ():
        changelog.write_through(db, rows, rows)  # records reach the outcomes topic only with ledger records
    changelog.write_through(db, [_note(partition, topic)])


def _note(partition: int, topic: dict[str, str] | None) -> ChangelogRow:
    row = {"note": json.dumps(topic)}
    return ChangelogRow("topic", ("outcomes", str(partition)), row)


def _pages(changelog: ChangelogWriter, db: Database, partition: int) -> Iterator[list[ChangelogRow]]:
    for account_id in sorted(table_rows.accounts_known(db)[0]):
        if changelog.ledger_partition(account_id) == partition:
            for customer_ids in customer_outcomes.pages(db, account_id):
                yield table_rows.rows_of(db, customer_rows(account_id, customer_ids))
