"""Whom an opt-out belongs to: the address and the customers known by it, over all lists of the account.

So an address that is known to have left one list is not added to another one, for whatever customer; nor is an address
of a customer who is known to have left. Pure: which places must be asked before a contact is added anywhere, and what
their members say, is decided here and in :mod:`worker.flush.consent`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from worker.clock import as_moment
from worker.model import AddressKey, Customer, CustomerId, MembershipKey
from worker.store.forgotten import Departed
from worker.store.ledger import LedgerEntry, has_left

ITS_OWN_AFTER = timedelta(days=30)
"""How long a member that this worker found must have been one customer's to go along with its address or list."""
NOT_ADDED = "This worker did not add the member, so it stays on the list as it is."
FOUND_AND_LEFT = (
    "This worker did not add the member, and nothing shows that it is this customer's: it had other names or none when "
    "it was found, less than 30 days ago. So it stays on the list as it is."
)


def erased_since(
    customer: Customer, membership: MembershipKey, entry: LedgerEntry | None, departed: Departed
) -> str | None:
    """Tells why a customer may not be added at a place whose ledger entry was erased.

    Args:
        customer: whom to add.
        membership: where.
        entry: what the ledger says of that place; a member that is there is written, not added.
        departed: who left and was erased since.

    Returns:
        Half a sentence; None where nobody is known to have left.
    """
    if entry is not None and entry.state == "present":
        return None
    if departed.has_address(membership.address):
        return "somebody with this address left a list of this account, and was erased here since"
    if departed.has_customer(customer.customer_id):
        return "this customer left a list of this account, and was erased here since"
    return None


def may_leave(entry: LedgerEntry | None) -> bool:
    """Tells whether somebody may have left a place by now: a member, or an archive that was not read again yet."""
    return entry is not None and (entry.state == "present" or (entry.state == "archived" and entry.intent is not None))


def keeps_out(entry: LedgerEntry | None, destination: MembershipKey) -> bool:
    """Tells whether a departure that the ledger knows keeps a contact from a place.

    An address that bounced keeps out itself, and not the person under another address.

    Args:
        entry: what the ledger says of another place.
        destination: where the contact should be added.
    """
    if entry is None or not has_left(entry):
        return False
    return (
        entry.member_status != "cleaned" or entry.state != "present" or entry.membership.address == destination.address
    )


def priors_of_address(
    destination: MembershipKey,
    own: Iterable[MembershipKey],
    with_address: Mapping[AddressKey, Sequence[MembershipKey]],
    entries: Mapping[MembershipKey, LedgerEntry],
) -> list[MembershipKey]:
    """Returns where the address, or one that its customers are known by, has left a list, or may have by now.

    Args:
        destination: where a contact should be added.
        own: where its customers are known.
        with_address: address to the places that the ledger knows of it.
        entries: what the ledger says of them.
    """
    addresses = dict.fromkeys([destination.address, *(membership.address for membership in own)])
    return [
        membership
        for address in addresses
        for membership in with_address.get(address, ())
        if membership != destination and (has_left(entries.get(membership)) or may_leave(entries.get(membership)))
    ]


def priors_of_same_address(
    destination: MembershipKey,
    same_address: Iterable[Customer],
    changed: Mapping[CustomerId, Customer],
    known_at: Callable[[Customer], Iterable[MembershipKey]],
    with_address: Mapping[AddressKey, Sequence[MembershipKey]],
    entries: Mapping[MembershipKey, LedgerEntry],
) -> dict[MembershipKey, list[CustomerId]]:
    """Returns where others who have the address are kept out by a departure, or may be found to be.

    Their opt-out is that of each address they are known by, on whatever list, and of whatever customer the member was.

    Args:
        destination: where a contact should be added.
        same_address: other customers with that address.
        changed: customers that are looked at in this flush: their places are read anyway.
        known_at: where a customer is known.
        with_address: address to the places that the ledger knows of it.
        entries: what the ledger says of places.

    Returns:
        Place to the customers for whose sake it is asked.
    """
    found: dict[MembershipKey, list[CustomerId]] = {}
    for one in same_address:
        own = [] if one.deleted else [at for at in known_at(one) if at.address != destination.address]
        looked_at = one.customer_id in changed
        asked = [at for at in own if looked_at or has_left(entries.get(at))]
        for address in dict.fromkeys(at.address for at in own):
            rest = (at for at in with_address.get(address, ()) if at not in own)
            asked += [at for at in rest if has_left(entries.get(at)) or (looked_at and may_leave(entries.get(at)))]
        for membership in asked:
            found.setdefault(membership, []).append(one.customer_id)
    return found


def is_its_own(entry: LedgerEntry, now: datetime) -> bool:
    """Tells whether a member surely is its customer's, so that it goes along with another address or list.

    A person who joined by herself may have become a customer's address by a typing error. So a member that was found
    counts only where its names were the customer's before anything was written to it, or after 30 days.

    Args:
        entry: what the ledger says of the member.
        now: the time.
    """
    since = as_moment(entry.customer_since) if entry.customer_since is not None else None
    long = since is not None and since <= now - ITS_OWN_AFTER
    return entry.origin == "added" or bool(entry.names_agreed) or long
