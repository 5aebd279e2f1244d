"""Customers as staged: one row each, with the newest state and whether it still needs a flush."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from worker.model import AccountId, AddressKey, Customer, CustomerId, CustomerState, Position
from worker.sqlite.database import Database
from worker.sqlite.rows import Rows, customer_rows

_EVENT = 'deleted, version, event_id, event_time, topic, topic_id, partition, "offset"'
COLUMNS = f"account_id, customer_id, state, {_EVENT}, revision, changed"
STAGED_COLUMNS = f"account_id, customer_id, address, state, {_EVENT}, staged_at"
"""Columns of an event, staged or ignored."""
_NOTHING_KNOWN = CustomerState()
_state = msgspec.json.Decoder(CustomerState).decode
"""Created once at import: msgspec inspects a dataclass at its first decoding, and crashes if two threads do that."""
MARKED = "changed = 1, staged_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
"""For a customer that is marked again: it waits from now on, not from its last event."""

NAMING = ("first_name", "last_name", "company", "phone", "address", "attributes", "tags")
"""Fields of a customer's state that no decision needs; they are deleted once a deletion is settled."""
_PATHS = ", ".join(f"'$.{name}'" for name in NAMING)
_SETTLED_STATE = f"CASE WHEN deleted THEN json_remove(CAST(state AS TEXT), {_PATHS}) ELSE state END"
ATTRIBUTES_OF = 2000
"""Customers in the sample for :func:`attribute_names`: an account may have a million."""


def changed(
    db: Database,
    account_id: AccountId,
    after: CustomerId | None,
    limit: int,
    most_bytes: int | None = None,
    every: bool = False,
) -> list[Customer]:
    """Returns the account's customers that need a flush, or all, by id, up to a limit.

    With a limit of bytes, only as many as their states fit, but at least one. Never bare customers.
    """
    rows = db.execute(
        f"SELECT {COLUMNS} FROM customer WHERE account_id = ? {'' if every else 'AND changed = 1'} "
        "AND customer_id > ? AND bare = 0 ORDER BY customer_id LIMIT ?",
        (account_id, after or "", limit),
    )
    return within(rows, most_bytes)


def within(rows: Iterable[Any], most_bytes: int | None) -> list[Customer]:
    """Returns the customers of the first rows whose states fit into `most_bytes`, but at least one."""
    customers, size = list[Customer](), 0
    for row in rows:
        size += len(row["state"] or b"")
        if most_bytes is not None and customers and size > most_bytes:
            break
        customers.append(_customer(row))
    return customers


def by_ids(db: Database, account_id: AccountId, ids: Iterable[CustomerId]) -> list[Customer]:
    """Returns those of the customers that are staged."""
    which = "account_id = ? AND customer_id IN (SELECT value FROM json_each(?))"
    return select(db, which, (account_id, json.dumps(list(ids))))


def by_addresses(db: Database, account_id: AccountId, addresses: Iterable[AddressKey]) -> list[Customer]:
    """Returns the account's customers with any of the addresses."""
    return select(db, _OF_ADDRESSES, (account_id, json.dumps(list(addresses))))


def ids_of_addresses(db: Database, account_id: AccountId, addresses: Iterable[AddressKey]) -> list[CustomerId]:
    """Returns the ids of the account's customers with any of the addresses."""
    query = f"SELECT customer_id FROM customer WHERE {_OF_ADDRESSES}"
    return db.column(CustomerId, query, (account_id, json.dumps(list(addresses))))


_OF_ADDRESSES = "account_id = ? AND address IN (SELECT value FROM json_each(?))"


def find_by_address(db: Database, address: AddressKey, account_id: AccountId | None) -> list[Customer]:
    """Returns the customers with an address, in one account or in all."""
    which = "address = ?1 AND (?2 IS NULL OR account_id = ?2) ORDER BY account_id, customer_id"
    return select(db, which, (address, account_id))


def accounts_with_changes(db: Database) -> dict[AccountId, int]:
    """Returns how many customers need a flush, by account."""
    rows = db.execute("SELECT account_id, count(*) AS n FROM customer WHERE changed = 1 GROUP BY account_id")
    return {AccountId(row["account_id"]): row["n"] for row in rows}


def changed_count(db: Database, account_id: AccountId) -> int:
    """Returns how many of the account's customers need a flush."""
    return db.count("customer WHERE account_id = ? AND changed = 1", (account_id,))


def has_any(db: Database, account_id: str) -> bool:
    """Returns whether any customer of an account is staged."""
    return db.exists("customer WHERE account_id = ?", (account_id,))


def count_of(db: Database, account_id: AccountId) -> int:
    """Returns how many customers of an account are staged, including deleted ones."""
    return db.count("customer WHERE account_id = ?", (account_id,))


def total_count(db: Database) -> int:
    """Returns how many customers are staged, including deleted ones."""
    # Reads two narrow indexes; the table is five times their size.
    return sum(db.count(f"customer WHERE {half}") for half in ("address IS NOT NULL", "address IS NULL"))


def attribute_names(db: Database, account_id: AccountId) -> list[str]:
    """Returns the sorted names of attributes of some customers of an account."""
    return db.column(
        str,
        "SELECT DISTINCT attribute.key FROM (SELECT CAST(state AS TEXT) AS state FROM customer WHERE account_id = ? "
        "ORDER BY customer_id LIMIT ?) AS known, json_each(known.state, '$.attributes') AS attribute "
        "WHERE known.state IS NOT NULL ORDER BY attribute.key",
        (account_id, ATTRIBUTES_OF),
    )


# A customer's event, and how many resyncs its account had.
_SETTLED = (
    "(SELECT resyncs FROM account WHERE account.account_id = customer.account_id) "
    "|| ' ' || topic_id || ' ' || partition || ' ' || \"offset\""
)


def settle(db: Database, account_id: AccountId, settled: Sequence[tuple[CustomerId, int]]) -> Rows:
    """Records that customers need nothing more, each only if its revision is still the given one.

    Call it in the transaction that writes what was done. A newer event, or a resync, keeps its customer changed. The
    customer's status tells workers that reread the event which event it was, and its highest version.
    """
    rows = [(account_id, customer_id, revision) for customer_id, revision in settled]
    which = "WHERE account_id = ? AND customer_id = ? AND revision = ?"
    db.executemany(f"UPDATE customer SET changed = 0, state = {_SETTLED_STATE} {which}", rows)
    db.executemany(
        "INSERT INTO standing (account_id, customer_id, settled, version, deleted) "
        f"SELECT account_id, customer_id, {_SETTLED}, version, deleted FROM customer {which} "
        "ON CONFLICT (account_id, customer_id) DO UPDATE SET settled = excluded.settled, "
        "version = excluded.version, deleted = excluded.deleted",
        rows,
    )
    return customer_rows(account_id, [customer_id for customer_id, _ in settled])


def reopen(db: Database, account_id: AccountId, customer_ids: Sequence[CustomerId]) -> Rows:
    """Marks customers as changed without a new event: their revision stays. Call it in a transaction."""
    rows = [(account_id, customer_id) for customer_id in customer_ids]
    which = "WHERE account_id = ? AND customer_id = ?"
    written = db.execute_each(f"UPDATE standing SET settled = NULL {which} AND settled IS NOT NULL", rows)
    db.executemany(f"UPDATE customer SET {MARKED} {which} AND bare = 0", rows)
    return customer_rows(account_id, [row[1] for row in written])


_KNOWN = (
    "EXISTS (SELECT 1 FROM standing WHERE standing.account_id = customer.account_id "
    f"AND standing.customer_id = customer.customer_id AND standing.settled = {_SETTLED})"
)


def settle_known(db: Database) -> int:
    """Settles customers whose event was settled already: elsewhere, or right before this worker was killed.

    Uses many transactions. If interrupted, call it again.

    Args:
        db: outside of a transaction.

    Returns:
        How many there were.
    """
    which = f"WHERE account_id = ? AND customer_id = ? AND {_KNOWN}"
    update = f"UPDATE customer SET changed = 0, state = {_SETTLED_STATE} {which}"
    pages = db.pages("customer", ("account_id", "customer_id"), f"changed = 1 AND {_KNOWN}")
    return db.in_parts((tuple(row) for rows in pages for row in rows), lambda part: db.executemany(update, part))


def select(db: Database, which: str, values: Sequence[Any]) -> list[Customer]:
    """Returns the customers that a condition chooses, in its order."""
    return [_customer(row) for row in db.execute(f"SELECT {COLUMNS} FROM customer WHERE {which}", values)]


def _customer(row: Any) -> Customer:
    state = row["state"]
    return Customer(
        account_id=row["account_id"],
        customer_id=row["customer_id"],
        state=_NOTHING_KNOWN if state is None else _state(state),
        deleted=bool(row["deleted"]),
        version=row["version"],
        event_id=row["event_id"],
        event_time=row["event_time"],
        position=Position(row["topic"], row["topic_id"], row["partition"], row["offset"]),
        revision=row["revision"],
        changed=bool(row["changed"]),
    )


def positions_of(db: Database, keys: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """Returns by account_id/customer_id what decides whether a further event of a staged customer is newer.

    Each value has version, topic, topic_id, partition, offset and event_time of the newest event; then whether the
    customer is deleted, has withdrawn consent, needs a flush, is bare, and was deleted by a null, which has no id.
    """
    rows = db.execute(
        'SELECT wanted.key, version, topic, topic_id, partition, "offset", event_time, '
        f"deleted, {WITHDRAWN}, changed, bare, deleted AND event_id IS NULL "
        "FROM json_each(?) AS wanted CROSS JOIN customer "
        "ON account_id = substr(wanted.value, 1, instr(wanted.value, '/') - 1) "
        "AND customer_id = substr(wanted.value, instr(wanted.value, '/') + 1)",
        (msgspec.json.encode(keys).decode(),),
    )
    return {keys[row[0]]: tuple(row)[1:] for row in rows}


class Staged(NamedTuple):
    """What determines whether a staged customer is newer than something else.

    Attributes:
        known: version, topic, topic_id, partition, offset and event_time of the newest event.
    """

    customer_id: CustomerId
    revision: int
    withdrawn: bool
    known: tuple[Any, ...]


def staged_of(db: Database, account_id: AccountId, *, only_changed: bool) -> Iterator[list[Staged]]:
    """Yields an account's staged customers page by page, or those of them that need a flush."""
    decides = (WITHDRAWN, "version", "topic", "topic_id", "partition", '"offset"', "event_time")
    where = "account_id = ?" + (" AND changed = 1" if only_changed else "")
    for rows in db.pages("customer", ("customer_id",), where, (account_id,), more=("revision", *decides)):
        yield [Staged(row[0], row[1], bool(row[2]), tuple(row)[3:]) for row in rows]


WITHDRAWN = (  # JSON is only parsed if it can contain it
    "CASE WHEN instr(state, 'false') THEN coalesce(CAST(state AS TEXT) ->> '$.marketing_consent' = 0, 0) ELSE 0 END"
)


def stage(db: Database, rows: Iterable[tuple[Any, ...]], *, bare: bool = False) -> None:
    """Writes customers' newest states and marks them changed. Call it in the transaction that advances next_offset.

    Keeps a row that has a higher version by now, from a replayed dead letter.

    Args:
        rows: STAGED_COLUMNS of each customer, which occurs once. Sorted by account and id, they are written fastest.
        bare: whether their fields are left out, see :mod:`worker.store.bare_customers`; those with a state get them
        later.
    """
    written = "address = excluded.address, state = excluded.state, bare = excluded.bare"
    db.executemany(_STAGE.format("?4 IS NOT NULL" if bare else 0, written), rows)


def stage_withdrawals(db: Database, rows: Iterable[tuple[Any, ...]]) -> None:
    """Like :func:`stage`, but keeps the staged address and state, with consent withdrawn."""
    state = "json_set(CAST(state AS TEXT), '$.marketing_consent', json('false'))"
    db.executemany(_STAGE.format(0, f"state = {state}"), rows)


_STAGE = (
    f"INSERT INTO customer ({STAGED_COLUMNS}, revision, changed, bare) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,1,1,{{}}) "
    "ON CONFLICT (account_id, customer_id) DO UPDATE SET {}, "
    "deleted = excluded.deleted, version = coalesce(excluded.version, version), event_id = excluded.event_id, "
    "event_time = excluded.event_time, topic = excluded.topic, topic_id = excluded.topic_id, "
    'partition = excluded.partition, "offset" = excluded."offset", staged_at = excluded.staged_at, '
    "revision = revision + 1, changed = 1 "
    "WHERE excluded.version IS NULL OR version IS NULL OR excluded.version >= version"
)


def delete(db: Database, person: tuple[AccountId, CustomerId]) -> int:
    """Deletes a customer's rows; returns how many customers there were. Call it in a transaction."""
    for table in ("ignored_event", "not_staged", "begun_update"):
        db.execute(f"DELETE FROM {table} WHERE account_id = ? AND customer_id = ?", person)
    return int(db.execute("DELETE FROM customer WHERE account_id = ? AND customer_id = ?", person).rowcount)
