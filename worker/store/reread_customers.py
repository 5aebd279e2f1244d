"""The customers seen while a partition is reread, and the deletion of those who were not.

They are kept in the connection's scratch database: on disk, and gone after a crash.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from worker.sqlite.database import Database
from worker.sqlite.scratch import open_scratch


def begin(db: Database, partition: int) -> None:
    """Starts for a partition with no customers seen."""
    open_scratch(db)
    db.execute(
        "CREATE TABLE IF NOT EXISTS scratch.seen (partition INTEGER NOT NULL, account_id TEXT NOT NULL, "
        "customer_id TEXT NOT NULL, PRIMARY KEY (partition, account_id, customer_id)) WITHOUT ROWID"
    )
    forget(db, partition)


def note(db: Database, partition: int, people: Sequence[tuple[str, str]]) -> None:
    """Records account and customer of those seen in a partition."""
    db.execute(
        "INSERT OR IGNORE INTO scratch.seen SELECT ?, value ->> 0, value ->> 1 FROM json_each(?)",
        (partition, json.dumps(people)),
    )


def delete_others(db: Database, topic: str, topic_id: str, partition: int, last_offset: int, at: str) -> int:
    """Stages as deleted the customers of a partition that were not seen again. Call it in a transaction.

    Such a deletion has no event. It gets the position where reading ended, so that it is a new one, and any later event
    is newer.

    Args:
        db: the connection that recorded who was seen.
        last_offset: the last one that was read.

    Returns:
        How many there were.
    """
    cursor = db.execute(
        "UPDATE customer SET deleted = 1, bare = 0, changed = 1, revision = revision + 1, "
        "event_id = NULL, event_time = NULL, "
        '"offset" = ?4, staged_at = ?5 '
        "WHERE topic = ?1 AND topic_id = ?2 AND partition = ?3 AND deleted = 0 AND NOT EXISTS (SELECT 1 "
        "FROM scratch.seen WHERE seen.partition = ?3 AND seen.account_id = customer.account_id "
        "AND seen.customer_id = customer.customer_id)",
        (topic, topic_id, partition, last_offset, at),
    )
    return int(cursor.rowcount)


def forget(db: Database, partition: int) -> None:
    """Deletes what was recorded for a partition."""
    db.execute("DELETE FROM scratch.seen WHERE partition = ?", (partition,))
