"""Whom an opt-out belongs to: the address and the customers known by it, over all lists of the account.

So an address that is known to have left one list is not added to another one, for whatever customer; nor is an address
of a customer who is known to have left. Pure: which places must be asked before a contact is added anywhere, and what
their members say, is decided here and in :mod:`worker.flushing.deciding.gate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from worker.clock import as_moment
from worker.model import AddressKey, Customer, CustomerId, Place
from worker.staging.forgotten import Departed
from worker.staging.ledger import Entry, has_left

ITS_OWN_AFTER = timedelta(days=30)
"""How long a member that this worker found must have been one customer's to go along with its address or list."""


def erased_since(customer: Customer, place: Place, entry: Entry | None, departed: Departed) -> str | None:
    """Tells why a customer may not be added at a place whose ledger entry was erased.

    Args:
        customer: whom to add.
        place: where.
        entry: what the ledger says of that place; a member that is there is written, not added.
        departed: who left and was erased since.

    Returns:
        Half a sentence; None where nobody is known to have left.
    """
    if entry is not None and entry.state == "present":
        return None
    if departed.has_address(place.address):
        return "somebody with this address left a list of this account, and was erased here since"
    if departed.has_customer(customer.customer_id):
        return "this customer left a list of this account, and was erased here since"
    return None


def may_leave(entry: Entry | None) -> bool:
    """Tells whether somebody may have left a place by now: a member, or an archive that was not read again yet."""
    return entry is not None and (entry.state == "present" or (entry.state == "archived" and entry.intent is not None))


def keeps_out(entry: Entry | None, target: Place) -> bool:
    """Tells whether a departure that the ledger knows keeps a contact from a place.

    An address that bounced keeps out itself, and not the person under another address.

    Args:
        entry: what the ledger says of another place.
        target: where the contact should be added.
    """
    if entry is None or not has_left(entry):
        return False
    return entry.member_status != "cleaned" or entry.state != "present" or entry.place.address == target.address


def priors_of_address(
    target: Place,
    own: Iterable[Place],
    with_address: Mapping[AddressKey, Sequence[Place]],
    entries: Mapping[Place, Entry],
) -> list[Place]:
    """Returns where the address, or one that its customers are known by, has left a list, or may have by now.

    Args:
        target: where a contact should be added.
        own: where its customers are known.
        with_address: address to the places that the ledger knows of it.
        entries: what the ledger says of them.
    """
    addresses = dict.fromkeys([target.address, *(place.address for place in own)])
    return [
        place
        for address in addresses
        for place in with_address.get(address, ())
        if place != target and (has_left(entries.get(place)) or may_leave(entries.get(place)))
    ]


def priors_of_sharers(
    target: Place,
    sharers: Iterable[Customer],
    changed: Mapping[CustomerId, Customer],
    known_at: Callable[[Customer], Iterable[Place]],
    entries: Mapping[Place, Entry],
) -> list[Place]:
    """Returns where others who have the address are known by another one, and left, or may be found to have left.

    Args:
        target: where a contact should be added.
        sharers: other customers with that address.
        changed: customers that are looked at in this flush: their places are read anyway.
        known_at: where a customer is known.
        entries: what the ledger says of places.
    """
    return [
        place
        for one in sharers
        if not one.deleted
        for place in known_at(one)
        if place.address != target.address and (one.customer_id in changed or has_left(entries.get(place)))
    ]


def is_its_own(entry: Entry, now: datetime) -> bool:
    """Tells whether a member surely is its customer's, so that it goes along with another address or list.

    A person who joined by herself may have become a customer's address by a typing error.

    Args:
        entry: what the ledger says of the member.
        now: the time.
    """
    since = as_moment(entry.customer_since) if entry.customer_since is not None else None
    long = since is not None and since <= now - ITS_OWN_AFTER
    return entry.origin == "added" or bool(entry.names_agreed) or long
