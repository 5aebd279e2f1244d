"""Customers as staged: one row each, its newest state and whether that still needs a flush."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from worker.model import AccountId, AddressKey, Customer, CustomerId, CustomerState, Position
from worker.staging.database import Database

_COLUMNS = (
    "account_id, customer_id, state, deleted, version, event_id, event_time, topic, topic_id, partition, "
    '"offset", revision, changed'
)
_NOTHING_KNOWN = CustomerState()


def encoded_state(state: CustomerState) -> bytes | None:
    """Returns a customer's state as its row keeps it; None for one of which nothing is known."""
    return None if state == _NOTHING_KNOWN else msgspec.json.encode(state)


def changed(
    db: Database, account_id: AccountId, after: CustomerId | None, limit: int, most_bytes: int | None = None
) -> list[Customer]:
    """Returns the account's customers that need a flush, by id, at most so many beyond an id.

    With a bound in bytes of their states no more than come within it, but one where there is one.
    """
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM customer WHERE account_id = ? AND changed = 1 AND customer_id > ? "
        "ORDER BY customer_id LIMIT ?",
        (account_id, after or "", limit),
    )
    found: list[Customer] = []
    size = 0
    for row in rows:
        size += len(row["state"] or b"")
        if most_bytes is not None and found and size > most_bytes:
            break
        found.append(_customer(row))
    return found


def by_ids(db: Database, account_id: AccountId, ids: Iterable[CustomerId]) -> list[Customer]:
    """Returns those customers of the account that are staged."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM customer WHERE account_id = ? AND customer_id IN (SELECT value FROM json_each(?))",
        (account_id, json.dumps(list(ids))),
    )
    return [_customer(row) for row in rows]


def by_addresses(db: Database, account_id: AccountId, addresses: Iterable[AddressKey]) -> list[Customer]:
    """Returns the account's customers whose address is any of these."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM customer WHERE account_id = ? AND address IN (SELECT value FROM json_each(?))",
        (account_id, json.dumps(list(addresses))),
    )
    return [_customer(row) for row in rows]


def find_by_address(db: Database, address: AddressKey, account_id: AccountId | None) -> list[Customer]:
    """Returns the customers with an address, in one account or in all."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM customer WHERE address = ?1 AND (?2 IS NULL OR account_id = ?2) "
        "ORDER BY account_id, customer_id",
        (address, account_id),
    )
    return [_customer(row) for row in rows]


def accounts_with_changes(db: Database) -> dict[AccountId, int]:
    """Returns how many customers need a flush, account by account."""
    rows = db.execute("SELECT account_id, count(*) AS n FROM customer WHERE changed = 1 GROUP BY account_id")
    return {AccountId(row["account_id"]): row["n"] for row in rows}


def changed_count(db: Database, account_id: AccountId) -> int:
    """Returns how many of the account's customers need a flush."""
    row = db.execute("SELECT count(*) FROM customer WHERE account_id = ? AND changed = 1", (account_id,)).fetchone()
    return int(row[0])


def total_count(db: Database) -> int:
    """Returns how many customers are staged, deleted ones included."""
    return int(db.execute("SELECT count(*) FROM customer").fetchone()[0])


# A customer's event, and how often its account had wanted everybody looked at again.
_SETTLED = (
    "(SELECT resyncs FROM account WHERE account.account_id = customer.account_id) "
    "|| ' ' || topic_id || ' ' || partition || ' ' || \"offset\""
)


def settle(db: Database, account_id: AccountId, settled: Sequence[tuple[CustomerId, int]]) -> None:
    """Writes that customers need nothing more, each only if the revision is still the one given.

    Belongs in the transaction that writes what was done. A newer event, or a resync, keeps its customer changed. The
    customer's standing tells which event it was, to workers that read the event anew.
    """
    rows = [(account_id, customer_id, revision) for customer_id, revision in settled]
    which = "WHERE account_id = ? AND customer_id = ? AND revision = ?"
    db.executemany(f"UPDATE customer SET changed = 0 {which}", rows)
    db.executemany(
        f"INSERT INTO standing (account_id, customer_id, settled) SELECT account_id, customer_id, {_SETTLED} "
        f"FROM customer {which} ON CONFLICT (account_id, customer_id) DO UPDATE SET settled = excluded.settled",
        rows,
    )


def settle_known(db: Database) -> int:
    """Writes that customers need nothing more whose event was settled already, by another worker or another database.

    Belongs in a transaction.

    Returns:
        How many there were.
    """
    cursor = db.execute(
        "UPDATE customer SET changed = 0 WHERE changed = 1 AND EXISTS (SELECT 1 FROM standing "
        "WHERE standing.account_id = customer.account_id AND standing.customer_id = customer.customer_id "
        f"AND standing.settled = {_SETTLED})"
    )
    return int(cursor.rowcount)


def mark_changed(db: Database, account_id: AccountId, address: AddressKey | None) -> int:
    """Marks every customer of the account, or those who have or had an address, for the next flush.

    Belongs in a transaction.

    Returns:
        How many were marked.
    """
    if address is None:
        db.execute("UPDATE account SET resyncs = resyncs + 1 WHERE account_id = ?", (account_id,))
        return look_again(db, account_id)
    which = (
        "account_id = ?1 AND customer_id IN (SELECT customer_id FROM customer WHERE account_id = ?1 AND address = ?2 "
        "UNION SELECT customer_id FROM standing WHERE account_id = ?1 AND address = ?2 "
        "UNION SELECT customer_id FROM ledger WHERE account_id = ?1 AND address = ?2)"
    )
    db.execute(f"UPDATE standing SET settled = NULL WHERE {which}", (account_id, address))
    cursor = db.execute(
        f"UPDATE customer SET changed = 1, revision = revision + 1 WHERE {which}", (account_id, address)
    )
    return int(cursor.rowcount)


def look_again(db: Database, account_id: AccountId) -> int:
    """Marks every customer of the account in this database alone; returns how many. Belongs in a transaction."""
    cursor = db.execute("UPDATE customer SET changed = 1, revision = revision + 1 WHERE account_id = ?", (account_id,))
    return int(cursor.rowcount)


def _customer(row: Any) -> Customer:
    state = row["state"]
    return Customer(
        account_id=row["account_id"],
        customer_id=row["customer_id"],
        state=_NOTHING_KNOWN if state is None else msgspec.json.decode(state, type=CustomerState),
        deleted=bool(row["deleted"]),
        version=row["version"],
        event_id=row["event_id"],
        event_time=row["event_time"],
        position=Position(row["topic"], row["topic_id"], row["partition"], row["offset"]),
        revision=row["revision"],
        changed=bool(row["changed"]),
    )


def positions_of(db: Database, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Any]:
    """Returns, of those customers that are staged, the version, the position and the time of the newest event.

    Each value is a row of version, topic, topic_id, partition, offset and event_time.
    """
    rows = db.execute(
        'SELECT account_id, customer_id, version, topic, topic_id, partition, "offset", event_time '
        "FROM json_each(?) AS wanted CROSS JOIN customer ON account_id = wanted.value ->> 0 "
        "AND customer_id = wanted.value ->> 1",
        (msgspec.json.encode(keys).decode(),),
    )
    return {(row[0], row[1]): tuple(row)[2:] for row in rows}


def stage(db: Database, rows: Iterable[tuple[Any, ...]]) -> None:
    """Writes customers' newest states and marks them changed. Belongs in the transaction that moves next_offset on.

    A row that got a higher version meanwhile, by a dead letter that was replayed, stays.

    Args:
        db: the staging database.
        rows: account_id, customer_id, address, state, deleted, version, event_id, event_time, topic, topic_id,
            partition, offset and staged_at of each, each customer once.
    """
    db.executemany(
        "INSERT INTO customer (account_id, customer_id, address, state, deleted, version, event_id, event_time, "
        'topic, topic_id, partition, "offset", staged_at, revision, changed) '
        "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,1,1) "
        "ON CONFLICT (account_id, customer_id) DO UPDATE SET address = excluded.address, state = excluded.state, "
        "deleted = excluded.deleted, version = coalesce(excluded.version, version), event_id = excluded.event_id, "
        "event_time = excluded.event_time, topic = excluded.topic, topic_id = excluded.topic_id, "
        'partition = excluded.partition, "offset" = excluded."offset", staged_at = excluded.staged_at, '
        "revision = revision + 1, changed = 1 "
        "WHERE excluded.version IS NULL OR version IS NULL OR excluded.version >= version",
        rows,
    )


def delete(db: Database, people: Sequence[tuple[AccountId, CustomerId]]) -> int:
    """Removes customers' rows; returns how many. Belongs in a transaction."""
    return int(db.executemany("DELETE FROM customer WHERE account_id = ? AND customer_id = ?", people).rowcount)
