"""Decides who may be added where: an opt-out belongs to the address and its customers, on all lists of the account.

So an address that is known to have left one list is not added to another one, for any customer; nor is an address of a
customer who is known to have left. Does no I/O: it decides which places must be read before a contact is added, and
what their members mean. :mod:`worker.flush.write_member` reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from worker.mailchimp.answers import Member
from worker.model import LONGEST_ADDRESS, AddressKey, Customer, CustomerId, ListId, MembershipKey, is_address
from worker.plan.identity import (
    MAY_HAVE_ARCHIVED,
    as_gone,
    as_read,
    awaits_confirmation,
    is_ours,
    may_have_archived,
    was_done,
)
from worker.plan.inputs import PlanInputs
from worker.plan.outcomes import Outcome
from worker.plan.steps import Contact, NoCall, PriorDecision, PriorMembership, Target, hashed_entry, ids_of
from worker.store.accounts import TargetList
from worker.store.forgotten import Departed
from worker.store.ledger import CustomerStatus, LedgerEntry, has_left, keeps_out, may_leave


def why_not_sent(
    customer: Customer,
    target_list: TargetList,
    customer_status: CustomerStatus,
    entries: Mapping[MembershipKey, LedgerEntry],
    inputs: PlanInputs,
) -> NoCall | None:
    """Returns why nothing may be sent for a customer that belongs on a list; None if it may."""
    targets, address = (Target(customer, target_list.reason),), customer.address
    if target_list.obstacle is not None:
        detail = f"Held back: {target_list.obstacle}."
        return NoCall(targets, None, Outcome.HELD, detail, "Will be sent once this is fixed.")
    if address is not None and not is_address(address):
        subject = repr(customer.state.email) if len(address) <= LONGEST_ADDRESS else f"A text of {len(address)} letters"
        detail = f"{subject} is not an e-mail address, so nothing was sent."
        return NoCall(targets, None, Outcome.REFUSED, detail, "Sent when the customer has another address.")
    membership = MembershipKey(target_list.list_id, address) if address is not None else None
    entry = entries.get(membership) if membership is not None else None
    departed = inputs.departed
    if membership is not None and departed.digests and (why := _erased(customer, membership, entry, departed)):
        detail = (
            f"Not put on list {target_list.list_id} as {customer.state.email}: {why}, and an opt-out goes with the "
            "person to every list."
        )
        return NoCall(targets, None, Outcome.LEFT, detail)
    return _earlier_refusal(targets, customer_status, address, inputs.now) or _unread_list(
        targets, target_list, entry, inputs
    )


def _unread_list(
    targets: tuple[Target, ...], target_list: TargetList, entry: LedgerEntry | None, inputs: PlanInputs
) -> NoCall | None:
    # The address may have left a list that could not be read. On its own list nobody is added over a member.
    unread = sorted(inputs.not_read.keys() - {target_list.list_id})
    if not unread or (entry is not None and entry.state == "present"):
        return None
    detail = f"Held back: who left the list {unread[0]} could not be read: {inputs.not_read[unread[0]]}."
    return NoCall(targets, None, Outcome.HELD, detail, "Will be sent once that list can be read.")


def _erased(customer: Customer, membership: MembershipKey, entry: LedgerEntry | None, departed: Departed) -> str | None:
    if entry is not None and entry.state == "present":
        return None  # a member is updated, not added
    if departed.has_address(membership.address):
        return "somebody with this address left a list of this account, and has been erased since"
    if departed.has_customer(customer.customer_id):
        return "this customer left a list of this account, and has been erased since"
    return None


def _earlier_refusal(
    targets: tuple[Target, ...], customer_status: CustomerStatus, address: AddressKey | None, now: str
) -> NoCall | None:
    # By Mailchimp, earlier. A lasting one is a departure in the ledger, which decides.
    if not customer_status.refuses(address) or customer_status.lasting:
        return None
    if customer_status.retry_at is None:
        detail = f"Mailchimp refuses this address: {customer_status.refusal}."
        after = "Nothing until an operator clears it (resync --clear-suppressed) or the address changes."
        return NoCall(targets, None, Outcome.SUPPRESSED, detail, after)
    if customer_status.retry_at > now:
        detail = f"Mailchimp refused it {customer_status.attempts} times: {customer_status.refusal}."
        then = f"Tried again after {customer_status.retry_at}."
        return NoCall(targets, None, Outcome.HELD, detail, then, customer_status.retry_at)
    return None


def known_to_have_left(
    entry: LedgerEntry | None,
    priors: Sequence[PriorMembership],
    destination: MembershipKey,
    read_now: Collection[ListId],
) -> PriorMembership | None:
    """Returns the first prior place that keeps a contact out, if no further read is needed to know it."""
    if any(
        doubtful is not None and doubtful.intent is not None for doubtful in (entry, *(prior.entry for prior in priors))
    ):
        return None  # doubts are resolved first
    there = (prior for prior in priors if prior.membership.list_id in read_now and not prior.only_hashed)
    return next((prior for prior in there if keeps_out(prior.entry, destination)), None)


class KnownPlaces:
    """Where customers are known: by their statuses, and by entries that have their fields.

    Attributes:
        entries: ledger entries by place.
        with_address: address to the ledger's places with it.
        same_address: address to the customers who have it.
        strangers: address to the places that a stranger with it had left.
    """

    def __init__(
        self,
        people: Iterable[Customer],
        ids: Iterable[CustomerId],
        customer_statuses: Mapping[CustomerId, CustomerStatus],
        owned: Iterable[LedgerEntry],
        entries: Mapping[MembershipKey, LedgerEntry],
        strangers: Iterable[MembershipKey] = (),
    ) -> None:
        """Indexes the rows of a chunk, or of contacts that are about to be added.

        Args:
            people: customers, to find those who share an address.
            ids: the customers whose places are wanted.
            owned: entries that have their fields, where a write for them was begun, or that they left for good.
        """
        self.entries = entries
        self.with_address: dict[AddressKey, list[MembershipKey]] = {}
        self.same_address: dict[AddressKey, list[Customer]] = {}
        self.strangers: dict[AddressKey, list[MembershipKey]] = {}
        self._at: dict[CustomerId, list[MembershipKey]] = {}
        self._known_by: dict[MembershipKey, list[CustomerId]] = {}
        for membership in entries:
            self.with_address.setdefault(membership.address, []).append(membership)
        for membership in strangers:
            self.strangers.setdefault(membership.address, []).append(membership)
        for customer in people:
            if customer.address is not None:
                self.same_address.setdefault(customer.address, []).append(customer)
        begun: dict[CustomerId, list[MembershipKey]] = {}
        half_left: dict[CustomerId, list[MembershipKey]] = {}
        for entry in owned:
            places = begun if entry.state == "intended" else half_left
            places.setdefault(entry.customer_id, []).append(entry.membership)
        for customer_id in ids:
            status = customer_statuses.get(customer_id)
            settled = [status.membership] if status is not None and status.membership is not None else []
            # Begun adds first: one that went through says more than the place before it.
            known = [*begun.get(customer_id, ()), *settled, *half_left.get(customer_id, ())]
            self._at[customer_id] = list(dict.fromkeys(known))
            for membership in self._at[customer_id]:
                self._known_by.setdefault(membership, []).append(customer_id)

    def of(self, customer_id: CustomerId) -> Sequence[MembershipKey]:
        """Returns where a customer is known."""
        return self._at.get(customer_id, ())

    def prior(
        self,
        place: MembershipKey,
        *,
        list_gone: bool = False,
        own: bool = True,
        whom: Sequence[CustomerId] = (),
        met_by: CustomerId | None = None,
    ) -> PriorMembership:
        """Returns a place with all customers who are known there.

        Args:
            whom: customers on whose behalf the place is read; they come first.
            met_by: whose departure it is if a stranger left there; None if none can have.
        """
        known = tuple(dict.fromkeys([*whom, *self._known_by.get(place, ())]))
        entry = self.entries.get(place)
        if entry is None and met_by is not None and place in self.strangers.get(place.address, ()):
            entry = hashed_entry(place, met_by, list_gone=list_gone)
        return PriorMembership(place, entry, list_gone, known, own)

    def places_of_others(
        self,
        destination: MembershipKey,
        own: Sequence[MembershipKey],
        mine: Collection[CustomerId],
        changed: Collection[CustomerId] = (),
        more: Iterable[MembershipKey] = (),
    ) -> dict[MembershipKey, list[CustomerId]]:
        """Returns the places to read beside a contact's own, each with the other customers on whose behalf it is read.

        These are places where the address, or another address of its customers, has left a list or may have by now. And
        places where others who have the address are kept out by a departure, or may be: their opt-out covers every
        address they are known by, on any list, whichever customer the member belonged to.

        Args:
            changed: customers of this flush, whose places are read anyway.
            more: further places to read.
        """
        entries = self.entries
        addresses = dict.fromkeys([destination.address, *(place.address for place in own)])
        places = [
            place
            for address in addresses
            for place in self.with_address.get(address, ())
            if place != destination and (has_left(entries.get(place)) or may_leave(entries.get(place)))
        ]
        places += [place for address in addresses for place in self.strangers.get(address, ()) if place != destination]
        places_of: dict[MembershipKey, list[CustomerId]] = {place: [] for place in (*places, *more)}
        for other in self.same_address.get(destination.address, ()):
            if other.deleted or other.customer_id in mine:
                continue
            theirs = [place for place in self.of(other.customer_id) if place.address != destination.address]
            looked_at = other.customer_id in changed
            asked = [place for place in theirs if looked_at or has_left(entries.get(place))]
            for address in dict.fromkeys(place.address for place in theirs):
                rest = (place for place in self.with_address.get(address, ()) if place not in theirs)
                asked += [
                    place
                    for place in rest
                    if has_left(entries.get(place)) or (looked_at and may_leave(entries.get(place)))
                ]
            for place in asked:
                places_of.setdefault(place, []).append(other.customer_id)
        return places_of

    def departures(self, contact: Contact) -> Sequence[PriorMembership]:
        """Returns the places where a contact's address or customers have left, so that it may not be added."""
        destination, mine = contact.membership, ids_of(contact.targets)
        own = [place for customer_id in mine for place in self.of(customer_id) if place != destination]
        of_others = self.places_of_others(destination, own, mine)
        left = (place for place in dict.fromkeys([*own, *of_others]) if keeps_out(self.entries.get(place), destination))
        return [self.prior(place, own=place in own, whom=of_others.get(place, ())) for place in left]


def departure_of(entry: LedgerEntry) -> str:
    """Returns how somebody is known to have left a place, as part of a sentence."""
    address, list_id = entry.membership.address, entry.membership.list_id
    if awaits_confirmation(entry):
        return f"the member {address} left list {list_id}, and has not subscribed again (it is {entry.member_status})"
    if entry.address_now is not None:
        return f"the person changed the address of the member {address} on list {list_id} in Mailchimp"
    return f"the member {address} is {'gone' if entry.state == 'gone' else entry.member_status} on list {list_id}"


def prior_decision(
    old: MembershipKey, entry: LedgerEntry | None, member: Member | None, destination: MembershipKey, status_if_new: str
) -> PriorDecision:
    """Decides by the member that Mailchimp returned for the old place.

    Args:
        entry: of the old place, after the read.
        member: None for a 404.

    Returns:
        The status to add with, never better than the old member's; none if somebody left: unsubscribed, archived by
        somebody else, gone, cleaned at the same address, or pending since without a confirmation.
    """
    if member is None:
        # Without an entry it was never there: an add was begun, or consent was withdrawn before any.
        if entry is None or entry.state == "intended":
            return PriorDecision(status_if_new, "an add began there and was never completed", here=False)
        return PriorDecision(None, departure_of(replace(entry, state="gone")), here=False)
    status = member.status
    if entry is not None and awaits_confirmation(entry):
        return PriorDecision(None, departure_of(entry), here=True)
    if entry is not None and is_ours(entry, member):
        status = entry.status_before or "unsubscribed"
    if status in ("subscribed", "transactional"):  # transactional: bought, and never opted in or out
        return PriorDecision(status_if_new, status, here=True)
    if status == "pending":
        return PriorDecision("pending", "pending", here=True)
    if status == "cleaned" and old.address != destination.address:
        return PriorDecision(status_if_new, "cleaned", here=True)
    return PriorDecision(None, f"the member {old.address} is {status} on list {old.list_id}", here=True)


def prior_decision_by_ledger(
    old: MembershipKey, entry: LedgerEntry | None, destination: MembershipKey, status_if_new: str
) -> PriorDecision:
    """Decides by the ledger alone, because the old list is gone from Mailchimp.

    Returns:
        As :func:`prior_decision`, by the status that Mailchimp last reported. A non-member by the ledger is not added.
    """
    if entry is None or entry.state == "gone":
        return PriorDecision(
            None, f"the list {old.list_id} is gone, and nothing shows that {old.address} stayed", here=False
        )
    status = entry.status_before if entry.state == "archived" else entry.member_status
    member = Member(old.address, status or "unsubscribed", entry.last_changed, None)
    return prior_decision(old, entry, member if entry.state != "intended" else None, destination, status_if_new)


class PriorRead(NamedTuple):
    """A prior membership as it was read.

    Attributes:
        member: None for a 404, or if its list is gone and nothing was read.
    """

    prior: PriorMembership
    member: Member | None = None
    answered_at: datetime | None = None


@dataclass(slots=True)
class AddDecision:
    """Whether a contact may be added to a list, after its prior memberships were read.

    Attributes:
        status: to add it with.
        kept_out_by: the prior membership that keeps it out, and why; None if none does.
        old: its own last one that was read, with its new ledger entry; None if there was none.
        renamed: that of a rename that was done though its answer was lost.
        entries: ledger entries that the reads changed.
        dropped: places without a member of this worker: an add never done, or one that has another address now.
    """

    status: str
    kept_out_by: tuple[PriorMembership, PriorDecision] | None = None
    old: PriorRead | None = None
    renamed: PriorRead | None = None
    entries: list[LedgerEntry] = field(default_factory=list)
    dropped: list[MembershipKey] = field(default_factory=list)


def decide(
    destination: MembershipKey, status_if_new: str, reads: Iterable[PriorRead], now: Callable[[], str]
) -> AddDecision:
    """Decides whether a contact may be added, and as what. Stops at the first read that keeps it out.

    Args:
        reads: of its prior memberships, each made when it is requested.
        now: returns the current time as text.
    """
    decision, add_done = AddDecision(status_if_new), False
    for read in reads:
        prior, member, answered_at = read
        entry = prior.entry
        if prior.list_gone:
            of_prior = prior_decision_by_ledger(prior.membership, entry, destination, status_if_new)
            if of_prior.status is None:
                if entry is not None and prior.only_hashed:
                    decision.entries.append(replace(entry, sent_at=now()))
                decision.kept_out_by = prior, of_prior
                return decision
            decision.status = "pending" if of_prior.status == "pending" else decision.status
            continue
        if member is None and entry is not None and entry.state in ("present", "archived"):
            decision.entries.append(as_gone(entry, now()))
        begun = entry is not None and entry.state == "intended"
        done = begun and member is not None and was_done(entry, member)  # type: ignore[arg-type]
        after = as_read(entry, member, answered_at) if entry is not None and member is not None else entry
        of_prior = prior_decision(prior.membership, after, member, destination, status_if_new)
        if of_prior.status is None and (not prior.own or of_prior.here or not add_done):
            if after is not None and after.state != "archived" and member is not None:
                decision.entries.append(replace(after, sent_at=now()))
            if may_have_archived(entry, member):
                of_prior = replace(of_prior, reason=f"{of_prior.reason}, {MAY_HAVE_ARCHIVED}")
            decision.kept_out_by = prior, of_prior
            return decision
        if not prior.own:
            # The person is back, or never left. A stranger who is back is none of the customer's.
            if after is not None and after != entry and not begun and not prior.only_hashed:
                decision.entries.append(after)
            continue
        if begun and not done:
            # It was never done: the current member is somebody else, and the departure is recorded already.
            if after is not None and not has_left(after):
                decision.dropped.append(prior.membership)
            continue
        decision.old = PriorRead(prior if after is entry else replace(prior, entry=after), member, answered_at)
        if done:
            # The former place has the same contact, or one that this customer left for this one.
            add_done = True
            if entry is not None and entry.intent is not None and entry.intent.source is not None:
                decision.renamed = decision.old
                decision.dropped.append(entry.intent.source)
        decision.status = "pending" if of_prior.status == "pending" else decision.status
    return decision
