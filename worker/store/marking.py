"""Customers marked as changed without a new event, so that the next flush compares them again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from worker.model import AccountId, AddressKey, CustomerId
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed, account_rows, customer_rows
from worker.store.customers import MARKED

MARKED_AT_ONCE = 1000
"""Customers marked in the transaction that marks a whole account; the others are marked afterwards."""


def mark_changed(db: Database, account_id: AccountId, address: AddressKey | None) -> Changed[int]:
    """Marks every customer of the account as changed, or those who have or had an address.

    Call it in a transaction. If an account has very many, :func:`mark_the_rest` marks the others.

    Returns:
        How many were marked in this transaction; counting a large account would take too long.
    """
    if address is None:
        counted = db.execute("UPDATE account SET resyncs = resyncs + 1 WHERE account_id = ?", (account_id,))
        return Changed(mark_all(db, account_id), account_rows(account_id) if counted.rowcount else [])
    which = (
        "account_id = ?1 AND customer_id IN (SELECT customer_id FROM customer WHERE account_id = ?1 AND address = ?2 "
        "UNION SELECT customer_id FROM standing WHERE account_id = ?1 AND address = ?2 "
        "UNION SELECT customer_id FROM ledger WHERE account_id = ?1 AND address = ?2)"
    )
    query = f"UPDATE standing SET settled = NULL WHERE {which} RETURNING customer_id"
    statuses = db.column(CustomerId, query, (account_id, address))
    which = f"bare = 0 AND {which}"
    cursor = db.execute(f"UPDATE customer SET {MARKED}, revision = revision + 1 WHERE {which}", (account_id, address))
    return Changed(int(cursor.rowcount), customer_rows(account_id, statuses))


def mark_all(db: Database, account_id: AccountId) -> int:
    """Marks every customer of the account, like :func:`mark_changed`, but only in this database."""
    query = "SELECT customer_id FROM customer WHERE account_id = ? ORDER BY customer_id LIMIT ?"
    first = db.column(CustomerId, query, (account_id, MARKED_AT_ONCE))
    marked = _mark(db, [(account_id, customer_id) for customer_id in first])
    if len(first) == MARKED_AT_ONCE:
        # Recorded in this transaction, so that a crash before the rest is marked omits nobody.
        db.execute(
            "INSERT INTO marking (account_id, after) VALUES (?,?) "
            "ON CONFLICT (account_id) DO UPDATE SET after = excluded.after",
            (account_id, first[-1]),
        )
    return marked


def mark_the_rest(
    db: Database, progress: Callable[[int], None] = lambda count: None, *, account_id: AccountId | None = None
) -> int:
    """Marks customers of accounts with very many that :func:`mark_changed` left, in many transactions.

    Args:
        db: outside of a transaction.
        progress: called with how many are marked.
        account_id: the account whose customers are marked; None for all accounts.

    Returns:
        How many were marked.
    """
    marked, left = 0, "SELECT account_id, after FROM marking WHERE ?1 IS NULL OR account_id = ?1 LIMIT 1"
    while (row := db.execute(left, (account_id,)).fetchone()) is not None:
        who, before = AccountId(row["account_id"]), marked
        marking = _Marking(db, who, row["after"])
        pages = db.pages("customer", ("customer_id",), "account_id = ? AND customer_id > ?", tuple(row))
        marked += db.in_parts(
            (row[0] for rows in pages for row in rows),
            marking.mark,
            progress=lambda count, before=before: progress(before + count),  # type: ignore[misc]
        )
        if db.is_ending:
            break
        with db.transaction():
            db.execute(
                "DELETE FROM marking WHERE account_id = ?1 AND NOT EXISTS (SELECT 1 FROM customer WHERE "
                "account_id = ?1 AND customer_id > marking.after)",
                (who,),
            )
    return marked


@dataclass(slots=True)
class _Marking:
    db: Database
    account_id: AccountId
    after: str

    def mark(self, ids: Sequence[str]) -> int:
        # Not if all were marked again meanwhile: then it starts over.
        cursor = self.db.execute(
            "UPDATE marking SET after = ? WHERE account_id = ? AND after = ?", (ids[-1], self.account_id, self.after)
        )
        if not cursor.rowcount:
            return 0
        self.after = ids[-1]
        return _mark(self.db, [(self.account_id, customer_id) for customer_id in ids])


def _mark(db: Database, keys: Sequence[tuple[str, str]]) -> int:
    which = "WHERE account_id = ? AND customer_id = ? AND bare = 0"
    return db.executemany(f"UPDATE customer SET {MARKED}, revision = revision + 1 {which}", keys)
