"""What erasing a person does to ledger and standings: its own rows go, and its address from those of others."""

from __future__ import annotations

import json
from collections.abc import Sequence

from worker.model import AccountId, AddressKey, CustomerId
from worker.store.database import Database
from worker.store.ledger import customer_statuses_of, entries_of, entries_of_customer, has_left


def version_of(db: Database, account_id: AccountId, customer_id: CustomerId) -> int | None:
    """Returns the highest version of a customer when it was last settled; None where that is not known."""
    row = db.execute(
        "SELECT version FROM standing WHERE account_id = ? AND customer_id = ?", (account_id, customer_id)
    ).fetchone()
    return None if row is None else row["version"]


def hand_over(db: Database, account_id: AccountId, customer_id: CustomerId, at: str) -> None:
    """Leaves a customer's entries to whoever else is known at their places, or has their addresses. In a transaction.

    So an opt-out of another customer who shares the address is kept when this one is erased. A found member is that
    customer's from now on only.

    Args:
        db: the staging database.
        account_id: the account.
        customer_id: who is erased.
        at: the time.
    """
    successor = (
        "(SELECT customer_id FROM standing AS one WHERE one.account_id = ledger.account_id "
        "AND one.customer_id <> ?2 AND one.list_id = ledger.list_id AND one.address = ledger.address UNION ALL "
        "SELECT customer_id FROM customer AS one WHERE one.account_id = ledger.account_id "
        "AND one.customer_id <> ?2 AND one.address = ledger.address LIMIT 1)"
    )
    # Place by place: an update by the very column that it changes reads the whole account.
    db.executemany(
        f"UPDATE ledger SET customer_id = {successor}, names_agreed = NULL, customer_since = ?5 "
        "WHERE account_id = ?1 AND customer_id = ?2 AND list_id = ?3 AND address = ?4 "
        f"AND {successor} IS NOT NULL",
        [
            (account_id, customer_id, *entry.membership, at)
            for entry in entries_of_customer(db, account_id, customer_id)
        ],
    )


def erase_address(
    db: Database, account_id: AccountId, address: AddressKey, keep_out: Sequence[CustomerId]
) -> list[CustomerId]:
    """Removes an address from what is known of customers who have another one. Belongs in a transaction.

    Args:
        db: the staging database.
        account_id: the account.
        address: the address; its own entries stay, for :func:`delete_customers`.
        keep_out: the customers.

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
    db.execute(f"UPDATE standing SET list_id = NULL, address = NULL WHERE {which} AND address = ?3", values)
    db.execute(
        "UPDATE standing SET refusal = NULL, refused_address = NULL, attempts = 0, retry_at = NULL "
        f"WHERE {which} AND refused_address = ?3",
        values,
    )
    return sorted(
        {customer_id for customer_id, membership in known if membership is not None and has_left(there[membership])}
    )


def erase_from_intents(db: Database, account_id: AccountId, address: AddressKey) -> int:
    """Removes an address from writes that were begun for other places, as where the member came from.

    In many transactions; what names the address is looked for before them, without the lock.

    Args:
        db: the staging database, outside of a transaction.
        account_id: the account.
        address: the address.

    Returns:
        How many named it.
    """
    named = json.dumps(address)
    memberships = db.execute(
        "SELECT list_id, address FROM ledger WHERE account_id = ? AND instr(intent, ?)", (account_id, named)
    ).fetchall()
    return db.in_parts(
        [(account_id, *membership) for membership in memberships],
        lambda part: int(
            db.executemany(
                "UPDATE ledger SET intent = json_remove(intent, '$.source') "
                "WHERE account_id = ? AND list_id = ? AND address = ? AND instr(intent, ?)",
                [(*key, named) for key in part],
            ).rowcount
        ),
        erase=True,
    )


def delete_customers(db: Database, people: Sequence[tuple[AccountId, CustomerId]], address: AddressKey) -> int:
    """Removes the entries and standings of customers, and all with an address in their accounts. In a transaction.

    Returns:
        How many rows went.
    """
    memberships = sorted({(account_id, address) for account_id, _ in people})
    db.executemany("UPDATE standing SET waits_for = NULL WHERE account_id = ? AND waits_for = ?", people)
    gone = int(db.executemany("DELETE FROM ledger WHERE account_id = ? AND address = ?", memberships).rowcount)
    for table in ("ledger", "standing"):
        gone += int(db.executemany(f"DELETE FROM {table} WHERE account_id = ? AND customer_id = ?", people).rowcount)
    return gone
