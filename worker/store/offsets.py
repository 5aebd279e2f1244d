"""The next offset of each partition, and the partitions in which accounts were read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from worker.kafka.partitioner import partition_of
from worker.model import AccountId, Position
from worker.sqlite.database import Database
from worker.sqlite.rows import RowMapper


@dataclass(frozen=True, slots=True)
class NextOffset:
    """How far a partition was read.

    Attributes:
        updated_at: when the partition was last known to be read to its end.
    """

    topic: str
    topic_id: str
    partition: int
    next_offset: int
    updated_at: str


_NEXT = RowMapper(NextOffset)
_MOVE_ON = _NEXT.insert("next_offset", verb="INSERT OR REPLACE")
_READ_ON = f"{_NEXT.insert('next_offset')} ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset"


def move_on(db: Database, topic: str, topic_id: str, partition: int, next_offset: int, at: str) -> None:
    """Stores the next offset. Call it in the transaction that stages what was read."""
    db.execute(_MOVE_ON, (topic, topic_id, partition, next_offset, at))


def read_on(db: Database, topic: str, topic_id: str, partition: int, next_offset: int, at: str) -> None:
    """Stores the next offset of a partition whose end is not reached: its time stays, unless it had none.

    Call it in the transaction that stages what was read.
    """
    db.execute(_READ_ON, (topic, topic_id, partition, next_offset, at))


def still_at_end(db: Database, topic: str, topic_id: str, partitions: Iterable[int], at: str) -> None:
    """Records that partitions had nothing unread at a time. Call it in a transaction."""
    db.executemany(
        "UPDATE next_offset SET updated_at = ?1 WHERE topic = ?2 AND topic_id = ?3 AND partition = ?4 "
        "AND updated_at < ?1",
        [(at, topic, topic_id, partition) for partition in partitions],
    )


def next_of(db: Database, topic: str, topic_id: str, partition: int) -> int | None:
    """Returns the next offset of a partition; None if it was never read under this topic id."""
    query = "SELECT next_offset FROM next_offset WHERE topic = ? AND topic_id = ? AND partition = ?"
    return db.value(int, query, (topic, topic_id, partition))


def of_topic(db: Database, topic: str) -> list[NextOffset]:
    """Returns how far a topic was read, under each of its ids; the latest last."""
    return _NEXT.select(db, "next_offset WHERE topic = ? ORDER BY updated_at, partition", (topic,))


def of_other_changelogs(db: Database, names: tuple[str, str]) -> list[tuple[str, str, int, int]]:
    """Returns topic, topic id, partition and next offset of each partition of ledger or settings of other topics.

    Args:
        names: of the ledger and settings topics in use.
    """
    rows = db.execute(
        "SELECT topic, topic_id, partition, next_offset FROM next_offset WHERE topic NOT IN (?, ?) "
        "AND (topic LIKE '%.ledger' OR topic LIKE '%.settings') ORDER BY topic, topic_id, partition",
        names,
    )
    return [tuple(row) for row in rows]


def forget(db: Database, topic: str, topic_id: str, partition: int) -> None:
    """Deletes the next offset of a partition, so that it is read from its beginning. Call it in a transaction."""
    db.execute(
        "DELETE FROM next_offset WHERE topic = ? AND topic_id = ? AND partition = ?", (topic, topic_id, partition)
    )


def read_again(db: Database, topic: str, partitions: Iterable[int]) -> None:
    """Schedules partitions to be reread from their beginning; their rows here stay. Call it in a transaction."""
    db.executemany(
        "UPDATE next_offset SET next_offset = 0 WHERE topic = ? AND partition = ?",
        [(topic, partition) for partition in partitions],
    )


def note_accounts(db: Database, topic: str, topic_id: str, seen: Iterable[tuple[str, int]]) -> None:
    """Records that accounts were read in partitions. Call it in the transaction that stages them.

    Args:
        seen: account and partition.
    """
    db.executemany(
        "INSERT OR IGNORE INTO account_partition (account_id, topic, topic_id, partition) VALUES (?,?,?,?)",
        [(account, topic, topic_id, partition) for account, partition in seen],
    )


def note_taken(db: Database, topic: str, taken: Iterable[tuple[int, str]]) -> None:
    """Records partitions that this worker took over. Call it in a transaction.

    Args:
        taken: partition, and when the former owner's last calls are over, as text.
    """
    db.executemany(
        "INSERT OR REPLACE INTO taken_partition (topic, partition, since, compared) VALUES (?,?,?,0)",
        [(topic, partition, since) for partition, since in taken],
    )


def note_compared(db: Database, partitions: Iterable[int]) -> None:
    """Records that customers of partitions were compared with the ledger. Call it in a transaction."""
    db.executemany(
        "UPDATE taken_partition SET compared = 1 WHERE partition = ? AND NOT compared",
        [(partition,) for partition in partitions],
    )


def taken_since(db: Database, topic: str, partitions: Iterable[int] | None) -> str | None:
    """Returns since when this worker has had all of these partitions of a topic, or all that it ever had, as text.

    None if no other worker had any of them before.
    """
    which = "topic = ?1 AND (?2 IS NULL OR partition IN (SELECT value FROM json_each(?2)))"
    numbers = None if partitions is None else json.dumps(sorted(partitions))
    return db.value(str, f"SELECT max(since) FROM taken_partition WHERE {which}", (topic, numbers))


def partitions_of(db: Database, topic: str, account_id: AccountId) -> frozenset[int]:
    """Returns the partitions of a topic in which an account's records were read, and the one where they belong."""
    query = "SELECT partition FROM account_partition WHERE topic = ? AND account_id = ?"
    partitions, size = db.column(int, query, (topic, account_id)), size_of(db, topic)
    return frozenset(partitions if size is None else [*partitions, partition_of(account_id, size.partitions)])


def last_read_of(db: Database, account_id: AccountId) -> Position | None:
    """Returns the last position read in the partition in which an account's records were last read."""
    row = db.execute(
        "SELECT topic, topic_id, partition, next_offset FROM account_partition JOIN next_offset "
        "USING (topic, topic_id, partition) WHERE account_id = ? ORDER BY updated_at DESC LIMIT 1",
        (account_id,),
    ).fetchone()
    return None if row is None else Position(row[0], row[1], row[2], row[3] - 1)


def account_partitions(db: Database, topic: str, topic_id: str) -> dict[AccountId, frozenset[int]]:
    """Returns the partitions in which each account's records were read; more than one is the publisher's fault."""
    rows = db.execute(
        "SELECT account_id, json_group_array(partition) AS partitions FROM account_partition "
        "WHERE topic = ? AND topic_id = ? GROUP BY account_id",
        (topic, topic_id),
    )
    return {AccountId(row["account_id"]): frozenset(json.loads(row["partitions"])) for row in rows}


def last_partition(db: Database, account_id: AccountId, topic: str, topic_id: str) -> int | None:
    """Returns the partition of an account's newest event; None if nothing of it is staged."""
    return db.value(
        int,
        "SELECT partition FROM customer WHERE account_id = ? AND topic = ? AND topic_id = ? "
        "ORDER BY coalesce(event_time, staged_at) DESC LIMIT 1",
        (account_id, topic, topic_id),
    )


def accounts_read(db: Database) -> set[AccountId]:
    """Returns the accounts whose records were read, of any topic."""
    return set(db.column(AccountId, "SELECT DISTINCT account_id FROM account_partition"))


def scattered_accounts(db: Database, topic: str) -> dict[AccountId, int]:
    """Returns accounts whose records were read in several partitions of a topic, with their number."""
    rows = db.execute(
        "SELECT account_id, count(DISTINCT partition) AS n FROM account_partition WHERE topic = ? "
        "GROUP BY account_id, topic_id HAVING n > 1",
        (topic,),
    )
    return {AccountId(row["account_id"]): row["n"] for row in rows}


@dataclass(frozen=True, slots=True)
class TopicSize:
    """The partitions of the events topic and of its ledger topic, as a worker last found them."""

    topic_id: str
    partitions: int
    ledger: int


_SIZE = RowMapper(TopicSize)


def note_size(db: Database, topic: str, size: TopicSize) -> None:
    """Stores the numbers of partitions. Call it in a transaction."""
    db.execute(_SIZE.insert("topic_size", "topic", verb="INSERT OR REPLACE"), (topic, *_SIZE.values(size)))


def size_of(db: Database, topic: str) -> TopicSize | None:
    """Returns the numbers of partitions; None before a worker has started with this database."""
    return next(iter(_SIZE.select(db, "topic_size WHERE topic = ?", (topic,))), None)


def known_instance_id(db: Database) -> str | None:
    """Returns this database's static member name in the consumer group; None before it has one."""
    return db.value(str, "SELECT id FROM group_instance")


def instance_id(db: Database, new: str) -> str:
    """Returns this database's static member name in the consumer group, `new` if it had none.

    It is kept with the database, so that a worker that comes back with it gets its partitions back at once.
    """
    with db.transaction():
        if (known := known_instance_id(db)) is not None:
            return known
        db.execute("INSERT INTO group_instance (id) VALUES (?)", (new,))
    return new
