"""What erasing a person does to ledger and customer statuses: its own rows go, and its address from those of others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from worker.model import AccountId, AddressKey, CustomerId
from worker.store.changed_rows import Changed, Kind, RowKey, Rows, customer_rows, entry_rows
from worker.store.database import Database
from worker.store.ledger import customer_statuses_of, entries_of, entries_of_customer, has_left


def rows_of_account(db: Database, account_id: AccountId) -> Iterator[RowKey]:
    """Returns the names of all of an account's entries and statuses, read page by page."""
    for kind, table, key in _TABLES:
        for rows in db.pages(table, key, "account_id = ?", (account_id,)):
            yield from (RowKey(kind, (account_id, *row)) for row in rows)


_TABLES: tuple[tuple[Kind, str, tuple[str, ...]], ...] = (
    ("place", "ledger", ("list_id", "address")),
    ("customer", "standing", ("customer_id",)),
)


def delete(db: Database, rows: Sequence[RowKey]) -> Changed[int]:
    """Removes entries and statuses; returns how many. Belongs in a transaction."""
    gone = 0
    for kind, table, key in _TABLES:
        which = " AND ".join(f"{column} = ?" for column in ("account_id", *key))
        keys = [one.key for one in rows if one.kind == kind]
        gone += int(db.executemany(f"DELETE FROM {table} WHERE {which}", keys).rowcount) if keys else 0
    return Changed(gone, rows)


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
    """Returns the highest version of a customer when it was last settled; None where that is not known."""
    row = db.execute(
        "SELECT version FROM standing WHERE account_id = ? AND customer_id = ?", (account_id, customer_id)
    ).fetchone()
    return None if row is None else row["version"]


def hand_over(db: Database, account_id: AccountId, customer_id: CustomerId, at: str) -> Rows:
    """Leaves a customer's entries to others who are known at their places, or have their addresses. In a transaction.

    So an opt-out of another customer who shares the address is kept when this one is erased. A found member is that
    customer's from now on only.
    """
    successor = (
        "(SELECT customer_id FROM standing AS one WHERE one.account_id = ledger.account_id "
        "AND one.customer_id <> ?2 AND one.list_id = ledger.list_id AND one.address = ledger.address UNION ALL "
        "SELECT customer_id FROM customer AS one WHERE one.account_id = ledger.account_id "
        "AND one.customer_id <> ?2 AND one.address = ledger.address LIMIT 1)"
    )
    # Place by place: an update by the very column that it changes reads the whole account.
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
    """Removes an address from what is known of customers who have another one. Belongs in a transaction.

    Args:
        address: the address; its own entries stay, for :func:`delete_customers`.

    Returns:
        Those of them who left there.
    """
    ids = json.dumps(list(keep_out))
    there = {entry.membership: entry for entry in entries_of(db, account_id, [address])}
    known = {
        (one.customer_id, one.membership)
        for one in customer_statuses_of(db, account_id, keep_out)
        if one.membership in there
    }
    known |= {(entry.customer_id, membership) for membership, entry in there.items() if entry.customer_id in keep_out}
    which = "account_id = ?1 AND customer_id IN (SELECT value FROM json_each(?2))"
    values = account_id, ids, address
    changed = db.execute(
        f"UPDATE standing SET list_id = NULL, address = NULL WHERE {which} AND address = ?3 RETURNING customer_id",
        values,
    ).fetchall()
    changed += db.execute(
        "UPDATE standing SET refusal = NULL, refused_address = NULL, attempts = 0, retry_at = NULL "
        f"WHERE {which} AND refused_address = ?3 RETURNING customer_id",
        values,
    ).fetchall()
    places = db.execute(
        "UPDATE ledger SET address_now = NULL WHERE account_id = ? AND address_now = ? "
        "RETURNING account_id, list_id, address",
        (account_id, address),
    ).fetchall()
    left = {customer_id for customer_id, membership in known if membership is not None and has_left(there[membership])}
    rows = customer_rows(account_id, [row[0] for row in changed])
    return Changed(sorted(left), rows + [RowKey("place", tuple(one)) for one in places])


def intents_naming(db: Database, account_id: AccountId, address: AddressKey) -> list[RowKey]:
    """Returns the entries with a write that was begun for another place and names an address."""
    memberships = db.execute(
        "SELECT list_id, address FROM ledger WHERE account_id = ? AND instr(intent, ?)",
        (account_id, json.dumps(address)),
    )
    return [RowKey("place", (account_id, *membership)) for membership in memberships]


def erase_from_intents(db: Database, address: AddressKey, rows: Sequence[RowKey]) -> Changed[int]:
    """Removes an address from writes that were begun for other places, as where the member came from. In a transaction.

    Args:
        rows: some of those that :func:`intents_naming` found.

    Returns:
        How many named it still.
    """
    named = json.dumps(address)
    cursor = db.executemany(
        "UPDATE ledger SET intent = json_remove(intent, '$.source') "
        "WHERE account_id = ? AND list_id = ? AND address = ? AND instr(intent, ?)",
        [(*one.key, named) for one in rows],
    )
    return Changed(int(cursor.rowcount), rows)


def delete_customers(db: Database, people: Sequence[tuple[AccountId, CustomerId]], address: AddressKey) -> Changed[int]:
    """Removes the entries and statuses of customers, and all with an address in their accounts. In a transaction.

    Returns:
        How many rows went.
    """
    waiting, entries, statuses = list[Any](), list[Any](), list[Any]()
    accounts = sorted({account_id for account_id, _ in people})
    for person in people:
        waiting += db.execute(
            "UPDATE standing SET waits_for = NULL WHERE account_id = ? AND waits_for = ? "
            "RETURNING account_id, customer_id",
            person,
        ).fetchall()
    one_entry = "RETURNING account_id, list_id, address"
    for account_id in accounts:
        which = "DELETE FROM ledger WHERE account_id = ? AND address = ?"
        entries += db.execute(f"{which} {one_entry}", (account_id, address)).fetchall()
    for person in people:
        which = "WHERE account_id = ? AND customer_id = ?"
        entries += db.execute(f"DELETE FROM ledger {which} {one_entry}", person).fetchall()
        statuses += db.execute(f"DELETE FROM standing {which} RETURNING account_id, customer_id", person).fetchall()
    rows = [RowKey("place", tuple(one)) for one in entries]
    rows += [RowKey("customer", tuple(one)) for one in (*waiting, *statuses)]
    return Changed(len(entries) + len(statuses), rows)


def former_places(db: Database, person: tuple[AccountId, CustomerId], address: AddressKey) -> Rows:
    """Returns where a person may have been known, by its addresses and the account's lists. Before it is erased.

    Kafka keeps a record of each place that is gone, by its address: these become nulls when it is committed as erased.
    A place where somebody else is known now is not among them.
    """
    account_id, customer_id = person
    rows = db.execute(
        "WITH addresses (address) AS (SELECT ?3 UNION SELECT address FROM receipt WHERE account_id = ?1 "
        "AND customer_id = ?2 AND address IS NOT NULL UNION SELECT address FROM ledger WHERE account_id = ?1 "
        "AND customer_id = ?2), lists (list_id) AS (SELECT list_id FROM list WHERE account_id = ?1 "
        "UNION SELECT list_id FROM receipt WHERE account_id = ?1 AND customer_id = ?2 AND list_id IS NOT NULL) "
        "SELECT list_id, address FROM lists, addresses WHERE NOT EXISTS (SELECT 1 FROM ledger AS one "
        "WHERE one.account_id = ?1 AND one.list_id = lists.list_id AND one.address = addresses.address)",
        (account_id, customer_id, address),
    )
    return [RowKey("place", (account_id, row[0], row[1])) for row in rows]
