"""Who may be put where: an opt-out belongs to the address and the customers known by it, on all lists of the account.

So an address that is known to have left one list is not added to another one, for whatever customer; nor is an address
of a customer who is known to have left. Pure: which places must be asked before a contact is added anywhere, and what
their members say, is decided here. Both are read by :mod:`worker.flush.consent_check`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from worker.flush.identity import is_ours
from worker.flush.outcomes import Outcome
from worker.flush.steps import NoCall, PriorMembership, Target
from worker.mailchimp.member import Member
from worker.model import AddressKey, Customer, CustomerId, ListId, MembershipKey
from worker.store.forgotten import Departed
from worker.store.ledger import CustomerStatus, LedgerEntry, has_left


def erased_since(
    customer: Customer, membership: MembershipKey, entry: LedgerEntry | None, departed: Departed
) -> str | None:
    """Tells why a customer may not be added at a place whose ledger entry was erased.

    Args:
        entry: what the ledger says of that place; a member that is there is written, not added.

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


def refused(
    targets: tuple[Target, ...], customer_status: CustomerStatus, address: AddressKey | None, now: str
) -> NoCall | None:
    """Returns why nothing is sent for a customer that Mailchimp refused before; None where it may be sent.

    Args:
        address: as it is now.
    """
    if customer_status.refusal is None or customer_status.refused_address not in (None, address):
        return None
    if customer_status.retry_at is None:
        whom = "this address" if customer_status.refused_address else "this customer"
        detail = f"Mailchimp refuses {whom}: {customer_status.refusal}."
        after = "Nothing until an operator clears it (resync --clear-suppressed)"
        after += " or the address changes." if customer_status.refused_address else "."
        return NoCall(targets, None, Outcome.SUPPRESSED, detail, after)
    if customer_status.retry_at > now:
        detail = f"Mailchimp refused it {customer_status.attempts} times: {customer_status.refusal}."
        return NoCall(
            targets, None, Outcome.HELD, detail, f"Tried again after {customer_status.retry_at}.", silent=True
        )
    return None


def may_leave(entry: LedgerEntry | None) -> bool:
    """Tells whether somebody may have left a place by now: a member, or an archive that was not read again yet."""
    return entry is not None and (entry.state == "present" or (entry.state == "archived" and entry.intent is not None))


def keeps_out(entry: LedgerEntry | None, destination: MembershipKey) -> bool:
    """Tells whether a departure that the ledger knows keeps a contact from a place.

    An address that bounced keeps out itself, and not the person under another address.

    Args:
        entry: what the ledger says of another place.
    """
    if entry is None or not has_left(entry):
        return False
    return (
        entry.member_status != "cleaned" or entry.state != "present" or entry.membership.address == destination.address
    )


def known_to_have_left(
    entry: LedgerEntry | None,
    priors: Sequence[PriorMembership],
    destination: MembershipKey,
    read_now: Collection[ListId],
) -> PriorMembership | None:
    """Returns the first of the old places that keeps a contact out, as far as no other read is needed to know it.

    Args:
        entry: what the ledger says of the place where the contact should be.
        read_now: lists whose members were read a moment ago.
    """
    if any(one is not None and one.intent is not None for one in (entry, *(prior.entry for prior in priors))):
        return None  # what is in doubt is found out first
    there = (prior for prior in priors if prior.membership.list_id in read_now)
    return next((prior for prior in there if keeps_out(prior.entry, destination)), None)


def priors_of_address(
    destination: MembershipKey,
    own: Iterable[MembershipKey],
    with_address: Mapping[AddressKey, Sequence[MembershipKey]],
    entries: Mapping[MembershipKey, LedgerEntry],
) -> list[MembershipKey]:
    """Returns where the address, or one that its customers are known by, has left a list, or may have by now.

    Args:
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


@dataclass(frozen=True, slots=True)
class MayAdd:
    """What a prior membership says.

    Attributes:
        status: the status that the contact may be added with; None where it may not be added anywhere.
        reason: why not, or what the old member is.
        here: whether the old place has a member at all.
    """

    status: str | None
    reason: str
    here: bool


def may_add(
    old: MembershipKey, entry: LedgerEntry | None, member: Member | None, destination: MembershipKey, status_if_new: str
) -> MayAdd:
    """Decides by the member that Mailchimp answered for the old place.

    Args:
        entry: what the ledger says of it, now that it was read.
        member: what Mailchimp says; None for a 404.

    Returns:
        The status to add with, never better than the old member's; or none where somebody left: unsubscribed,
        archived by somebody else, gone, or cleaned at the same address.
    """
    if member is None:
        # Without an entry it never was there: an add was begun, or its consent was withdrawn before any.
        if entry is None or entry.state == "intended":
            return MayAdd(status_if_new, "its add there was begun and never done", here=False)
        return MayAdd(None, f"the member {old.address} is gone from list {old.list_id}", here=False)
    status = member.status
    if entry is not None and is_ours(entry, member):
        status = entry.status_before or "unsubscribed"
    if status == "subscribed":
        return MayAdd(status_if_new, "subscribed", here=True)
    if status == "pending":
        return MayAdd("pending", "pending", here=True)
    if status == "cleaned" and old.address != destination.address:
        return MayAdd(status_if_new, "cleaned", here=True)
    return MayAdd(None, f"the member {old.address} is {status} on list {old.list_id}", here=True)


def may_add_by_ledger(
    old: MembershipKey, entry: LedgerEntry | None, destination: MembershipKey, status_if_new: str
) -> MayAdd:
    """Decides where the old list is gone from Mailchimp and only the ledger knows.

    Returns:
        As :func:`may_add`, by the status that Mailchimp last reported. Who is no member by the ledger may not be added.
    """
    if entry is None or entry.state == "gone":
        return MayAdd(None, f"the list {old.list_id} is gone, and nothing shows that {old.address} stayed", here=False)
    status = entry.status_before if entry.state == "archived" else entry.member_status
    member = Member(old.address, status or "unsubscribed", entry.last_changed, None)
    return may_add(old, entry, member if entry.state != "intended" else None, destination, status_if_new)
