"""People who left a list while no customer had their address: keyed hashes, kept in this database only.

A hash decides nothing. If a customer has that address later, the member is read before the customer is added to another
list. If the hashes of a list are lost, or their key is, the list's departures are read again from the beginning:
Mailchimp has them all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from worker.clock import as_moment
from worker.model import AccountId, AddressKey, ListId, MembershipKey
from worker.sqlite.database import Database

HASHES = "hashes of strangers who left"
"""The purpose for which the key of the hashes is derived from that of the installation."""
_BYTES = 8
"""Bytes of a hash: an integer of SQLite. A hash that two addresses share costs one read."""
_NAME_BYTES = 6


@dataclass(frozen=True)
class AddressHashes:
    """Hashes an account's addresses.

    Attributes:
        key: 32 bytes, derived from the key of all hashes of the installation.
    """

    account_id: AccountId
    key: bytes = field(repr=False)

    @cached_property
    def _begun(self) -> hashlib.blake2b:
        return hashlib.blake2b(json.dumps(self.account_id).encode(), key=self.key, digest_size=_BYTES)

    @cached_property
    def name(self) -> str:
        """The name of the key, kept beside the hashes that were made with it."""
        return hashlib.blake2b(b"name", key=self.key, digest_size=_NAME_BYTES).hexdigest()

    def of(self, address: AddressKey) -> int:
        """Returns the hash of an address."""
        hashed = self._begun.copy()
        hashed.update(address.encode("utf-8", "surrogatepass"))
        return int.from_bytes(hashed.digest(), signed=True)


def read_at(db: Database, hashes: AddressHashes, list_id: ListId) -> datetime | None:
    """Returns the time, by Mailchimp's clock, up to which everyone who left a list is known.

    Returns:
        None if nothing is known, or not from the beginning.
    """
    query = "SELECT read_at FROM departed_list WHERE account_id = ? AND list_id = ? AND hashed_with = ?"
    at = db.value(str, query, (hashes.account_id, list_id, hashes.name))
    return None if at is None else as_moment(at)


def is_known(db: Database, hashes: AddressHashes, list_id: ListId) -> bool:
    """Returns whether hashes of a list are kept with this key, perhaps not from the beginning."""
    where = "departed_list WHERE account_id = ? AND list_id = ? AND hashed_with = ?"
    return db.exists(where, (hashes.account_id, list_id, hashes.name))


def put(
    db: Database,
    hashes: AddressHashes,
    list_id: ListId,
    left: Collection[AddressKey],
    met: Collection[AddressKey],
) -> None:
    """Stores hashes of strangers who left a list. Call it in the transaction that writes what was read.

    Args:
        met: addresses whose hashes are removed: members that are subscribed or that the ledger knows.
    """
    if not is_known(db, hashes, list_id):
        drop(db, hashes.account_id, list_id)  # made with another key
        db.execute(
            "INSERT INTO departed_list (account_id, list_id, hashed_with) VALUES (?,?,?)",
            (hashes.account_id, list_id, hashes.name),
        )
    which = "account_id = ? AND list_id = ?"
    number = db.value(int, f"SELECT number FROM departed_list WHERE {which}", (hashes.account_id, list_id))
    if met and db.exists("departed_stranger WHERE list = ?", (number,)):
        db.execute(
            "DELETE FROM departed_stranger WHERE list = ? AND digest IN (SELECT value FROM json_each(?))",
            (number, json.dumps([hashes.of(address) for address in met])),
        )
    if left:
        db.execute(
            "INSERT OR IGNORE INTO departed_stranger (list, digest) SELECT ?, value FROM json_each(?) ORDER BY value",
            (number, json.dumps([hashes.of(address) for address in left])),
        )


def complete(db: Database, hashes: AddressHashes, list_id: ListId, at: str) -> None:
    """Records that everyone who left a list before a time is known. Call it in the transaction of the last page.

    Args:
        at: Mailchimp's time of the reading's first page, as text.
    """
    which = "account_id = ? AND list_id = ? AND hashed_with = ?"
    db.execute(f"UPDATE departed_list SET read_at = ? WHERE {which}", (at, hashes.account_id, list_id, hashes.name))


def departed(db: Database, hashes: AddressHashes, addresses: Collection[AddressKey]) -> set[MembershipKey]:
    """Returns where strangers with some addresses left lists, as far as hashes are kept with this key."""
    if not db.exists("departed_list WHERE account_id = ? AND hashed_with = ?", (hashes.account_id, hashes.name)):
        return set()
    by_digest = {hashes.of(address): address for address in addresses}
    rows = db.execute(
        "SELECT list_id, digest FROM departed_list CROSS JOIN json_each(?) AS wanted "
        "CROSS JOIN departed_stranger ON list = number AND digest = wanted.value "
        "WHERE account_id = ? AND hashed_with = ?",
        (json.dumps(list(by_digest)), hashes.account_id, hashes.name),
    )
    return {MembershipKey(ListId(row[0]), by_digest[row[1]]) for row in rows}


def drop(db: Database, account_id: AccountId, list_id: ListId) -> None:
    """Removes the hashes of a list. Call it in a transaction."""
    which = "account_id = ? AND list_id = ?"
    number = db.value(int, f"SELECT number FROM departed_list WHERE {which}", (account_id, list_id))
    if number is not None:
        db.execute("DELETE FROM departed_stranger WHERE list = ?", (number,))
        db.execute("DELETE FROM departed_list WHERE number = ?", (number,))


def delete_account(db: Database, account_id: AccountId) -> None:
    """Removes an account's hashes. Uses many transactions; if interrupted, call it again."""
    with db.transaction():
        # From now on nobody takes the rest for the whole.
        db.execute("UPDATE departed_list SET hashed_with = '', read_at = NULL WHERE account_id = ?", (account_id,))
    for number in db.column(int, "SELECT number FROM departed_list WHERE account_id = ?", (account_id,)):
        pages = db.pages("departed_stranger", ("list", "digest"), "list = ?", (number,))
        db.in_parts(
            (tuple(row) for rows in pages for row in rows),
            lambda keys: db.executemany("DELETE FROM departed_stranger WHERE list = ? AND digest = ?", keys),
        )
    with db.transaction():
        db.execute(
            "DELETE FROM departed_list WHERE account_id = ? AND NOT EXISTS "
            "(SELECT 1 FROM departed_stranger WHERE list = number)",
            (account_id,),
        )
