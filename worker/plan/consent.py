"""Decides who may be added where: an opt-out belongs to the address and its customers, on all lists of the account.

So an address that is known to have left one list is not added to another one, for any customer; nor is an address of a
customer who is known to have left. Does no I/O: it decides which places must be read before a contact is added, and
what their members mean. :mod:`worker.flush.write_member` reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from worker.mailchimp.answers import Member
from worker.model import AddressKey, Customer, CustomerId, ListId, MembershipKey
from worker.plan.identity import (
    MAY_HAVE_ARCHIVED,
    as_gone,
    as_read,
    awaits_confirmation,
    is_ours,
    left_as,
    may_have_archived,
    was_done,
)
from worker.plan.related_customers import RelatedCustomers
from worker.plan.steps import AfterPriors, Contact, PriorDecision, PriorMembership, Target, hashed_entry, ids_of
from worker.store.accounts import AccountSettings
from worker.store.ledger import CustomerStatus, LedgerEntry, has_left, keeps_out, may_leave


class KnownPlaces:
    """Where related customers are known: by their statuses, and by entries that have their fields.

    Attributes:
        customers: all of them, by id.
        with_address: address to the ledger's places with it.
        same_address: address to the customers who have it.
    """

    def __init__(self, related: RelatedCustomers, settings: AccountSettings, owned: Iterable[LedgerEntry]) -> None:
        """Indexes the rows.

        Args:
            owned: entries that have their customer's fields, where a write for it was begun, or that it left for good.
        """
        self._related = related
        self._settings = settings
        self.customers = {**related.unchanged, **related.changed}
        self.with_address = _by_address(related.entries)
        self.same_address: dict[AddressKey, list[Customer]] = {}
        self._strangers = _by_address(related.strangers)
        self._at: dict[CustomerId, list[MembershipKey]] = {}
        self._known_by: dict[MembershipKey, list[CustomerId]] = {}
        begun: dict[CustomerId, list[MembershipKey]] = {}
        half_left: dict[CustomerId, list[MembershipKey]] = {}
        for entry in owned:
            places = begun if entry.state == "intended" else half_left
            places.setdefault(entry.customer_id, []).append(entry.membership)
        for customer_id, customer in self.customers.items():
            if customer.address is not None:
                self.same_address.setdefault(customer.address, []).append(customer)
            settled = self.status_of(customer_id).membership
            # Begun adds first: one that went through says more than the place before it.
            known = [*begun.get(customer_id, ()), *([settled] if settled else ()), *half_left.get(customer_id, ())]
            self._at[customer_id] = list(dict.fromkeys(known))
            for place in self._at[customer_id]:
                self._known_by.setdefault(place, []).append(customer_id)

    def stranger_left(self, place: MembershipKey) -> bool:
        """Returns whether a hash shows that a stranger with this address left the list."""
        return place in self._strangers.get(place.address, ())

    def status_of(self, customer_id: CustomerId) -> CustomerStatus:
        """Returns a customer's status, empty by default."""
        return self._related.customer_statuses.get(customer_id) or CustomerStatus(customer_id)

    def of(self, customer_id: CustomerId) -> Sequence[MembershipKey]:
        """Returns where a customer is known."""
        return self._at.get(customer_id, ())

    def own_priors(self, targets: Iterable[Target], destination: MembershipKey) -> tuple[PriorMembership, ...]:
        """Returns where the customers of a contact are known, other than where it goes."""
        places = [place for target in targets for place in self.of(target.customer_id) if place != destination]
        return tuple(map(self._prior, dict.fromkeys(places)))

    def priors(
        self, targets: Sequence[Target], destination: MembershipKey, more: Iterable[MembershipKey] = ()
    ) -> tuple[PriorMembership, ...]:
        """Returns the places to read before a contact is put anywhere, those of its own customers first.

        The others are places where its address, or another address of its customers, has left a list or may have by
        now. And places where others who have the address are kept out by a departure, or may be: their opt-out covers
        every address they are known by, on any list, whichever customer the member belonged to.

        Args:
            more: further places to read.
        """
        own = self.own_priors(targets, destination)
        read = {prior.membership for prior in own}
        whom_by_place: dict[MembershipKey, list[CustomerId]] = {}
        for place in (*self._left_with(destination, own), *more):
            whom_by_place.setdefault(place, [])
        for customer_id, place in self._left_by_others(destination, ids_of(targets)):
            whom_by_place.setdefault(place, []).append(customer_id)
        priors = list(own)
        for place, whom in whom_by_place.items():
            if place not in read and place != destination:
                priors.append(self._prior_of_others(place, whom, targets[0].customer_id))
        return tuple(priors)

    def departures(self, contact: Contact) -> Sequence[PriorMembership]:
        """Returns the places where a contact's address or customers have left, so that it may not be added."""
        priors = self.priors(contact.targets, contact.membership)
        return [prior for prior in priors if keeps_out(prior.entry, contact.membership)]

    def _left_with(self, destination: MembershipKey, own: Sequence[PriorMembership]) -> Iterator[MembershipKey]:
        # Where one of the contact's addresses has left, or may have by now.
        addresses = dict.fromkeys([destination.address, *(prior.membership.address for prior in own)])
        for address in addresses:
            yield from (place for place in self.with_address.get(address, ()) if self._has_left(place, or_may=True))
        for address in addresses:
            yield from self._strangers.get(address, ())

    def _left_by_others(
        self, destination: MembershipKey, mine: Collection[CustomerId]
    ) -> Iterator[tuple[CustomerId, MembershipKey]]:
        # Where other customers with the address are known to have left. If they are planned too, they may leave now.
        for other in self.same_address.get(destination.address, ()):
            if other.deleted or other.customer_id in mine:
                continue
            theirs = [place for place in self.of(other.customer_id) if place.address != destination.address]
            planned = other.customer_id in self._related.changed
            asked = [place for place in theirs if planned or self._has_left(place)]
            for address in dict.fromkeys(place.address for place in theirs):
                rest = (place for place in self.with_address.get(address, ()) if place not in theirs)
                asked += [place for place in rest if self._has_left(place, or_may=planned)]
            for place in asked:
                yield other.customer_id, place

    def _has_left(self, place: MembershipKey, *, or_may: bool = False) -> bool:
        entry = self._related.entries.get(place)
        return has_left(entry) or (or_may and may_leave(entry))

    def _prior(self, place: MembershipKey) -> PriorMembership:
        known = tuple(self._known_by.get(place, ()))
        return PriorMembership(place, self._related.entries.get(place), self._settings.is_gone(place.list_id), known)

    def _prior_of_others(self, place: MembershipKey, whom: Sequence[CustomerId], owner: CustomerId) -> PriorMembership:
        entry, list_gone = self._related.entries.get(place), self._settings.is_gone(place.list_id)
        if entry is None and self.stranger_left(place):
            entry = hashed_entry(place, owner, list_gone=list_gone)
        # First those on whose behalf it is read.
        known = tuple(dict.fromkeys([*whom, *self._known_by.get(place, ())]))
        return PriorMembership(place, entry, list_gone, known, own=False)


def _by_address(places: Iterable[MembershipKey]) -> dict[AddressKey, list[MembershipKey]]:
    by_address: dict[AddressKey, list[MembershipKey]] = {}
    for place in places:
        by_address.setdefault(place.address, []).append(place)
    return by_address


def known_to_have_left(step: AfterPriors, read_now: Collection[ListId]) -> PriorMembership | None:
    """Returns the first prior place that keeps a contact out, if no further read is needed to know it."""
    entries = (step.entry, *(prior.entry for prior in step.priors))
    if any(entry is not None and entry.intent is not None for entry in entries):
        return None  # doubts are resolved first
    there = (prior for prior in step.priors if prior.membership.list_id in read_now and not prior.only_hashed)
    return next((prior for prior in there if keeps_out(prior.entry, step.membership)), None)


def places_back(entries: Iterable[LedgerEntry]) -> set[MembershipKey]:
    """Returns the places of new entries that end a departure, if one is known there."""
    off = ("archive", "unsubscribe")  # this worker is about to take the member off again
    here = (entry for entry in entries if entry.state != "intended" and not has_left(entry))
    return {entry.membership for entry in here if entry.intent is None or entry.intent.kind not in off}


def kept_out(entry: LedgerEntry, *, here: bool) -> PriorDecision:
    """Returns the decision by somebody who is known to have left a place."""
    address, list_id = entry.membership.address, entry.membership.list_id
    status = "gone" if entry.state == "gone" else entry.member_status
    reason = f"the member {address} is {status} on list {list_id}"
    departure = left_as(entry)
    if departure == "unconfirmed":
        reason = f"the member {address} left list {list_id}, and has not subscribed again (it is {entry.member_status})"
    elif departure == "renamed":
        reason = f"the person changed the address of the member {address} on list {list_id} in Mailchimp"
    return PriorDecision(None, reason, here, departure)


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
        return kept_out(replace(entry, state="gone"), here=False)
    status = member.status
    if entry is not None and awaits_confirmation(entry):
        return kept_out(entry, here=True)
    if entry is not None and is_ours(entry, member):
        status = entry.status_before or "unsubscribed"
    if status in ("subscribed", "transactional"):  # transactional: bought, and never opted in or out
        return PriorDecision(status_if_new, status, here=True)
    if status == "pending":
        return PriorDecision("pending", "pending", here=True)
    if status == "cleaned" and old.address != destination.address:
        return PriorDecision(status_if_new, "cleaned", here=True)
    return PriorDecision(None, f"the member {old.address} is {status} on list {old.list_id}", here=True, left_as=status)


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
        pending_at: the prior membership that is pending, so that the contact is added as pending.
        kept_out_by: the prior membership that keeps it out, and why; None if none does.
        old: its own last one that was read, with its new ledger entry; None if there was none.
        renamed: that of a rename that was done though its answer was lost.
        entries: ledger entries that the reads changed.
        dropped: places without a member of this worker: an add never done, or one that has another address now.
    """

    status: str
    pending_at: MembershipKey | None = None
    kept_out_by: tuple[PriorMembership, PriorDecision] | None = None
    old: PriorRead | None = None
    renamed: PriorRead | None = None
    entries: list[LedgerEntry] = field(default_factory=list)
    dropped: list[MembershipKey] = field(default_factory=list)

    def allow(self, of_prior: PriorDecision, membership: MembershipKey) -> None:
        """Takes over what a prior membership allows: a pending one makes it pending."""
        if of_prior.status == "pending" != self.status:
            self.status, self.pending_at = "pending", membership


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
            decision.allow(of_prior, prior.membership)
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
        decision.allow(of_prior, prior.membership)
    return decision
