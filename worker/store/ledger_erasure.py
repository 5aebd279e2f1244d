"""Erases a person from ledger and customer statuses: deletes its own rows, and its address from other rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from worker.model import AccountId, AddressKey, CustomerId
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed, Kind, RowKey, Rows, customer_rows, entry_rows
from worker.store.ledger import customer_statuses_of, entries_of, entries_of_customer, has_left


def rows_of_account(db: Database, account_id: AccountId) -> Iterator[RowKey]:
    """Yields the keys of all of an account's entries and statuses, page by page."""
    for kind, table, key in _TABLES:
        for rows in db.pages(table, key, "account_id = ?", (account_id,)):
            yield from (RowKey(kind, (account_id, *row)) for row in rows)


_TABLES: tuple[tuple[Kind, str, tuple[str, ...]], ...] = (
    ("place", "ledger", ("list_id", "address")),
    ("customer", "standing", ("customer_id",)),
)


def delete(db: Database, rows: Sequence[RowKey]) -> Changed[int]:
    """Deletes entries and statuses; returns how many. Call it in a transaction."""
    deleted = 0
    for kind, table, key in _TABLES:
        condition = " AND ".join(f"{column} = ?" for column in ("account_id", *key))
        keys = [row.key for row in rows if row.kind == kind]
        deleted += db.executemany(f"DELETE FROM {table} WHERE {condition}", keys) if keys else 0
    return Changed(deleted, rows)


def customers_at(db: Database, address: AddressKey) -> list[tuple[AccountId, CustomerId]]:
    """Returns the customers of all accounts who had a place with an address, or were refused for it."""
    rows = db.execute(
        "SELECT account_id, customer_id FROM ledger WHERE address = ?1 "
        "UNION SELECT account_id, customer_id FROM ledger WHERE address_now = ?1 "
        "UNION SELECT account_id, customer_id FROM standing WHERE address = ?1 OR refused_address = ?1",
        (address,),
    )
    return [(row["account_id"], row["customer_id"]) for row in rows]


def version_of(db: Database, account_id: AccountId, customer_id: CustomerId) -> int | None:
    """Returns a customer's highest version when it was last settled; None if unknown."""
    query = "SELECT version FROM standing WHERE account_id = ? AND customer_id = ?"
    return db.value(int, query, (account_id, customer_id))


def hand_over(db: Database, account_id: AccountId, customer_id: CustomerId, at: str) -> Rows:
    """Transfers a customer's entries to others who are known at their places, or have their addresses.

    So an opt-out of another customer who shares the address survives when this one is erased. A found member belongs to
    that customer only from now on. Call it in a transaction.
    """
    successor = (
        "(SELECT customer_id FROM standing AS other WHERE other.account_id = ledger.account_id "
        "AND other.customer_id <> ?2 AND other.list_id = ledger.list_id AND other.address = ledger.address UNION ALL "
        "SELECT customer_id FROM customer AS other WHERE other.account_id = ledger.account_id "
        "AND other.customer_id <> ?2 AND other.address = ledger.address LIMIT 1)"
    )
    # One place at a time: an update that filters by the column that it changes scans the whole account.
    memberships = [entry.membership for entry in entries_of_customer(db, account_id, customer_id)]
    db.executemany(
        f"UPDATE ledger SET customer_id = {successor}, names_agreed = NULL, customer_since = ?5 "
        "WHERE account_id = ?1 AND customer_id = ?2 AND list_id = ?3 AND address = ?4 "
        f"AND {successor} IS NOT NULL",
        [(account_id, customer_id, *membership, at) for membership in memberships],
    )
    return entry_rows(account_id, memberships)


def erase_address(
    db: Database, account_id: AccountId, address: AddressKey, keep_out: Sequence[CustomerId]
) -> Changed[list[CustomerId]]:
    """Deletes an address from the rows of customers who have another one. Call it in a transaction.

    Args:
        address: its own entries are left to :func:`delete_customer`.

    Returns:
        Those of them who left there.
    """
    ids = json.dumps(list(keep_out))
    entries = {entry.membership: entry for entry in entries_of(db, account_id, [address])}
    known_at = {
        (status.customer_id, status.membership)
        for status in customer_statuses_of(db, account_id, keep_out)
        if status.membership in entries
    }
    known_at |= {
        (entry.customer_id, membership) for membership, entry in entries.items() if entry.customer_id in keep_out
    }
    which = "account_id = ?1 AND customer_id IN (SELECT value FROM json_each(?2))"
    values = account_id, ids, address
    changed = db.column(
        CustomerId,
        f"UPDATE standing SET list_id = NULL, address = NULL WHERE {which} AND address = ?3 RETURNING customer_id",
        values,
    )
    changed += db.column(
        CustomerId,
        "UPDATE standing SET refusal = NULL, refused_address = NULL, attempts = 0, retry_at = NULL "
        f"WHERE {which} AND refused_address = ?3 RETURNING customer_id",
        values,
    )
    places = db.execute(
        "UPDATE ledger SET address_now = NULL WHERE account_id = ? AND address_now = ? "
        "RETURNING account_id, list_id, address",
        (account_id, address),
    ).fetchall()
    left = {
        customer_id for customer_id, membership in known_at if membership is not None and has_left(entries[membership])
    }
    rows = customer_rows(account_id, changed)
    return Changed(sorted(left), rows + [RowKey("place", tuple(place)) for place in places])


def intents_naming(db: Database, account_id: AccountId, address: AddressKey) -> list[RowKey]:
    """Returns the entries with an intent for another place that contains an address."""
    memberships = db.execute(
        "SELECT list_id, address FROM ledger WHERE account_id = ? AND instr(intent, ?)",
        (account_id, json.dumps(address)),
    )
    return [RowKey("place", (account_id, *membership)) for membership in memberships]


def erase_from_intents(db: Database, address: AddressKey, rows: Sequence[RowKey]) -> Changed[int]:
    """Deletes an address from intents for other places, such as where the member came from. Call it in a transaction.

    Args:
        rows: some of those from :func:`intents_naming`.

    Returns:
        How many still contained it.
    """
    named = json.dumps(address)
    erased = db.executemany(
        "UPDATE ledger SET intent = json_remove(intent, '$.source') "
        "WHERE account_id = ? AND list_id = ? AND address = ? AND instr(intent, ?)",
        [(*row.key, named) for row in rows],
    )
    return Changed(erased, rows)


def delete_customer(db: Database, person: tuple[AccountId, CustomerId], address: AddressKey) -> Changed[int]:
    """Deletes the entries and status of a customer, and all entries with an address. Call it in a transaction.

    Returns:
        How many rows were deleted.
    """
    of_address, of_customer = "WHERE account_id = ? AND address = ?", "WHERE account_id = ? AND customer_id = ?"
    entry, status = "RETURNING account_id, list_id, address", "RETURNING account_id, customer_id"
    waiting = db.execute(
        f"UPDATE standing SET waits_for = NULL WHERE account_id = ? AND waits_for = ? {status}", person
    ).fetchall()
    entries = db.execute(f"DELETE FROM ledger {of_address} {entry}", (person[0], address)).fetchall()
    entries += db.execute(f"DELETE FROM ledger {of_customer} {entry}", person).fetchall()
    statuses = db.execute(f"DELETE FROM standing {of_customer} {status}", person).fetchall()
    rows = [RowKey("place", tuple(row)) for row in entries]
    rows += [RowKey("customer", tuple(row)) for row in (*waiting, *statuses)]
    return Changed(len(entries) + len(statuses), rows)


def former_places(db: Database, person: tuple[AccountId, CustomerId], address: AddressKey) -> Rows:
    """Returns where a person may have been known, by its addresses and the account's lists. Call it before erasing.

    Kafka keeps a record of each deleted place under its address: these become nulls when they are committed as erased.
    Places where somebody else is known now are left out.
    """
    account_id, customer_id = person
    rows = db.execute(
        "WITH addresses (address) AS (SELECT ?3 UNION SELECT address FROM receipt WHERE account_id = ?1 "
        "AND customer_id = ?2 AND address IS NOT NULL UNION SELECT address FROM ledger WHERE account_id = ?1 "
        "AND customer_id = ?2), lists (list_id) AS (SELECT list_id FROM list WHERE account_id = ?1 "
        "UNION SELECT list_id FROM receipt WHERE account_id = ?1 AND customer_id = ?2 AND list_id IS NOT NULL) "
        "SELECT list_id, address FROM lists, addresses WHERE NOT EXISTS (SELECT 1 FROM ledger AS other "
        "WHERE other.account_id = ?1 AND other.list_id = lists.list_id AND other.address = addresses.address)",
        (account_id, customer_id, address),
    )
    return [RowKey("place", (account_id, row[0], row[1])) for row in rows]
