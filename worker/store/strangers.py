"""People who left a list while the ledger did not have them there: keyed hashes, kept in this database only.

A hash decides nothing. If a customer has that address later, the member is read before the customer is added anywhere.
If the hashes of a list are lost, or their key is, the list's departures are read again from the beginning: Mailchimp
has them all. It does not have the former addresses of a member. So the contact id and address of each member who is on
the list are hashed too: once that contact has left under another address, the former one counts as left.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
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
_KEYS = {"departed_stranger": ("list", "digest"), "stranger_contact": ("list", "contact", "address")}
"""The tables of the hashes, with their primary keys."""


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

    def of(self, value: str) -> int:
        """Returns the hash of an address key or a contact id."""
        hashed = self._begun.copy()
        hashed.update(value.encode("utf-8", "surrogatepass"))
        return int.from_bytes(hashed.digest(), signed=True)


@dataclass(frozen=True, slots=True)
class Listed:
    """A member as a page lists it.

    Attributes:
        contact_id: Mailchimp's; None if the answer lacks it.
        left: whether it is known to have left the list.
        known: whether the ledger knows it, there or under another address.
    """

    address: AddressKey
    contact_id: str | None
    subscribed: bool
    left: bool
    known: bool

    @property
    def is_stranger_who_left(self) -> bool:
        """Whether nothing but a hash is to show that it left."""
        return self.left and not self.known


def read_at(db: Database, hashes: AddressHashes, list_id: ListId) -> datetime | None:
    """Returns the time, by Mailchimp's clock, up to which everyone who left a list is known.

    Returns:
        None if nothing is known, or not from the beginning.
    """
    return _time(db, hashes, list_id, "read_at")


def contacts_read_at(db: Database, hashes: AddressHashes, list_id: ListId) -> datetime | None:
    """Returns the time, by Mailchimp's clock, up to which the addresses of a list's contacts are known.

    Returns:
        None if nothing is known, or not from the beginning.
    """
    return _time(db, hashes, list_id, "contacts_read_at")


def _time(db: Database, hashes: AddressHashes, list_id: ListId, column: str) -> datetime | None:
    query = f"SELECT {column} FROM departed_list WHERE account_id = ? AND list_id = ? AND hashed_with = ?"
    at = db.value(str, query, (hashes.account_id, list_id, hashes.name))
    return None if at is None else as_moment(at)


def is_known(db: Database, hashes: AddressHashes, list_id: ListId) -> bool:
    """Returns whether hashes of a list are kept with this key, perhaps not from the beginning."""
    where = "departed_list WHERE account_id = ? AND list_id = ? AND hashed_with = ?"
    return db.exists(where, (hashes.account_id, list_id, hashes.name))


def put(db: Database, hashes: AddressHashes, list_id: ListId, listed: Collection[Listed]) -> None:
    """Stores hashes of strangers who are on a list, or left it. Call it in the transaction that writes what was read.

    Removes the hashes of addresses that are subscribed or that the ledger knows.
    """
    if not is_known(db, hashes, list_id):
        drop(db, hashes.account_id, list_id)  # made with another key
        db.execute(
            "INSERT INTO departed_list (account_id, list_id, hashed_with) VALUES (?,?,?)",
            (hashes.account_id, list_id, hashes.name),
        )
    number = _number(db, hashes.account_id, list_id)
    digests = {member.address: hashes.of(member.address) for member in listed}
    left = {digests[member.address] for member in listed if member.is_stranger_who_left}
    left |= former_addresses(db, hashes, list_id, listed)
    met = {digests[member.address] for member in listed if member.subscribed or member.known}
    if met and db.exists("departed_stranger WHERE list = ?", (number,)):
        db.execute(
            "DELETE FROM departed_stranger WHERE list = ? AND digest IN (SELECT value FROM json_each(?))",
            (number, json.dumps([*met])),
        )
    if left:
        db.execute(
            "INSERT OR IGNORE INTO departed_stranger (list, digest) SELECT ?, value FROM json_each(?) ORDER BY value",
            (number, json.dumps([*left])),
        )
    pairs = {(hashes.of(member.contact_id), digests[member.address]): member for member in listed if member.contact_id}
    _put_contacts(db, number, pairs)


def _put_contacts(db: Database, number: int | None, pairs: Mapping[tuple[int, int], Listed]) -> None:
    # Of members in the ledger, that has the contact id.
    known = sorted(pair for pair, member in pairs.items() if member.known)
    if known and db.exists("stranger_contact WHERE list = ?", (number,)):
        delete = "DELETE FROM stranger_contact WHERE list = ? AND contact = ? AND address = ?"
        db.executemany(delete, [(number, *pair) for pair in known])
    here = sorted(pair for pair, member in pairs.items() if not (member.known or member.left))
    if here:
        insert = "INSERT OR IGNORE INTO stranger_contact (list, contact, address) VALUES (?,?,?)"
        db.executemany(insert, [(number, *pair) for pair in here])


def former_addresses(db: Database, hashes: AddressHashes, list_id: ListId, listed: Collection[Listed]) -> set[int]:
    """Returns the hashes of other addresses that contacts of a page who left had, unless somebody else has them now."""
    now = {hashes.of(member.contact_id): member.address for member in listed if member.left and member.contact_id}
    if not now or not is_known(db, hashes, list_id):
        return set()
    rows = db.execute(
        "SELECT contact, address FROM json_each(?) AS wanted CROSS JOIN stranger_contact "
        "ON list = ? AND contact = wanted.value",
        (json.dumps([*now]), _number(db, hashes.account_id, list_id)),
    )
    former = {row[1] for row in rows if row[1] != hashes.of(now[row[0]])}
    return former - {hashes.of(member.address) for member in listed if former and (member.subscribed or member.known)}


def _number(db: Database, account_id: AccountId, list_id: ListId) -> int | None:
    which = "account_id = ? AND list_id = ?"
    return db.value(int, f"SELECT number FROM departed_list WHERE {which}", (account_id, list_id))


def complete(
    db: Database, hashes: AddressHashes, list_id: ListId, at: str, *, departures: bool, contacts: bool
) -> None:
    """Records up to when the hashes of a list are complete. Call it in the transaction of a reading's last page.

    Args:
        at: Mailchimp's time of the reading's first page, as text.
        departures: whether everyone who left before that is known.
        contacts: whether the addresses of the contacts are.
    """
    which = "account_id = ? AND list_id = ? AND hashed_with = ?"
    for column in (["read_at"] if departures else []) + (["contacts_read_at"] if contacts else []):
        db.execute(
            f"UPDATE departed_list SET {column} = ? WHERE {which}", (at, hashes.account_id, list_id, hashes.name)
        )


def departed(
    db: Database,
    hashes: AddressHashes,
    addresses: Collection[AddressKey],
    unwritten: Collection[tuple[ListId, int]] = (),
) -> set[MembershipKey]:
    """Returns where strangers with some addresses left lists, as far as hashes are kept with this key.

    Args:
        unwritten: further hashes of addresses that left lists, which a plan that is only shown does not write.
    """
    if not db.exists("departed_list WHERE account_id = ? AND hashed_with = ?", (hashes.account_id, hashes.name)):
        return set()
    by_digest = {hashes.of(address): address for address in addresses}
    rows = db.execute(
        "SELECT list_id, digest FROM departed_list CROSS JOIN json_each(?) AS wanted "
        "CROSS JOIN departed_stranger ON list = number AND digest = wanted.value "
        "WHERE account_id = ? AND hashed_with = ?",
        (json.dumps(list(by_digest)), hashes.account_id, hashes.name),
    )
    left = [*((ListId(row[0]), int(row[1])) for row in rows), *unwritten]
    return {MembershipKey(list_id, by_digest[digest]) for list_id, digest in left if digest in by_digest}


def account_ids(db: Database) -> list[AccountId]:
    """Returns the accounts of which hashes are kept."""
    return db.column(AccountId, "SELECT DISTINCT account_id FROM departed_list")


def forget(db: Database, hashes: AddressHashes, address: AddressKey) -> None:
    """Removes an address from the contacts of an account's lists. Who left stays known. Call it in a transaction."""
    db.execute(
        "DELETE FROM stranger_contact WHERE list IN (SELECT number FROM departed_list WHERE account_id = ?) "
        "AND address = ?",
        (hashes.account_id, hashes.of(address)),
    )


def drop(db: Database, account_id: AccountId, list_id: ListId) -> None:
    """Removes the hashes of a list. Call it in a transaction."""
    number = _number(db, account_id, list_id)
    if number is not None:
        for table in _KEYS:
            db.execute(f"DELETE FROM {table} WHERE list = ?", (number,))
        db.execute("DELETE FROM departed_list WHERE number = ?", (number,))


def delete_account(db: Database, account_id: AccountId) -> None:
    """Removes an account's hashes. Uses many transactions; if interrupted, call it again."""
    with db.transaction():
        # From now on nobody takes the rest for the whole.
        db.execute(
            "UPDATE departed_list SET hashed_with = '', read_at = NULL, contacts_read_at = NULL WHERE account_id = ?",
            (account_id,),
        )
    for number in db.column(int, "SELECT number FROM departed_list WHERE account_id = ?", (account_id,)):
        for table, key in _KEYS.items():
            _delete_all(db, table, key, number)
    with db.transaction():
        rest = " AND ".join(f"NOT EXISTS (SELECT 1 FROM {table} WHERE list = number)" for table in _KEYS)
        db.execute(f"DELETE FROM departed_list WHERE account_id = ? AND {rest}", (account_id,))


def _delete_all(db: Database, table: str, key: tuple[str, ...], number: int) -> None:
    delete = f"DELETE FROM {table} WHERE {' AND '.join(f'{column} = ?' for column in key)}"
    pages = db.pages(table, key, "list = ?", (number,))
    db.in_parts((tuple(row) for rows in pages for row in rows), lambda keys: db.executemany(delete, keys))
