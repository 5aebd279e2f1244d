"""Partitions assigned to other workers: since when, and what this database still has of them.

What is dropped can be reread: events and ledger from their topics. Receipts and dead letters are lost. While a
partition is being dropped, its rows here are incomplete, so it has no next_offset: it is read from its beginning if it
comes back, and its reader ends the dropping first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from worker.model import AccountId
from worker.sqlite.database import Database
from worker.store import accounts, offsets, strangers

KEPT, DROPPING, BACK = 0, 1, 2
"""States of a partition: back means that its events are being reread, but its ledger is not yet."""
_OF_ACCOUNTS = {
    "ledger": ("list_id", "address"),
    "standing": ("customer_id",),
    "forgotten": ("digest",),
    "receipt": ("customer_id", "number"),
    "compared": ("account_id",),
}
"""Tables whose rows of an account are dropped with its ledger's partition, with a row's key within an account."""


@dataclass(frozen=True, slots=True)
class Unowned:
    """A partition of the events topic and of the ledger topic.

    Attributes:
        topic: the events topic, with Kafka's id of it.
        ledger: the ledger topic, with its id.
    """

    partition: int
    topic: tuple[str, str]
    ledger: tuple[str, str]


class PartitionBack(Exception):
    """The partition is assigned to this worker again, or somebody is reading its ledger."""


def note(db: Database, topics: Collection[str], owned: Collection[int], at: str) -> None:
    """Records since when partitions are assigned to other workers. Call it in a transaction.

    Args:
        topics: names of the events topic and the ledger topic.
        owned: the partitions assigned to this worker.
    """
    marks = ",".join("?" * len(topics))
    known = db.column(int, f"SELECT DISTINCT partition FROM next_offset WHERE topic IN ({marks})", tuple(topics))
    unowned = [(partition, at) for partition in known if partition not in owned]
    db.executemany("INSERT OR IGNORE INTO unowned_partition (partition, since) VALUES (?,?)", unowned)
    db.executemany(
        "DELETE FROM unowned_partition WHERE partition = ? AND state = ?",
        [(partition, KEPT) for partition in sorted(owned)],
    )


def due(db: Database, before: str) -> list[int]:
    """Returns the partitions that other workers have had since before a time, or that are half dropped."""
    query = "SELECT partition FROM unowned_partition WHERE since <= ? OR state = ? ORDER BY partition"
    return db.column(int, query, (before, DROPPING))


def events_back(db: Database, partition: int, at: str) -> None:
    """Records that a partition is assigned again, before its next offset is looked up. Not in a transaction."""
    if _state(db, partition) is None:
        return  # then it is not about to be dropped either
    with db.transaction():
        db.execute("DELETE FROM unowned_partition WHERE partition = ? AND state = ?", (partition, KEPT))
        db.execute("UPDATE unowned_partition SET state = ?, since = ? WHERE partition = ?", (BACK, at, partition))


def ledger_back(db: Database, topic: str, topic_id: str, partition: int, at: str) -> None:
    """Records that a partition's ledger is about to be read: from its beginning if it is incomplete here.

    Call it before its next offset is looked up, and not in a transaction.
    """
    if _state(db, partition) is None:
        return
    with db.transaction():
        state = _state(db, partition)
        if state in (DROPPING, BACK):
            offsets.move_on(db, topic, topic_id, partition, 0, at)
        if state == BACK:
            db.execute("DELETE FROM unowned_partition WHERE partition = ?", (partition,))
        else:
            # Its reader may need it: the time starts again now.
            db.execute("UPDATE unowned_partition SET state = ?, since = ? WHERE partition = ?", (KEPT, at, partition))


def begin(db: Database, unowned: Unowned, before: str) -> bool:
    """Starts to drop a partition, unless it came back; returns whether to continue. Call it in a transaction."""
    changed = db.execute(
        "UPDATE unowned_partition SET state = ?1 WHERE partition = ?2 AND (state = ?1 OR since <= ?3)",
        (DROPPING, unowned.partition, before),
    ).rowcount
    if not changed:
        return False
    for topic in (unowned.topic[0], unowned.ledger[0]):
        db.execute("DELETE FROM next_offset WHERE topic = ? AND partition = ?", (topic, unowned.partition))
    db.execute("DELETE FROM first_reading WHERE topic = ? AND partition = ?", (unowned.topic[0], unowned.partition))
    return True


def end(db: Database, unowned: Unowned) -> None:
    """Records that nothing of a partition is here any more. Call it in a transaction.

    Raises:
        PartitionBack: it is no longer being dropped.
    """
    _check(db, unowned.partition)
    where = "topic = ? AND topic_id = ? AND partition = ?"
    for table in ("account_partition", "bare_account", "not_staged"):
        db.execute(f"DELETE FROM {table} WHERE {where}", (*unowned.topic, unowned.partition))
    notes = "DELETE FROM changelog_topic WHERE about IN ('settings', 'outcomes') AND partition = ?"
    db.execute(notes, (str(unowned.partition),))
    db.execute("DELETE FROM unowned_partition WHERE partition = ?", (unowned.partition,))


def drop_events(db: Database, unowned: Unowned) -> int:
    """Deletes staged customers whose newest event is in a partition, and its dead letters; returns how many.

    Uses many transactions. Customers of the topic before it was recreated stay: they cannot be reread.

    Raises:
        PartitionBack: it is no longer being dropped; what is done stays done.
    """
    columns = {"topic": unowned.topic[0], "topic_id": unowned.topic[1], "partition": unowned.partition}
    query = f"SELECT account_id FROM account_partition WHERE {_where(columns)}"
    deleted = 0
    for account_id in db.column(str, query, tuple(columns.values())):
        for table in ("customer", "ignored_event"):
            deleted += _drop(db, unowned.partition, table, ("customer_id",), {"account_id": account_id, **columns})
    for topic, topic_id in (unowned.topic, unowned.ledger):
        columns = {"topic": topic, "topic_id": topic_id, "partition": unowned.partition}
        deleted += _drop(db, unowned.partition, "dead_letter", ("offset",), columns)
    return deleted


def drop_accounts(db: Database, unowned: Unowned, partition_of: Callable[[AccountId], int]) -> int:
    """Deletes ledger, receipts and hashes of accounts whose ledger is in a partition; returns how many rows.

    Uses many transactions.

    Raises:
        PartitionBack: it is no longer being dropped; what is done stays done.
    """
    deleted = 0
    for table, columns in _OF_ACCOUNTS.items():
        for account_id in [name for name in accounts.ids_in(db, table) if partition_of(name) == unowned.partition]:
            deleted += _drop(db, unowned.partition, table, columns, {"account_id": account_id})
    for name in [name for name in accounts.ids_in(db, "departed_list") if partition_of(name) == unowned.partition]:
        strangers.delete_account(db, name)
    return deleted


def _drop(db: Database, partition: int, table: str, key_columns: tuple[str, ...], match: Mapping[str, object]) -> int:
    values = tuple(match.values())
    delete = f"DELETE FROM {table} WHERE {_where(key_columns)} AND {_where(match)}"

    def write(keys: Sequence[tuple[object, ...]]) -> int:
        _check(db, partition)
        return db.executemany(delete, [(*key, *values) for key in keys])

    keys = (tuple(row) for rows in db.pages(table, key_columns, _where(match), values) for row in rows)
    return db.in_parts(keys, write)


def _where(columns: Iterable[str]) -> str:
    return " AND ".join(f'"{column}" = ?' for column in columns)


def _check(db: Database, partition: int) -> None:
    if _state(db, partition) != DROPPING:
        raise PartitionBack


def _state(db: Database, partition: int) -> int | None:
    return db.value(int, "SELECT state FROM unowned_partition WHERE partition = ?", (partition,))
