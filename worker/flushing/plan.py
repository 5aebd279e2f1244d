"""What a flush would do: the difference between what should be at each place and what the ledger says is there.

Both sides are keyed by list and address, because consent belongs to the address. So swapped and shared addresses, and
lists left and joined again, need no rules of their own. Pure: the same values give the same plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.clock import as_moment
from worker.consuming.newest import newest_first
from worker.flushing.deciding import consent
from worker.flushing.deciding import fields as member_fields
from worker.flushing.deciding.choice import Choice, choose
from worker.flushing.deciding.lanes import lanes_of
from worker.flushing.deciding.steps import (
    Add,
    Archive,
    Contact,
    Gate,
    Move,
    NoCall,
    Plan,
    Recheck,
    Restore,
    Share,
    Step,
    Unsubscribe,
    Update,
)
from worker.flushing.neighbourhood import Neighbourhood
from worker.mailchimp.merge_fields import MergeField
from worker.model import LONGEST_ADDRESS, AddressKey, Customer, CustomerId, ListId, Place, is_address
from worker.staging.accounts import AccountSettings
from worker.staging.forgotten import Departed
from worker.staging.ledger import Entry, Standing

NOTHING_NEXT = "Nothing until the customer changes."


@dataclass(frozen=True, slots=True)
class Terms:
    """What a plan goes by, beside the customers.

    Attributes:
        merge_fields: of each stored list that is there.
        now: the time as text.
        departed: who left and was erased since.
        of_others: lists that other accounts have stored: nothing is written to them.
    """

    settings: AccountSettings
    merge_fields: Mapping[ListId, Sequence[MergeField]]
    now: str
    departed: Departed
    of_others: frozenset[ListId] = frozenset()


def make_plan(near: Neighbourhood, terms: Terms) -> Plan:
    """Returns the calls for the changed customers of a neighbourhood, and who needs none and why."""
    return _Planner(near, terms).plan()


class _Planner:
    def __init__(self, near: Neighbourhood, terms: Terms) -> None:
        self.near = near
        self.terms = terms
        self.people = {**near.others, **near.changed}
        self.choices: dict[CustomerId, Choice] = {}
        self.targets: dict[CustomerId, Place] = {}
        self.wanted: dict[Place, list[Customer]] = {}
        self.rank: dict[CustomerId, int] = {}
        self.protected: set[Place] = set()
        self.steps: list[Step] = []
        self.no_calls: list[NoCall] = []
        self.leavers: dict[Place, list[Customer]] = {}
        self.renamed: set[Place] = set()
        self.owned: dict[CustomerId, list[Entry]] = {}
        self.with_address: dict[AddressKey, list[Place]] = {}
        for entry in near.entries.values():
            self.with_address.setdefault(entry.place.address, []).append(entry.place)
            if entry.state != "archived" or entry.status_before == "unsubscribed":
                self.owned.setdefault(entry.customer_id, []).append(entry)
        self.unsubscribed: dict[AddressKey, list[Place]] = {}
        self.with_same: dict[AddressKey, list[Customer]] = {}
        self.known_by: dict[Place, list[CustomerId]] = {}
        self.withheld: dict[AddressKey, CustomerId] = {}
        for one in self.people.values():
            for place in self._known_at(one):
                self.known_by.setdefault(place, []).append(one.customer_id)
            if one.address is not None:
                self.with_same.setdefault(one.address, []).append(one)
                # Of a deleted customer too, until its withdrawal is done.
                if not one.state.marketing_consent and (one.changed or not one.deleted):
                    self.withheld[one.address] = one.customer_id

    def plan(self) -> Plan:
        for customer in self.people.values():
            self._want(customer)
        self.wanted = {place: newest_first(wanters) for place, wanters in self.wanted.items()}
        self.rank = {one.customer_id: rank for wanters in self.wanted.values() for rank, one in enumerate(wanters)}
        for customer in self.near.changed.values():
            self._note_places_left(customer)
        unsubscribed = self._withdrawals()
        places = self._places() - unsubscribed
        for place in sorted(places & self.wanted.keys()):
            self._fill(place)
        for place in sorted(places - self.wanted.keys() - self.protected):
            self._leave(place)
        self._cover()
        alone, lanes = lanes_of(self.steps)
        return Plan(alone, lanes, tuple(self.no_calls))

    # What each customer wants

    def _want(self, customer: Customer) -> None:
        standing = self._standing(customer)
        choice = choose(customer, self.terms.settings, standing.place)
        self.choices[customer.customer_id] = choice
        if customer.deleted or not customer.state.marketing_consent or customer.address is None:
            return
        if customer.address in self.withheld:
            # Unsubscribed for another customer's sake, who may share it: the member itself stays.
            self.protected.update(self.with_address.get(customer.address, ()))
            return
        place = Place(choice.list_id, customer.address)
        if customer.customer_id not in self.near.changed and standing.place not in (None, place):
            # It was found to have left there, and does not come here because others do.
            return
        if self._hindered(customer, choice, standing) is None:
            self.targets[customer.customer_id] = place
            self.wanted.setdefault(place, []).append(customer)
        else:
            # What is left over of it elsewhere stays too: to take it off would settle the customer.
            self.protected |= {place, *self._known_at(customer)}

    def _hindered(self, customer: Customer, choice: Choice, standing: Standing) -> NoCall | None:
        shares = (Share(customer, choice.reason),)
        address, departed = customer.address, self.terms.departed
        if choice.held is not None:
            return NoCall(
                shares, None, "held", f"Held back: {choice.held}.", "Sent once that is mended.", settles=False
            )
        if address is not None and not is_address(address):
            told = (
                repr(customer.state.email) if len(address) <= LONGEST_ADDRESS else f"A text of {len(address)} letters"
            )
            detail = f"{told} is no e-mail address, so nothing was sent."
            return NoCall(shares, None, "refused", detail, "Sent when the customer has another address.")
        place = Place(choice.list_id, address) if address is not None else None
        if place is not None and (why := consent.erased_since(customer, place, self.near.entries.get(place), departed)):
            detail = f"Not put on list {choice.list_id} as {customer.state.email}: {why}, and an opt-out follows."
            return NoCall(shares, None, "left", detail, "Only the person can join again, by the list's form.")
        if standing.refusal is None or standing.refused_address not in (None, address):
            return None
        if standing.retry_at is None:
            whom = "this address" if standing.refused_address else "this customer"
            detail = f"Mailchimp refuses {whom}: {standing.refusal}."
            after = "Nothing until an operator clears it (resync --clear-suppressed)"
            after += " or the address changes." if standing.refused_address else "."
            return NoCall(shares, None, "suppressed", detail, after)
        if standing.retry_at > self.terms.now:
            detail = f"Mailchimp refused it {standing.attempts} times: {standing.refusal}."
            return NoCall(
                shares, None, "held", detail, f"Tried again after {standing.retry_at}.", settles=False, silent=True
            )
        return None

    # Places to look at

    def _standing(self, customer: Customer) -> Standing:
        return self.near.standings.get(customer.customer_id) or Standing(customer.customer_id)

    def _known_at(self, customer: Customer) -> list[Place]:
        place = self._standing(customer).place
        owned = self.owned.get(customer.customer_id, ())
        # Begun adds first: where one went through, it tells more than the place before it.
        begun = [entry.place for entry in owned if entry.state == "intended"]
        half_left = [entry.place for entry in owned if entry.state != "intended"]
        return list(dict.fromkeys([*begun, *([place] if place else []), *half_left]))

    def _note_places_left(self, customer: Customer) -> None:
        for place in self._known_at(customer):
            if place != self.targets.get(customer.customer_id):
                self.leavers.setdefault(place, []).append(customer)

    def _places(self) -> set[Place]:
        places = set()
        for customer in self.near.changed.values():
            places |= set(self._known_at(customer))
            if (target := self.targets.get(customer.customer_id)) is not None:
                places.add(target)
        return places

    def _gates(self, shares: Sequence[Share], target: Place) -> tuple[Gate, ...]:
        places = [place for share in shares for place in self._known_at(share.customer) if place != target]
        return tuple(self._gate(place) for place in dict.fromkeys(places))

    def _gate(self, place: Place, *, others: bool = False) -> Gate:
        known = tuple(self.known_by.get(place, ()))
        return Gate(place, self.near.entries.get(place), self._is_gone(place.list_id), known, others)

    def _gates_of_others(self, shares: Sequence[Share], target: Place, own: Sequence[Gate]) -> tuple[Gate, ...]:
        # Where the address left another list, and where somebody else left who has it now.
        there = [gate.place for gate in own]
        mine = {share.customer.customer_id for share in shares}
        sharers = (one for one in self.with_same.get(target.address, ()) if one.customer_id not in mine)
        entries = self.near.entries
        places = consent.priors_of_address(target, there, self.with_address, entries)
        places += [place for place in self.unsubscribed.get(target.address, ()) if place != target]
        places += consent.priors_of_sharers(target, sharers, self.near.changed, self._known_at, entries)
        return tuple(self._gate(place, others=True) for place in dict.fromkeys(places) if place not in there)

    def _is_gone(self, list_id: ListId) -> bool:
        on_list = self.terms.settings.list_of(list_id)
        return on_list is None or on_list.gone

    # Consent withdrawn: before everything else

    def _withdrawals(self) -> set[Place]:
        shares: dict[Place, list[Share]] = {}
        for customer in self.near.changed.values():
            if customer.state.marketing_consent:
                continue
            places = {place for place in self._known_at(customer) if place not in self.wanted}
            if customer.address is not None:
                places |= {Place(one.list_id, customer.address) for one in self.terms.settings.stored}
                places.update(self.with_address.get(customer.address, ()))
            for place in places:
                if place.list_id in self.terms.of_others:
                    self._leave_to_others(place, (Share(customer, "consent withdrawn"),))
                elif not self._is_gone(place.list_id) and place not in self.wanted:
                    shares.setdefault(place, []).append(Share(customer, "consent withdrawn"))
        for place in sorted(shares):
            self.unsubscribed.setdefault(place.address, []).append(place)
            mine = {share.customer.customer_id for share in shares[place]}
            same = self.with_same.get(place.address, ())
            sharers = tuple(one.customer_id for one in same if one.customer_id not in mine and not one.deleted)
            self.steps.append(Unsubscribe(place, self.near.entries.get(place), tuple(shares[place]), sharers))
        return set(shares)

    # Somebody wants the place

    def _fill(self, place: Place) -> None:
        wanters = self.wanted[place]
        owner = wanters[0]
        # Also who was withheld until now, though nothing of it changed.
        new = [one for one in wanters if one.customer_id in self.near.changed or self._standing(one).place is None]
        shares = tuple(self._share(one) for one in new) or (self._share(owner),)
        contact = self._contact(place, owner, shares)
        entry = self.near.entries.get(place)
        own = self._gates(shares, place)
        gates = (*own, *self._gates_of_others(shares, place, own))
        if entry is None or entry.state == "intended":
            self.steps.append(self._move(contact, entry, gates) if gates else Add(contact, entry))
        elif entry.state == "archived" or entry.intent is not None:
            # A write without an answer: what became of it is looked at first.
            self.steps.append(Restore(contact, entry, gates))
        elif entry.state == "gone":
            self.steps.append(Recheck(contact, entry, gates))
        else:
            self._join(place, entry, shares)
        if place in self.leavers and all(self._gates((self._share(one),), place) for one in wanters):
            self._leave(place, heirs=tuple(one.customer_id for one in wanters))

    def _join(self, place: Place, entry: Entry, shares: Sequence[Share]) -> None:
        # Whoever comes from elsewhere passes its own gates first; the others' fields do not wait for that.
        arriving = [share for share in shares if self._arrives(share, place)]
        arrivals = {share.customer.customer_id for share in arriving}
        residents = [one for one in self.wanted[place] if one.customer_id not in arrivals]
        staying = tuple(share for share in shares if share.customer.customer_id not in arrivals)
        if staying:
            self._update(self._contact(place, residents[0], staying), entry)
        for share in reversed(arriving):
            owner = min([*residents[:1], share.customer], key=lambda one: self.rank[one.customer_id])
            contact = self._contact(place, owner, (share,))
            self.steps.append(Move(contact, entry, self._gates((share,), place), None, {}))

    def _arrives(self, share: Share, place: Place) -> bool:
        gates = self._gates((share,), place)
        # Who is here already may have left a member behind that was to be archived: that keeps nothing from it here.
        here = self._standing(share.customer).place == place
        left_behind = all(gate.entry is not None and gate.entry.state != "intended" for gate in gates)
        return bool(gates) and not (here and left_behind)

    def _contact(self, place: Place, owner: Customer, shares: tuple[Share, ...]) -> Contact:
        fields = member_fields.merge_fields(owner.state, self.terms.merge_fields.get(place.list_id, ()))
        email = (owner.state.email or "").strip()
        return Contact(place, email, fields, self.terms.settings.status_if_new, owner.customer_id, shares)

    def _share(self, customer: Customer) -> Share:
        return Share(customer, self.choices[customer.customer_id].reason)

    def _update(self, contact: Contact, entry: Entry) -> None:
        available = self.terms.merge_fields.get(contact.place.list_id, ())
        changes = member_fields.changes(contact.fields.values, entry.fields, available)
        if changes:
            self.steps.append(Update(contact, entry, changes))
            return
        status = entry.member_status
        detail = "Nothing that Mailchimp keeps has changed since it was last sent."
        after = NOTHING_NEXT
        if status in ("unsubscribed", "cleaned", "archived"):
            detail += f" The member is {status} there and stays so."
            after = "Only the person can join again, by the list's form."
        self.no_calls.append(NoCall(contact.shares, contact.place, "unchanged", detail, after))

    def _move(self, contact: Contact, entry: Entry | None, gates: tuple[Gate, ...]) -> Move:
        own = [gate for gate in gates if not gate.others]
        rename = own[0] if len(own) == 1 and self._may_rename(contact, entry, own[0]) else None
        changes: Mapping[str, object] = {}
        if rename is not None and rename.entry is not None:
            self.renamed.add(rename.place)
            available = self.terms.merge_fields.get(contact.place.list_id, ())
            changes = member_fields.changes(contact.fields.values, rename.entry.fields, available)
        return Move(contact, entry, gates, rename, changes)

    def _may_rename(self, contact: Contact, entry: Entry | None, gate: Gate) -> bool:
        old = gate.place
        return (
            (entry is None or entry.state == "intended")
            and old.list_id == contact.place.list_id
            and gate.entry is not None
            and gate.entry.state == "present"
            and gate.entry.intent is None
            and consent.is_its_own(gate.entry, as_moment(self.terms.now))
            and old not in self.wanted
            and old not in self.protected
            and len(contact.shares) == 1
            and self.leavers.get(old) == [contact.shares[0].customer]
        )

    # Nobody wants the place

    def _leave(self, place: Place, heirs: tuple[CustomerId, ...] = ()) -> None:
        # With heirs, nobody may want it in the end: then it must not stay behind, where nobody ever looks at it again.
        entry = self.near.entries.get(place)
        leavers = self.leavers.get(place, [])
        if entry is None or entry.state in ("archived", "gone") or self._is_gone(place.list_id):
            return
        moved = any(one.customer_id in self.targets for one in leavers)
        shares = tuple(Share(one, self._why_left(one)) for one in leavers)
        if place.list_id in self.terms.of_others:
            self._leave_to_others(place, shares)
            return
        goes_along = moved and consent.is_its_own(entry, as_moment(self.terms.now))
        if entry.origin == "found" and entry.state == "present" and not goes_along:
            if heirs:
                return
            detail = "This worker did not add the member, so it stays on the list as it is."
            self.no_calls.append(NoCall(shares, place, "left alone", detail, NOTHING_NEXT))
            return
        self.steps.append(Archive(place, entry, shares, moved, only_if_taken=place in self.renamed, heirs=heirs))

    def _leave_to_others(self, place: Place, shares: tuple[Share, ...]) -> None:
        detail = f"Another account has stored the list {place.list_id}, so nothing is written there."
        self.no_calls.append(NoCall(shares, place, "left alone", detail, NOTHING_NEXT))

    def _why_left(self, customer: Customer) -> str:
        if customer.deleted:
            return "customer deleted"
        if customer.address is None:
            return "customer without an address"
        return self.choices[customer.customer_id].reason

    def _left_at(self, customer: Customer) -> Place | None:
        # Who has no place of its own is known by that of the address.
        assert customer.address is not None
        there = (self.near.entries[place] for place in self.with_address.get(customer.address, ()))
        return next((entry.place for entry in there if entry.state != "intended"), None)

    def _cover(self) -> None:
        covered = {share.customer.customer_id for step in (*self.steps, *self.no_calls) for share in step.shares}
        for customer in self.near.changed.values():
            if customer.customer_id not in covered:
                self.no_calls.append(self._why_nothing(customer))

    def _why_nothing(self, customer: Customer) -> NoCall:
        choice = self.choices[customer.customer_id]
        shares = (Share(customer, choice.reason),)
        place = self._standing(customer).place
        if customer.deleted:
            known = "It is no member by this worker's doing any more." if place else "It was on no list."
            return NoCall(shares, place, "deleted", f"The customer was deleted. {known}", NOTHING_NEXT)
        if not customer.state.marketing_consent:
            detail = "Consent is withdrawn and there is no list to unsubscribe it from."
            return NoCall(shares, place, "withheld", detail, NOTHING_NEXT)
        if customer.address is None:
            return NoCall(shares, place, "no address", "The customer has no e-mail address.", NOTHING_NEXT)
        if customer.address in self.withheld:
            detail = "Another customer with this address withdrew consent, and consent belongs to the address."
            after = "Looked at again when that customer changes."
            whom = self.withheld[customer.address]
            return NoCall(shares, place or self._left_at(customer), "withheld", detail, after, waits_for=whom)
        hindered = self._hindered(customer, choice, self._standing(customer))
        assert hindered is not None, "a customer that wants a place has a step"
        return hindered
