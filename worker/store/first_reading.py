"""The first reading of each partition from its beginning to its end, and the deletions that it reveals.

A tombstone disappears some time after compaction. If the database was lost before the deletion was delivered, the log
no longer mentions that customer; but the ledger, which Kafka keeps, does. So a customer in a partition's ledger who is
no longer in its log was deleted, provided that only tombstones can explain missing records.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from worker.model import AccountId
from worker.sqlite.database import Database
from worker.store import accounts, counts


@dataclass(frozen=True, slots=True)
class Absent:
    """The result of a first reading.

    Attributes:
        deleted: customers in the ledger that now count as deleted.
        unclear: customers in the ledger that are not staged, but may not have been deleted.
        reason: why that is unclear.
    """

    partition: int
    deleted: int
    unclear: int
    reason: str | None


def state_of(db: Database, topic: str, topic_id: str, partition: int) -> str | None:
    """Returns the state of a first reading: begun, read or judged; None if there was none."""
    query = "SELECT state FROM first_reading WHERE topic = ? AND topic_id = ? AND partition = ?"
    return db.value(str, query, (topic, topic_id, partition))


def note(
    db: Database,
    topic: str,
    topic_id: str,
    partition: int,
    state: str,
    next_offset: int | None = None,
    reason: str | None = None,
) -> None:
    """Records the state of a first reading. Call it in a transaction.

    Args:
        state: begun, read or judged.
        next_offset: where a reading that reached the end continues.
        reason: why missing records prove nothing.
    """
    db.execute(
        "INSERT OR REPLACE INTO first_reading VALUES (?,?,?,?,?,?)",
        (topic, topic_id, partition, state, next_offset, reason),
    )


def note_not_staged(db: Database, topic: str, topic_id: str, not_staged: Iterable[tuple[int, str, str]]) -> None:
    """Records customers whose records were not staged, so that they do not count as missing. Call it in a transaction.

    Args:
        not_staged: partition, account and customer of each.
    """
    db.executemany(
        "INSERT OR IGNORE INTO not_staged VALUES (?,?,?,?,?)",
        [(topic, topic_id, *customer) for customer in sorted(not_staged)],
    )


def _not_there(known: str) -> str:
    """Returns the condition that a customer of a table is neither staged nor in a record that was not."""
    return " AND ".join(
        f"NOT EXISTS (SELECT 1 FROM {table} WHERE {table}.account_id = {known}.account_id "
        f"AND {table}.customer_id = {known}.customer_id)"
        for table in ("customer", "not_staged")
    )


def judge(
    db: Database,
    topic: str,
    topic_id: str,
    ready: Collection[int],
    ledger_partition: Callable[[AccountId], int],
    at: str,
) -> list[Absent]:
    """Stages as deleted the customers in the ledger of a completely read partition who are no longer in its log.

    Args:
        db: outside of a transaction.
        ready: partitions whose ledger has been read too.
        ledger_partition: returns the partition of an account's ledger.

    Returns:
        The result for each partition that was judged now and has missing customers.
    """
    rows = db.execute(
        "SELECT partition, next_offset, reason FROM first_reading WHERE topic = ? AND topic_id = ? AND state = 'read'",
        (topic, topic_id),
    ).fetchall()
    known = {*accounts.ids_in(db, "standing"), *accounts.ids_in(db, "ledger")} if rows else set()
    results = []
    for partition, next_offset, reason in rows:
        if partition not in ready:
            continue
        account_ids = sorted(account_id for account_id in known if ledger_partition(account_id) == partition)
        keys = () if reason else _gone(db, f" {topic_id} {partition} ", next_offset, account_ids)
        deleted = db.in_parts(keys, partial(_delete, db, (topic, topic_id, partition, next_offset - 1, at)))
        unclear = _unclear(db, account_ids)
        with db.transaction():
            note(db, topic, topic_id, partition, "judged")
            counts.add(db, topic, partition, {"absent": unclear})
        if deleted or unclear:
            results.append(Absent(partition, deleted, unclear, reason))
    return results


def _gone(db: Database, log: str, next_offset: int, account_ids: Iterable[AccountId]) -> Iterator[tuple[str, str]]:
    # Only customers settled by an event of this very log, under the topic's current id.
    where = (
        "account_id = ?1 AND coalesce(deleted, 0) = 0 AND instr(settled, ?2) > 0 "
        f"AND CAST(substr(settled, instr(settled, ?2) + length(?2)) AS INTEGER) < ?3 AND {_not_there('standing')}"
    )
    for account_id in account_ids:
        values = (account_id, log, next_offset)
        for rows in db.pages("standing", ("account_id", "customer_id"), where, values):
            yield from ((row[0], row[1]) for row in rows)


def _delete(db: Database, position: tuple[str, str, int, int, str], keys: Sequence[tuple[str, str]]) -> int:
    # The deletion gets the position where reading ended, so that it is a new one, and any later event is newer.
    return db.executemany(
        "INSERT OR IGNORE INTO customer (account_id, customer_id, deleted, version, topic, topic_id, partition, "
        '"offset", staged_at, revision, changed) SELECT account_id, customer_id, 1, version, ?3, ?4, ?5, ?6, ?7, 1, 1 '
        "FROM standing WHERE account_id = ?1 AND customer_id = ?2",
        [(*key, *position) for key in keys],
    )


def _unclear(db: Database, account_ids: Iterable[AccountId]) -> int:
    query = (
        "SELECT (SELECT count(*) FROM standing WHERE account_id = ?1 AND deleted IS NOT 1 "
        f"AND {_not_there('standing')}) + "
        "(SELECT count(DISTINCT customer_id) FROM ledger AS known WHERE account_id = ?1 "
        "AND state IN ('intended', 'present') AND NOT EXISTS (SELECT 1 FROM standing "
        "WHERE standing.account_id = known.account_id AND standing.customer_id = known.customer_id) "
        f"AND {_not_there('known')})"
    )
    return sum(db.value(int, query, (account_id,)) or 0 for account_id in account_ids)


_REVIVED = (
    "deleted = 0 AND EXISTS (SELECT 1 FROM standing AS known WHERE known.account_id = customer.account_id "
    "AND known.customer_id = customer.customer_id AND known.deleted = 1 AND customer.version <= known.version)"
)


def delete_revived(db: Database) -> int:
    """Stages customers as deleted again that a late event revived with a version not above the settled deletion's.

    The database that knew the deletion's version was lost; the ledger has it. Uses many transactions.

    Returns:
        How many there were.
    """
    pages = db.pages("customer", ("account_id", "customer_id"), f"changed = 1 AND {_REVIVED}")
    return db.in_parts(
        (tuple(row) for rows in pages for row in rows),
        lambda keys: db.executemany(
            "UPDATE customer SET deleted = 1, bare = 0, revision = revision + 1, "
            "version = (SELECT version FROM standing "
            "WHERE standing.account_id = customer.account_id AND standing.customer_id = customer.customer_id) "
            f"WHERE account_id = ? AND customer_id = ? AND {_REVIVED}",
            keys,
        ),
    )
