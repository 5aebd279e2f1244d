"""Whether a customer that is known at one place may be put at another: an opt-out follows the customer."""

from __future__ import annotations

from dataclasses import dataclass

from worker.flush.identity import is_ours
from worker.mailchimp.member import Member
from worker.model import MembershipKey
from worker.store.ledger import LedgerEntry


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
        old: where the customer is known.
        entry: what the ledger says of it, now that it was read.
        member: what Mailchimp says; None for a 404.
        destination: where the customer should be.
        status_if_new: how the account adds members.

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

    Args:
        old: where the customer is known.
        entry: what the ledger says of it.
        destination: where the customer should be.
        status_if_new: how the account adds members.

    Returns:
        As :func:`may_add`, by the status that Mailchimp last reported. Who is no member by the ledger may not be added.
    """
    if entry is None or entry.state == "gone":
        return MayAdd(None, f"the list {old.list_id} is gone, and nothing shows that {old.address} stayed", here=False)
    status = entry.status_before if entry.state == "archived" else entry.member_status
    member = Member(old.address, status or "unsubscribed", entry.last_changed, None)
    return may_add(old, entry, member if entry.state != "intended" else None, destination, status_if_new)
