"""Counts of records that changed nothing, and of publishers' faults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from worker.sqlite.database import Database

CountKind = Literal[
    "skipped",
    "repeated",
    "older",
    "out_of_order",
    "key_disagrees",
    "recreated",
    "expired",
    "cut",
    "away",
    "absent",
    "misplaced",
    "erased",
]
"""skipped: events of other types · repeated: read before · older: lost against a newer one · out_of_order: a lower
version at a higher offset · key_disagrees: key and data name different customers · recreated: the topic was recreated ·
expired: the log began after the next offset · cut: it ended before · away: nobody read the partition for longer than it
keeps tombstones · absent: in the ledger but not in the log, deleted or not · misplaced: read in another partition than
that of their account by the contract · erased: of customers who were erased later."""


def add(db: Database, topic: str, partition: int, counts: Mapping[CountKind, int]) -> None:
    """Adds to a partition's counts. Call it in the transaction that stages what was counted."""
    db.executemany(
        "INSERT INTO read_count (topic, partition, what, count) VALUES (?,?,?,?) "
        "ON CONFLICT (topic, partition, what) DO UPDATE SET count = count + excluded.count",
        [(topic, partition, counted, count) for counted, count in counts.items() if count],
    )


def totals(db: Database, topic: str) -> dict[str, int]:
    """Returns a topic's counts, summed over its partitions."""
    rows = db.execute("SELECT what, sum(count) AS n FROM read_count WHERE topic = ? GROUP BY what", (topic,))
    return {row["what"]: row["n"] for row in rows}


def in_partition(db: Database, topic: str, partition: int, counted: CountKind) -> int:
    """Returns one count of one partition."""
    query = "SELECT count FROM read_count WHERE topic = ? AND partition = ? AND what = ?"
    return db.value(int, query, (topic, partition, counted)) or 0
