"""Events that were ignored because of their version, though published after the staged one.

A version that is too high by mistake makes everything after it look old. The newest of these events is kept, so that an
operator can forget the version and let that event take its place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from worker.model import AccountId, AddressKey, CustomerId
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed, customer_rows
from worker.store.customers import STAGED_COLUMNS


@dataclass(frozen=True, slots=True)
class Stuck:
    """A customer whose last event was ignored.

    Attributes:
        address: as staged; None without one.
        version: the one that is too high, or came too early.
        ignored_version: the highest that came after it.
    """

    account_id: AccountId
    customer_id: CustomerId
    address: AddressKey | None
    version: int | None
    ignored_version: int | None


def positions_of(db: Database, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Any]:
    """Returns version, topic, topic_id, partition, offset and event_time of customers' ignored events."""
    rows = db.execute(
        'SELECT account_id, customer_id, version, topic, topic_id, partition, "offset", event_time '
        "FROM json_each(?) AS wanted CROSS JOIN ignored_event ON account_id = wanted.value ->> 0 "
        "AND customer_id = wanted.value ->> 1",
        (json.dumps(list(keys)),),
    )
    return {(row[0], row[1]): tuple(row)[2:] for row in rows}


def keep(db: Database, rows: Iterable[tuple[Any, ...]]) -> None:
    """Stores ignored events, each over an earlier one: columns as a customer's. Call it in a transaction."""
    db.executemany(f"INSERT OR REPLACE INTO ignored_event ({STAGED_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)", rows)


def drop(db: Database, keys: Iterable[tuple[str, str]]) -> None:
    """Deletes the ignored events of customers that have a newer event now. Call it in a transaction."""
    # There is almost never anything to delete: then this costs staging nothing.
    if db.exists("ignored_event"):
        db.executemany("DELETE FROM ignored_event WHERE account_id = ? AND customer_id = ?", keys)


def count(db: Database) -> int:
    """Returns how many customers are stuck."""
    return db.count("ignored_event")


def stuck(db: Database, limit: int) -> list[Stuck]:
    """Returns customers whose last event was ignored, by account and customer, up to a limit."""
    rows = db.execute(
        "SELECT ignored.account_id, ignored.customer_id, customer.address, customer.version, ignored.version "
        "FROM ignored_event AS ignored JOIN customer USING (account_id, customer_id) "
        "ORDER BY ignored.account_id, ignored.customer_id LIMIT ?",
        (limit,),
    )
    return [Stuck(*row) for row in rows]


def forget_versions(db: Database, account_id: AccountId, address: AddressKey | None) -> Changed[int]:
    """Forgets the highest version of customers, so that the ignored event takes its place, or the next event wins.

    A withdrawn consent is kept if it may be newer than that event. Call it in a transaction.

    Args:
        address: only customers who have or had it; None for all whose last event was ignored.

    Returns:
        How many there were.
    """
    ids = db.column(
        CustomerId,
        "SELECT customer_id FROM ignored_event WHERE account_id = ?1 AND (?2 IS NULL OR address = ?2) "
        "UNION SELECT customer_id FROM customer WHERE account_id = ?1 AND address = ?2 "
        "UNION SELECT customer_id FROM standing WHERE account_id = ?1 AND address = ?2 "
        "UNION SELECT customer_id FROM ledger WHERE account_id = ?1 AND address = ?2",
        (account_id, address),
    )
    values = account_id, json.dumps(ids)
    which = "{0}.account_id = ?1 AND {0}.customer_id IN (SELECT value FROM json_each(?2))"
    statuses = db.column(
        CustomerId,
        f"UPDATE standing SET version = NULL, deleted = NULL, settled = NULL WHERE {which.format('standing')} "
        "RETURNING customer_id",
        values,
    )
    count = db.count(f"customer WHERE {which.format('customer')}", values)
    db.execute(
        f"UPDATE customer SET version = NULL, revision = revision + 1, changed = 1 WHERE {which.format('customer')}",
        values,
    )
    db.execute(
        "UPDATE customer SET address = ignored.address, deleted = ignored.deleted, version = ignored.version, "
        f"state = {_STATE}, event_id = ignored.event_id, event_time = ignored.event_time, topic = ignored.topic, "
        'topic_id = ignored.topic_id, partition = ignored.partition, "offset" = ignored."offset" '
        "FROM ignored_event AS ignored "
        "WHERE ignored.account_id = customer.account_id AND ignored.customer_id = customer.customer_id "
        f"AND {which.format('customer')}",
        values,
    )
    db.execute(f"DELETE FROM ignored_event WHERE {which.format('ignored_event')}", values)
    return Changed(count, customer_rows(account_id, statuses))


# Withdrawn consent stays so, unless the ignored event was certainly published after that.
_STATE = (
    "CASE WHEN coalesce(CAST(customer.state AS TEXT) ->> '$.marketing_consent' = 0, 0) "
    "AND NOT (customer.topic = ignored.topic AND customer.topic_id = ignored.topic_id "
    'AND customer.partition = ignored.partition AND customer."offset" < ignored."offset") '
    "THEN json_set(CAST(ignored.state AS TEXT), '$.marketing_consent', json('false')) ELSE ignored.state END"
)


def drop_address(db: Database, account_id: AccountId, address: AddressKey, ids: Sequence[CustomerId]) -> None:
    """Deletes ignored events with an address, of customers who have another one. Call it in a transaction."""
    db.execute(
        "DELETE FROM ignored_event WHERE account_id = ? AND address = ? "
        "AND customer_id IN (SELECT value FROM json_each(?))",
        (account_id, address, json.dumps(list(ids))),
    )
