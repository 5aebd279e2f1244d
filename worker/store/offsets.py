"""Where reading goes on: next_offset of each partition, and which accounts were read in which partition."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from worker.model import AccountId, Position
from worker.store.database import Database


@dataclass(frozen=True, slots=True)
class Reading:
    """How far a partition was read.

    Attributes:
        updated_at: when everything that it held was last known to be read.
    """

    topic: str
    topic_id: str
    partition: int
    next_offset: int
    updated_at: str


def move_on(db: Database, topic: str, topic_id: str, partition: int, next_offset: int, at: str) -> None:
    """Writes where reading goes on. Belongs in the transaction that stages what was read."""
    db.execute(
        "INSERT OR REPLACE INTO next_offset (topic, topic_id, partition, next_offset, updated_at) VALUES (?,?,?,?,?)",
        (topic, topic_id, partition, next_offset, at),
    )


def read_on(db: Database, topic: str, topic_id: str, partition: int, next_offset: int, at: str) -> None:
    """Writes where reading a partition goes on whose end is not reached: the time stays, unless it had none.

    Belongs in the transaction that stages what was read.
    """
    db.execute(
        "INSERT INTO next_offset (topic, topic_id, partition, next_offset, updated_at) VALUES (?,?,?,?,?) "
        "ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset",
        (topic, topic_id, partition, next_offset, at),
    )


def still_at_end(db: Database, topic: str, topic_id: str, partitions: Iterable[int], at: str) -> None:
    """Writes that partitions held nothing unread at a time. Belongs in a transaction."""
    db.executemany(
        "UPDATE next_offset SET updated_at = ?1 WHERE topic = ?2 AND topic_id = ?3 AND partition = ?4 "
        "AND updated_at < ?1",
        [(at, topic, topic_id, partition) for partition in partitions],
    )


def next_of(db: Database, topic: str, topic_id: str, partition: int) -> int | None:
    """Returns where reading a partition goes on; None where it was never read under that id."""
    row = db.execute(
        "SELECT next_offset FROM next_offset WHERE topic = ? AND topic_id = ? AND partition = ?",
        (topic, topic_id, partition),
    ).fetchone()
    return None if row is None else int(row[0])


def of_topic(db: Database, topic: str) -> list[Reading]:
    """Returns how far a topic was read, under each of its ids; the latest last."""
    rows = db.execute(
        "SELECT topic, topic_id, partition, next_offset, updated_at FROM next_offset WHERE topic = ? "
        "ORDER BY updated_at, partition",
        (topic,),
    )
    return [Reading(*row) for row in rows]


def forget(db: Database, topic: str, topic_id: str, partition: int) -> None:
    """Forgets how far a partition was read, so that it is read from its beginning. Belongs in a transaction."""
    db.execute(
        "DELETE FROM next_offset WHERE topic = ? AND topic_id = ? AND partition = ?", (topic, topic_id, partition)
    )


def read_again(db: Database, topic: str, partitions: Iterable[int]) -> None:
    """Has partitions read again from their beginning; the rows they left here stay. Belongs in a transaction."""
    db.executemany(
        "UPDATE next_offset SET next_offset = 0 WHERE topic = ? AND partition = ?", [(topic, one) for one in partitions]
    )


def note_accounts(db: Database, topic: str, topic_id: str, seen: Iterable[tuple[str, int]]) -> None:
    """Writes that records of accounts were read in partitions. Belongs in the transaction that stages them.

    Args:
        seen: each account with a partition.
    """
    db.executemany(
        "INSERT OR IGNORE INTO account_partition (account_id, topic, topic_id, partition) VALUES (?,?,?,?)",
        [(account, topic, topic_id, partition) for account, partition in seen],
    )


def last_read_of(db: Database, account_id: AccountId) -> Position | None:
    """Returns the last position that was read of the partition in which an account's records were read last."""
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
    """Returns the partition of an account's newest event; None where nothing of it is staged."""
    row = db.execute(
        "SELECT partition FROM customer WHERE account_id = ? AND topic = ? AND topic_id = ? "
        "ORDER BY coalesce(event_time, staged_at) DESC LIMIT 1",
        (account_id, topic, topic_id),
    ).fetchone()
    return None if row is None else int(row[0])


def accounts_read(db: Database) -> set[AccountId]:
    """Returns the accounts of which records were read, of any topic."""
    rows = db.execute("SELECT DISTINCT account_id FROM account_partition")
    return {AccountId(row["account_id"]) for row in rows}


def scattered_accounts(db: Database, topic: str) -> dict[AccountId, int]:
    """Returns accounts whose records were read in more than one partition of a topic, with how many."""
    rows = db.execute(
        "SELECT account_id, count(DISTINCT partition) AS n FROM account_partition WHERE topic = ? "
        "GROUP BY account_id, topic_id HAVING n > 1",
        (topic,),
    )
    return {AccountId(row["account_id"]): row["n"] for row in rows}


@dataclass(frozen=True, slots=True)
class TopicSize:
    """Partitions of the topic of events and of its ledger's topic, as a worker last found them at its start."""

    topic_id: str
    partitions: int
    ledger: int


def note_size(db: Database, topic: str, size: TopicSize) -> None:
    """Writes how many partitions there are. Belongs in a transaction."""
    db.execute(
        "INSERT OR REPLACE INTO topic_size (topic, topic_id, partitions, ledger) VALUES (?,?,?,?)",
        (topic, size.topic_id, size.partitions, size.ledger),
    )


def size_of(db: Database, topic: str) -> TopicSize | None:
    """Returns how many partitions there were; None before a worker has started with this database."""
    row = db.execute("SELECT topic_id, partitions, ledger FROM topic_size WHERE topic = ?", (topic,)).fetchone()
    return None if row is None else TopicSize(*row)


def instance_id(db: Database, new: str) -> str:
    """Returns this database's name in the consumer group, the new one if it has none yet.

    Kept with the database: a worker that comes back with it gets its partitions back at once.
    """
    with db.transaction():
        row = db.execute("SELECT id FROM group_instance").fetchone()
        if row is not None:
            return str(row[0])
        db.execute("INSERT INTO group_instance (id) VALUES (?)", (new,))
    return new
