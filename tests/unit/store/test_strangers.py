"""Hashes of people who left a list while no customer had their address."""

from __future__ import annotations

import pytest

from worker.model import AccountId, AddressKey, ListId, MembershipKey
from worker.sqlite.database import Database
from worker.store import strangers, unowned
from worker.store.strangers import AddressHashes, Listed
from worker.store.unowned import Unowned

ACCOUNT, LIST, OTHER = AccountId("acct-1"), ListId("lista"), ListId("listb")
HASHES = AddressHashes(ACCOUNT, b"k" * 32)
ANN, BOB, DOT, EVE = (AddressKey(f"{name}@example.com") for name in ("ann", "bob", "dot", "eve"))
AT = "2026-11-22T10:00:00.000Z"


def put(
    db: Database, *left: AddressKey, met: tuple[AddressKey, ...] = (), hashes: AddressHashes = HASHES, on: ListId = LIST
) -> None:
    """Stores who left a list."""
    gone = [Listed(address, None, subscribed=False, left=True, known=False) for address in left]
    there = [Listed(address, None, subscribed=True, left=False, known=False) for address in met]
    with db.transaction():
        strangers.put(db, hashes, on, [*gone, *there])


def test_each_account_and_key_has_other_hashes():
    """Equal hashes would show that somebody is on lists of two accounts."""
    found = {
        hashes.of(ANN)
        for hashes in (HASHES, AddressHashes(AccountId("acct-2"), HASHES.key), AddressHashes(ACCOUNT, b"l" * 32))
    }
    assert len(found) == 3


def test_who_left_is_found_by_address_on_each_list(db: Database):
    """Also twice on one page, and only for the account that read it."""
    put(db, ANN, ANN)
    put(db, ANN, on=OTHER)
    assert strangers.departed(db, HASHES, [ANN, BOB]) == {MembershipKey(LIST, ANN), MembershipKey(OTHER, ANN)}
    assert strangers.departed(db, AddressHashes(AccountId("acct-2"), HASHES.key), [ANN]) == set()


def test_who_is_subscribed_or_known_is_forgotten(db: Database):
    """The next page with that member removes the hash, of that list alone."""
    put(db, ANN, BOB)
    put(db, ANN, on=OTHER)
    put(db, met=(ANN,))
    assert strangers.departed(db, HASHES, [ANN, BOB]) == {MembershipKey(LIST, BOB), MembershipKey(OTHER, ANN)}


def read(db: Database, contact: str, address: AddressKey, status: str, *, known: bool = False) -> None:
    """Stores a member as a page lists it."""
    member = Listed(address, contact, status == "subscribed", status == "unsubscribed", known)
    with db.transaction():
        strangers.put(db, HASHES, LIST, [member])


@pytest.mark.parametrize("known", [False, True])
def test_a_contact_that_leaves_has_left_under_its_former_addresses(db: Database, known: bool):
    """Also if the ledger knows it under the last one. Another contact with a former address is no departure."""
    read(db, "c1", ANN, "subscribed")
    read(db, "c1", BOB, "pending")
    read(db, "c2", DOT, "subscribed")
    assert strangers.departed(db, HASHES, [ANN, BOB, DOT]) == set()
    read(db, "c1", EVE, "unsubscribed", known=known)
    last = set() if known else {MembershipKey(LIST, EVE)}
    assert strangers.departed(db, HASHES, [ANN, BOB, DOT, EVE]) == {*places(ANN, BOB), *last}
    read(db, "c3", ANN, "subscribed")
    assert strangers.departed(db, HASHES, [ANN, BOB, DOT]) == places(BOB)


def test_a_contact_that_the_ledger_knows_is_kept_there_alone(db: Database):
    """Its hash goes, but not that of another address which it had before."""
    read(db, "c1", ANN, "subscribed")
    read(db, "c1", BOB, "subscribed")
    read(db, "c1", BOB, "subscribed", known=True)
    assert db.count("stranger_contact") == 1
    read(db, "c1", BOB, "unsubscribed", known=True)
    assert strangers.departed(db, HASHES, [ANN, BOB]) == places(ANN)


def test_an_erased_address_is_removed_from_the_contacts_of_its_account(db: Database):
    """That somebody with it left stays known."""
    read(db, "c1", ANN, "subscribed")
    read(db, "c2", BOB, "subscribed")
    put(db, ANN, on=OTHER)
    with db.transaction():
        strangers.forget(db, AddressHashes(AccountId("acct-2"), HASHES.key), ANN)
    assert db.count("stranger_contact") == 2
    with db.transaction():
        strangers.forget(db, HASHES, ANN)
    assert (db.count("stranger_contact"), db.count("departed_stranger")) == (1, 1)


def places(*addresses: AddressKey) -> set[MembershipKey]:
    """Places on the list."""
    return {MembershipKey(LIST, address) for address in addresses}


def test_another_key_begins_again(db: Database):
    """Nothing that was hashed with the former one counts, and it is removed."""
    put(db, ANN)
    read(db, "c1", BOB, "subscribed")
    with db.transaction():
        strangers.complete(db, HASHES, LIST, AT, departures=True, contacts=True)
    other = AddressHashes(ACCOUNT, b"l" * 32)
    assert None not in (strangers.read_at(db, HASHES, LIST), strangers.contacts_read_at(db, HASHES, LIST))
    assert (strangers.read_at(db, other, LIST), strangers.contacts_read_at(db, other, LIST)) == (None, None)
    put(db, BOB, hashes=other)
    assert strangers.departed(db, other, [ANN, BOB]) == {MembershipKey(LIST, BOB)}
    assert (db.count("departed_stranger"), db.count("stranger_contact")) == (1, 0)
    assert strangers.read_at(db, HASHES, LIST) is None


def test_an_accounts_hashes_are_removed_and_no_others(db: Database):
    """All of its lists, as when the account is erased."""
    put(db, ANN, BOB)
    read(db, "c1", DOT, "subscribed")
    other = AddressHashes(AccountId("acct-2"), HASHES.key)
    put(db, ANN, hashes=other)
    strangers.delete_account(db, ACCOUNT)
    assert (db.count("departed_list"), db.count("departed_stranger"), db.count("stranger_contact")) == (1, 1, 0)
    assert strangers.departed(db, other, [ANN]) == {MembershipKey(LIST, ANN)}


def test_hashes_go_with_a_partition_that_another_worker_has(db: Database):
    """They can be read again from Mailchimp."""
    put(db, ANN)
    gone = Unowned(0, ("events", "t1"), ("ledger", "t2"))
    with db.transaction():
        db.execute("INSERT INTO unowned_partition (partition, since, state) VALUES (0, ?, ?)", (AT, unowned.DROPPING))
    unowned.drop_accounts(db, gone, lambda account_id: 0)
    assert (db.count("departed_list"), db.count("departed_stranger")) == (0, 0)
