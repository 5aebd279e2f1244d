"""Erased persons: only keyed hashes of account and address, or of account and customer; and erasures during a flush.

A hash preserves an opt-out when its ledger entry is erased, and keeps events of an erased customer from being staged
again. The key is random, one per installation, and kept beside the settings, encrypted with the operator's secret key.
So all workers share it, it survives a change of the secret key, and nobody can hash addresses without that.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, Literal

from worker.model import AccountId, AddressKey, CustomerId, Position
from worker.sqlite.database import Database
from worker.sqlite.rows import Form, RowKey, RowMapper, Rows
from worker.store import settings_notes

KEY_BYTES = 32

HashKind = Literal["address", "customer"]


@dataclass(frozen=True, slots=True)
class ReadTo:
    """How far an erased customer's log had been read.

    Attributes:
        position: the last one; None if unknown.
        version: the customer's highest; None if no event had one.
    """

    position: Position | None
    version: int | None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """One hash.

    Attributes:
        digest: see :func:`digest_of`.
        has_left: whether the person had left a list, or may not be added again for another reason.
        read_to: of a customer that was erased itself, not just one of its addresses; else None.
    """

    account_id: AccountId
    digest: str
    forgotten_at: str
    has_left: bool
    read_to: ReadTo | None = None


def _read_to(row: Any) -> ReadTo | None:
    if row["position"] is None:
        return None
    data = json.loads(row["position"])
    return ReadTo(data["log"] and Position(*data["log"]), data["version"])


def _position_text(read_to: ReadTo | None) -> str | None:
    if read_to is None:
        return None
    return json.dumps({"log": read_to.position and astuple(read_to.position), "version": read_to.version})


_ROW = RowMapper(Forgotten, read_to=Form(("position",), lambda read_to: (_position_text(read_to),), _read_to))


@dataclass(frozen=True, slots=True)
class Departed:
    """The people whom an account may not add again though their ledger entries were erased.

    Attributes:
        key: of the hashes; None if nobody was erased.
        digests: of addresses and customers who had left.
    """

    account_id: AccountId
    key: bytes | None = field(default=None, repr=False)
    digests: frozenset[str] = frozenset()

    def has_address(self, address: AddressKey) -> bool:
        """Returns whether somebody with this address had left and was erased."""
        return self._has("address", address)

    def has_customer(self, customer_id: CustomerId) -> bool:
        """Returns whether this customer had left under any address and was erased."""
        return self._has("customer", customer_id)

    def _has(self, kind: HashKind, value: str) -> bool:
        if self.key is None or not self.digests:
            return False
        return digest_of(self.key, self.account_id, kind, value) in self.digests


def digest_of(key: bytes, account_id: AccountId, kind: HashKind, value: str) -> str:
    """Returns the HMAC-SHA256 of an account's address or customer, in hexadecimal digits."""
    return hmac.new(key, json.dumps([account_id, kind, value]).encode(), hashlib.sha256).hexdigest()


def put(db: Database, hashes: Sequence[Forgotten]) -> Rows:
    """Stores hashes; one that had left stays so. Call it in a transaction."""
    db.executemany(
        f"{_ROW.insert('forgotten')} ON CONFLICT (account_id, digest) DO UPDATE SET "
        "forgotten_at = excluded.forgotten_at, has_left = max(has_left, excluded.has_left), "
        "position = coalesce(excluded.position, position)",
        [_ROW.values(forgotten) for forgotten in hashes],
    )
    return [RowKey("forgotten", (forgotten.account_id, forgotten.digest)) for forgotten in hashes]


def departed_digests(db: Database, account_id: AccountId) -> frozenset[str]:
    """Returns the hashes of an account's addresses and customers who had left."""
    query = "SELECT digest FROM forgotten WHERE account_id = ? AND has_left = 1"
    return frozenset(db.column(str, query, (account_id,)))


def is_empty(db: Database) -> bool:
    """Returns whether there are no hashes."""
    return not db.exists("forgotten") and not db.exists("erasure_request WHERE digest <> ''")


def any_hashes(db: Database) -> bool:
    """Returns whether any person was erased."""
    return db.exists("forgotten")


def accounts_with_customers(db: Database) -> set[AccountId]:
    """Returns the accounts with erased customers."""
    return set(db.column(AccountId, "SELECT DISTINCT account_id FROM forgotten WHERE position IS NOT NULL"))


def having_customers(db: Database, account_ids: Iterable[str]) -> frozenset[str]:
    """Returns which of these accounts have erased customers."""
    known = "EXISTS (SELECT 1 FROM forgotten WHERE account_id = value AND position IS NOT NULL)"
    ids = json.dumps(list(account_ids))
    return frozenset(db.column(str, f"SELECT value FROM json_each(?) WHERE {known}", (ids,)))


def hashes_of_customers(db: Database, account_id: AccountId) -> str:
    """Returns a text that changes whenever a customer of an account is erased, even again: their number and times."""
    hashes = db.value(
        str,
        # The sum of all times in milliseconds: by another machine's clock, the last one may not be the latest.
        "SELECT count(*) || ' ' || sum(CAST(round(unixepoch(forgotten_at, 'subsec') * 1000) AS INTEGER)) "
        "FROM forgotten WHERE account_id = ? AND position IS NOT NULL",
        (account_id,),
    )
    return str(hashes)


def compared_with(db: Database, account_id: AccountId) -> str | None:
    """Returns the hashes with which all staged customers of an account were last compared; None if never."""
    return db.value(str, "SELECT hashes FROM compared WHERE account_id = ?", (account_id,))


def note_compared(db: Database, account_id: AccountId, hashes: str) -> None:
    """Records the hashes with which all staged customers of an account were compared. Call it in a transaction."""
    db.execute("INSERT OR REPLACE INTO compared (account_id, hashes) VALUES (?,?)", (account_id, hashes))


def delete_staged(db: Database, rows: Sequence[tuple[str, str, int]]) -> int:
    """Deletes staged customers with their ignored events, each only if its revision is still the given one.

    Call it in a transaction.

    Args:
        rows: account, customer and revision.

    Returns:
        How many were deleted.
    """
    which = "account_id = ? AND customer_id = ? AND revision = ?"
    deleted = db.executemany(f"DELETE FROM customer WHERE {which}", rows)
    db.executemany(
        "DELETE FROM ignored_event WHERE account_id = ?1 AND customer_id = ?2 "
        "AND NOT EXISTS (SELECT 1 FROM customer WHERE account_id = ?1 AND customer_id = ?2)",
        [row[:2] for row in rows],
    )
    return deleted


def find(db: Database, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Forgotten]:
    """Returns the erased customers by account and hash."""
    erased = _ROW.select(
        db,
        "json_each(?) AS wanted CROSS JOIN forgotten ON account_id = wanted.value ->> 0 "
        "AND digest = wanted.value ->> 1 WHERE position IS NOT NULL",
        (json.dumps(list(keys)),),
    )
    return {(forgotten.account_id, forgotten.digest): forgotten for forgotten in erased}


def delete_account(db: Database, account_id: AccountId) -> Rows:
    """Removes an account's hashes. Call it in a transaction."""
    db.execute("DELETE FROM compared WHERE account_id = ?", (account_id,))
    digests = db.column(str, "DELETE FROM forgotten WHERE account_id = ? RETURNING digest", (account_id,))
    return [RowKey("forgotten", (account_id, digest)) for digest in digests]


def encrypted_key(db: Database) -> str | None:
    """Returns the encrypted key as base64; None before the first person is erased."""
    return settings_notes.text_of(db, "hash_key")


def set_encrypted_key(db: Database, encrypted: str) -> Rows:
    """Writes the encrypted key. Call it in a transaction."""
    return settings_notes.put_text(db, "hash_key", "", encrypted)


# Erasures in an account while it is being flushed, which invalidate what that flush has read. Kept in this database
# only, and only during the flush: one that starts later reads nothing of an erased person.


def begin_counting(db: Database, account_id: AccountId) -> None:
    """Starts counting for a flush of an account. Call it in the transaction that reads the flush's input."""
    db.execute("INSERT OR REPLACE INTO erasure (account_id, number, whole) VALUES (?, 0, 0)", (account_id,))


def end_counting(db: Database, account_id: AccountId) -> None:
    """Stops counting for an account. Call it in the transaction that ends its flush."""
    db.execute("DELETE FROM erasure WHERE account_id = ?", (account_id,))


def end_all_counting(db: Database) -> None:
    """Stops counting for flushes of a process that has ended. Call it in a transaction."""
    db.execute("DELETE FROM erasure")


def note_erasure(db: Database, account_id: AccountId, *, whole: bool = False) -> None:
    """Records that somebody is erased from an account, if it is being flushed.

    Call it in each transaction that erases, so that a flush that starts between two of them finds out too.
    """
    db.execute(
        "UPDATE erasure SET number = number + 1, whole = max(whole, ?) WHERE account_id = ?", (int(whole), account_id)
    )


def erasures_of(db: Database, account_id: AccountId) -> int | None:
    """Returns how many transactions erased somebody from an account since its flush began; None without a flush."""
    return db.value(int, "SELECT number FROM erasure WHERE account_id = ?", (account_id,))


def is_whole_account_erased(db: Database, account_id: AccountId) -> bool:
    """Returns whether the whole account was erased since its flush began, even if it was connected again."""
    return db.exists("erasure WHERE account_id = ? AND whole", (account_id,))
