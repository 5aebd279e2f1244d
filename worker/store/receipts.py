"""Receipts: what happened to one customer in one flush, call by call, written in the transaction that settles it."""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from worker.clock import as_moment
from worker.model import AccountId, AddressKey, CustomerId, ListId
from worker.sqlite.database import Database
from worker.sqlite.rows import RowMapper
from worker.store import offsets

ERASED = "(erased)"
"""In place of the address of an erased person."""
_READ_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Receipt:
    """One customer's part of one call, or why none was made.

    Attributes:
        run: the flush that it belongs to.
        at: when, as text.
        event_id: of the event that brought the revision, with topic, partition and offset.
        list_reason: why this list.
        call: method and path; None if nothing was sent.
        sent: this contact's part of the request.
        answer_status: Mailchimp's HTTP status; None if there was no call or no answer.
        answer: this contact's part of the answer, or why there is none.
        outcome: see :mod:`worker.plan.outcomes`.
        detail: what that means here, one sentence.
        next: what happens next, one sentence.
    """

    run: int
    at: str
    account_id: AccountId
    customer_id: CustomerId
    address: AddressKey | None
    revision: int
    event_id: str | None
    topic: str
    partition: int
    offset: int
    list_id: ListId | None
    list_reason: str | None
    outcome: str
    detail: str
    next: str
    call: str | None = None
    sent: Mapping[str, Any] | None = None
    answer_status: int | None = None
    answer: Mapping[str, Any] | None = None


_ROW = RowMapper(Receipt)
_MARKS = {column: f"?{number}" for number, column in enumerate(_ROW.columns, 1)}
_SAME = " AND ".join(f"{column} = {_MARKS[column]}" for column in ("account_id", "customer_id", "revision", "detail"))
_WRITE = _ROW.insert("receipt")
_WRITE_HELD = (  # takes twice as long
    f"INSERT INTO receipt ({_ROW.names}) SELECT {', '.join(_MARKS.values())} "
    f"WHERE NOT EXISTS (SELECT 1 FROM receipt WHERE {_SAME} AND outcome = 'held')"
)


# Customers who have an address by their event, had it by a receipt, or are a member with it.
_HOLDERS = (
    "SELECT account_id, customer_id FROM receipt WHERE address = ? "
    "UNION SELECT account_id, customer_id FROM customer WHERE address = ? "
    "UNION SELECT account_id, customer_id FROM standing WHERE address = ?"
)


# CROSS JOIN: few customers are refused, and each has few receipts.
_REFUSALS = (
    "SELECT max(number) FROM standing CROSS JOIN receipt USING (account_id, customer_id) "
    "WHERE refusal IS NOT NULL AND receipt.outcome IN ('refused', 'suppressed') GROUP BY account_id, customer_id"
)


def refused_count(db: Database) -> int:
    """Returns how many customers Mailchimp refuses now, as :func:`find` lists them."""
    return db.count(f"({_REFUSALS})")


def write(db: Database, receipts: Sequence[Receipt]) -> None:
    """Adds receipts. Call it in the transaction that settles their customers.

    A customer that is held back in flush after flush for the same reason gets only one receipt.
    """
    for is_held, group in groupby(receipts, lambda receipt: receipt.outcome == "held"):
        db.executemany(_WRITE_HELD if is_held else _WRITE, [_ROW.values(receipt) for receipt in group])


@dataclass(frozen=True, slots=True)
class Receipts:
    """Receipts that were found, oldest first. Each iteration reads them page by page: they may be millions."""

    db: Database
    numbers: Sequence[int]

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[Receipt]:
        for start in range(0, len(self.numbers), _READ_AT_ONCE):
            which = "receipt WHERE number IN (SELECT value FROM json_each(?)) ORDER BY number"
            yield from _ROW.select(self.db, which, (json.dumps(list(self.numbers[start : start + _READ_AT_ONCE])),))


def find(
    db: Database,
    *,
    account_id: AccountId | None = None,
    customer_id: CustomerId | None = None,
    list_id: ListId | None = None,
    address: AddressKey | None = None,
    outcomes: Collection[str] | None = None,
    since: str | None = None,
    runs: Collection[int] | None = None,
    refused: bool = False,
    limit: int | None = None,
) -> Receipts:
    """Returns receipts, with a limit only the newest ones. Memory holds eight bytes for each, until they are read.

    Args:
        address: only of customers who have or ever had this address, so that an address change hides none.
        refused: only the last refusal of each customer whom Mailchimp refuses now.
    """
    where, values = ["1"], list[Any]()
    for name, value in {"account_id": account_id, "customer_id": customer_id, "list_id": list_id}.items():
        if value is not None:
            where.append(f"{name} = ?")
            values.append(value)
    for name, chosen in {"outcome": outcomes, "run": runs}.items():
        if chosen is not None:
            where.append(f"{name} IN (SELECT value FROM json_each(?))")
            values.append(json.dumps(list(chosen)))
    if since is not None:
        where.append("at >= ?")
        values.append(since)
    if refused:
        where.append(f"number IN ({_REFUSALS})")
    if address is not None:
        where.append(f"(account_id, customer_id) IN ({_HOLDERS})")
        values += [address] * 3
    rows = db.execute(
        f"SELECT number FROM receipt WHERE {' AND '.join(where)} ORDER BY number DESC LIMIT ?",
        (*values, -1 if limit is None else limit),
    )
    numbers = array("q", (row[0] for row in rows))
    numbers.reverse()
    return Receipts(db, numbers)


def oldest(db: Database) -> str | None:
    """Returns the time of the oldest receipt; None without any."""
    return db.value(str, "SELECT min(at) FROM receipt")


def complete_since(
    db: Database, now: datetime, keep_days: int, topic: str, partitions: Collection[int] | None = None
) -> datetime:
    """Returns since when this database has all receipts of partitions; of None, of all that its worker ever had.

    Since it was created, since the oldest ones expired, or since its worker took the last of these partitions over:
    the former owner's receipts are in that worker's database.
    """
    created = db.value(as_moment, "SELECT min(applied_at) FROM _sqlite_migrations")
    assert created is not None, "every database has migrations"
    since = max(created, now - timedelta(days=keep_days))
    taken = offsets.taken_since(db, topic, partitions)
    return since if taken is None else max(since, as_moment(taken))


def drop_before(db: Database, moment: str) -> int:
    """Deletes receipts older than a time, in many transactions; returns how many."""
    return _delete_all(db, db.pages("receipt", ("at", "number"), "at < ?", (moment,)))


def delete_account(db: Database, account_id: AccountId) -> int:
    """Deletes all of an account's receipts, in many transactions; returns how many."""
    return _delete_all(db, db.pages("receipt", ("customer_id", "number"), "account_id = ?", (account_id,)))


def _delete_all(db: Database, pages: Iterable[Sequence[Any]]) -> int:
    numbers = ((row["number"],) for rows in pages for row in rows)
    return db.in_parts(numbers, lambda part: db.executemany("DELETE FROM receipt WHERE number = ?", part))


def erase_address(db: Database, account_id: AccountId, address: AddressKey) -> int:
    """Deletes an address from an account's receipts, which are otherwise kept, in many transactions.

    Searches without the lock, again until no more are found.

    Args:
        db: outside of a transaction.
        address: in any case; its MD5, which names a member in Mailchimp's paths, is deleted too.

    Returns:
        How many were changed.
    """
    naming, changed = _Naming(address), 0
    while some := db.in_parts(naming.numbers(db, account_id), lambda part: naming.erase(db, part)):
        changed += some
    return changed


_TEXTS = ("address", "detail", "next", "call", "sent", "answer")


class _Naming:
    """Receipts that contain an address."""

    def __init__(self, address: AddressKey) -> None:
        self._address = address
        self._hash = hashlib.md5(address.encode(), usedforsecurity=False).hexdigest()
        self._pattern = re.compile(f"{re.escape(address)}|{self._hash}", re.IGNORECASE)

    def numbers(self, db: Database, account_id: AccountId) -> list[int]:
        # SQLite's lower() handles only ASCII.
        ascii_only = self._address.isascii()
        filters = " OR ".join(f"instr(lower({column}), ?2)" for column in _TEXTS) if ascii_only else "1"
        query = f"SELECT number FROM receipt WHERE account_id = ?1 AND ({filters} OR instr(call, ?3))"
        return db.column(int, query, (account_id, self._address, self._hash))

    def erase(self, db: Database, numbers: Sequence[int]) -> int:
        rows = db.execute(
            f"SELECT number, {', '.join(_TEXTS)} FROM receipt WHERE number IN (SELECT value FROM json_each(?))",
            (json.dumps(list(numbers)),),
        ).fetchall()
        changed = []
        for row in rows:
            before = [row[column] for column in _TEXTS]
            after = [None if text is None else self._pattern.sub(ERASED, text) for text in before]
            after[0] = None if before[0] == self._address else before[0]
            if after != before:
                changed.append((*after, row["number"]))
        db.executemany(
            f"UPDATE receipt SET {', '.join(f'{column} = ?' for column in _TEXTS)} WHERE number = ?", changed
        )
        return len(changed)


def delete_customer(db: Database, person: tuple[AccountId, CustomerId]) -> int:
    """Removes the receipts of a customer; returns how many. Call it in a transaction."""
    return int(db.execute("DELETE FROM receipt WHERE account_id = ? AND customer_id = ?", person).rowcount)
