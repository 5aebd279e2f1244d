"""Plans a flush: the difference between what should be at each place and what the ledger has there.

Both sides are keyed by list and address, because consent belongs to the address. So swapped and shared addresses, and
lists left and joined again, need no special rules. Does no I/O, and is deterministic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from worker.clock import as_moment
from worker.fields.member_tags import differs, wanted_tags
from worker.fields.merge_values import ListFields
from worker.model import AddressKey, Customer, CustomerId, MembershipKey
from worker.plan.consent import KnownPlaces, known_to_have_left
from worker.plan.destinations import Destinations
from worker.plan.identity import FOUND_AND_LEFT, NOT_ADDED, is_its_own
from worker.plan.inputs import PlanInputs
from worker.plan.outcomes import NOTHING_NEXT, ONLY_THE_PERSON, Outcome
from worker.plan.related_customers import RelatedCustomers
from worker.plan.steps import (
    Add,
    Archive,
    Contact,
    Move,
    NoCall,
    Plan,
    PriorMembership,
    Recheck,
    Restore,
    Step,
    Tag,
    Target,
    Unsubscribe,
    Update,
    hashed_entry,
    ids_of,
    step_groups_of,
)
from worker.store.ledger import OUT, LedgerEntry, has_left

_NO_FIELDS = ListFields()
"""Of a list that is gone."""


def make_plan(related: RelatedCustomers, inputs: PlanInputs) -> Plan:
    """Returns the steps for related customers that changed, and which customers need none, and why."""
    related = related.with_entries(inputs.unwritten) if inputs.unwritten else related
    entries = related.entries.values()
    owned = (entry for entry in entries if entry.state != "archived" or entry.status_before == "unsubscribed")
    known = KnownPlaces(related, inputs.settings, owned)
    return _Planner(related, inputs, known, Destinations(related, inputs, known)).plan()


class _Planner:
    """Compares where customers are known with where they belong.

    Attributes:
        unsubscribed: address to the places where this plan unsubscribes it.
        renamed: places whose members get another address.
        kept_out: customers with a departure that needs no further read.
    """

    def __init__(
        self, related: RelatedCustomers, inputs: PlanInputs, known: KnownPlaces, destinations: Destinations
    ) -> None:
        self.related = related
        self.inputs = inputs
        self.known = known
        self.destinations = destinations
        self.steps: list[Step] = []
        self.no_calls: list[NoCall] = []
        self.unsubscribed: dict[AddressKey, list[MembershipKey]] = {}
        self.renamed: set[MembershipKey] = set()
        self.kept_out: set[CustomerId] = set()

    def plan(self) -> Plan:
        wanted = self.destinations.wanted
        places = self.destinations.places - self._plan_withdrawals()
        for place in sorted(places & wanted.keys()):
            self._plan_wanted(place)
        for place in sorted(places & wanted.keys() & self.destinations.departing.keys()):
            if all(self.known.own_priors((self.destinations.target(customer),), place) for customer in wanted[place]):
                # They may stay elsewhere in the end: then nothing else would look at the member that was left here.
                self._plan_unwanted(place, successors=tuple(customer.customer_id for customer in wanted[place]))
        for place in sorted(places - wanted.keys() - self.destinations.protected):
            self._plan_unwanted(place)
        self._explain_the_rest()
        alone, step_groups = step_groups_of(self.steps)
        return Plan(alone, step_groups, tuple(self.no_calls))

    # Consent withdrawn: before everything else

    def _plan_withdrawals(self) -> set[MembershipKey]:
        settings, wanted = self.inputs.settings, self.destinations.wanted
        targets: dict[MembershipKey, list[Target]] = {}
        for customer in self.related.changed.values():
            if customer.state.marketing_consent:
                continue
            memberships = set(self.known.of(customer.customer_id)) - wanted.keys()
            if customer.address is not None:
                memberships |= {MembershipKey(stored_list.list_id, customer.address) for stored_list in settings.stored}
                memberships.update(self.known.with_address.get(customer.address, ()))
            for membership in memberships:
                if membership.list_id in self.inputs.stored_by_others:
                    self._note_list_of_others(membership, (Target(customer, "consent withdrawn"),))
                elif not settings.is_gone(membership.list_id) and membership not in wanted:
                    targets.setdefault(membership, []).append(Target(customer, "consent withdrawn"))
        for membership in sorted(targets):
            self.unsubscribed.setdefault(membership.address, []).append(membership)
            mine = ids_of(targets[membership])
            same = self.known.same_address.get(membership.address, ())
            same_address = tuple(
                customer.customer_id for customer in same if customer.customer_id not in mine and not customer.deleted
            )
            self.steps.append(
                Unsubscribe(membership, self.related.entries.get(membership), tuple(targets[membership]), same_address)
            )
        return set(targets)

    # Places that a customer wants

    def _plan_wanted(self, membership: MembershipKey) -> None:
        claimants = self.destinations.wanted[membership]
        owner = claimants[0]
        # Also customers who were withheld until now, though they did not change.
        new = [
            customer
            for customer in claimants
            if customer.customer_id in self.related.changed
            or self.known.status_of(customer.customer_id).membership is None
        ]
        targets = tuple(self.destinations.target(customer) for customer in new or [owner])
        entry = self.related.entries.get(membership)
        if entry is not None and entry.state == "present" and entry.intent is None:
            self._plan_member(membership, entry, targets)
        else:
            self._plan_contact(self._contact(membership, owner, targets), entry)

    def _plan_contact(self, contact: Contact, entry: LedgerEntry | None) -> None:
        targets, membership = contact.targets, contact.membership
        priors = self.known.priors(targets, membership, self.unsubscribed.get(membership.address, ()))
        if any(self._is_refused_somewhere(target.customer) for target in targets):
            known = entry or LedgerEntry(membership, contact.owner, "gone", "found", self.inputs.now)
            self._add_after_priors(Recheck(contact, known, priors))
        elif entry is None and self.known.stranger_left(membership):
            # The member may have another address by now, and have left under that.
            self._add_after_priors(Recheck(contact, hashed_entry(membership, contact.owner, list_gone=False), priors))
        elif entry is None or entry.state == "intended":
            if priors:
                self._add_after_priors(self._move_step(contact, entry, priors))
            else:
                self.steps.append(Add(contact, entry))
        elif entry.state == "gone" and entry.intent is None:
            self._add_after_priors(Recheck(contact, entry, priors))
        else:
            # Archived, or a write without an answer, which is checked first.
            self._add_after_priors(Restore(contact, entry, priors))

    def _add_after_priors(self, step: Move | Restore | Recheck) -> None:
        prior = known_to_have_left(step, self.inputs.read_now)
        self.kept_out |= ids_of(step.targets) if prior is not None else set()
        self.steps.append(replace(step, kept_out_by=prior))

    def _is_refused_somewhere(self, customer: Customer) -> bool:
        # An earlier release did not keep where, so nobody is added until a read shows the person.
        status = self.known.status_of(customer.customer_id)
        return status.lasting and status.refused_address is None

    def _plan_member(self, membership: MembershipKey, entry: LedgerEntry, targets: Sequence[Target]) -> None:
        # Priors of a customer who moves here are read first; the others' fields do not wait for that.
        arriving = [target for target in targets if self._arrives(target, membership)]
        arrivals = ids_of(arriving)
        staying = tuple(target for target in targets if target.customer_id not in arrivals)
        claimants = self.destinations.wanted[membership]
        rank = {customer.customer_id: number for number, customer in enumerate(claimants)}
        residents = [customer for customer in claimants if customer.customer_id not in arrivals]
        if staying:
            self._plan_update(self._contact(membership, residents[0], staying), entry)
        for target in reversed(arriving):
            owner = min([*residents[:1], target.customer], key=lambda customer: rank[customer.customer_id])
            contact, priors = self._contact(membership, owner, (target,)), self.known.own_priors((target,), membership)
            self._add_after_priors(Move(contact, entry, priors, None, {}))

    def _arrives(self, target: Target, membership: MembershipKey) -> bool:
        priors = self.known.own_priors((target,), membership)
        # A customer who is here already may have left a member that was to be archived, which holds nothing back here.
        here = self.known.status_of(target.customer_id).membership == membership
        left_behind = all(prior.entry is not None and prior.entry.state != "intended" for prior in priors)
        return bool(priors) and not (here and left_behind)

    def _contact(self, membership: MembershipKey, owner: Customer, targets: tuple[Target, ...]) -> Contact:
        email = (owner.state.email or "").strip()
        fields = self.inputs.fields.get(membership.list_id, _NO_FIELDS).of(owner.state)
        tags, status = wanted_tags(owner.state) if owner.state.tags else (), self.inputs.settings.status_if_new
        return Contact(membership, email, fields, status, owner.customer_id, targets, tags)

    def _plan_update(self, contact: Contact, entry: LedgerEntry) -> None:
        fields = contact.fields
        changes = self.inputs.hashes.changes(fields.values, entry.fields, fields.available)
        left, tagged = entry.member_status in OUT, bool(contact.tags or entry.member_tags)
        if changes:
            self.steps.append(Update(contact, entry, changes))
            return
        if tagged and not left and differs(contact.tags, entry.member_tags):
            self.steps.append(Tag(contact, entry))
            return
        detail, after = "Nothing has changed since it was last sent.", NOTHING_NEXT
        if left:
            detail += f" The member is {entry.member_status} there and stays so."
            after = ONLY_THE_PERSON
        self.no_calls.append(NoCall(contact.targets, contact.membership, Outcome.UNCHANGED, detail, after))

    def _move_step(self, contact: Contact, entry: LedgerEntry | None, priors: tuple[PriorMembership, ...]) -> Move:
        own = [prior for prior in priors if prior.own]
        rename = own[0] if len(own) == 1 and self._may_rename(contact, entry, own[0]) else None
        changes: Mapping[str, object] = {}
        if rename is not None and rename.entry is not None:
            self.renamed.add(rename.membership)
            fields = contact.fields
            changes = self.inputs.hashes.changes(fields.values, rename.entry.fields, fields.available)
        return Move(contact, entry, priors, rename, changes)

    def _may_rename(self, contact: Contact, entry: LedgerEntry | None, prior: PriorMembership) -> bool:
        old = prior.membership
        return (
            (entry is None or entry.state == "intended")
            and old.list_id == contact.membership.list_id
            and prior.entry is not None
            and prior.entry.state == "present"
            and prior.entry.intent is None
            and is_its_own(prior.entry, as_moment(self.inputs.now))
            and old not in self.destinations.wanted
            and old not in self.destinations.protected
            and len(contact.targets) == 1
            and self.destinations.departing.get(old) == [contact.targets[0].customer]
        )

    # Places that no customer wants

    def _plan_unwanted(self, membership: MembershipKey, successors: tuple[CustomerId, ...] = ()) -> None:
        entry = self.related.entries.get(membership)
        departing = self.destinations.departing.get(membership, [])
        if entry is None or entry.state in ("archived", "gone") or self.inputs.settings.is_gone(membership.list_id):
            return
        moved = any(self.destinations.of(customer) is not None for customer in departing)
        targets = tuple(Target(customer, self.destinations.why_left(customer)) for customer in departing)
        if membership.list_id in self.inputs.stored_by_others:
            self._note_list_of_others(membership, targets)
            return
        if moved and entry.intent is None and has_left(entry) and membership.list_id in self.inputs.read_now:
            rest = tuple(target for target in targets if target.customer_id not in self.kept_out)
            why = f"The member is {entry.member_status}, and stays so."
            self.no_calls += [NoCall(rest, membership, Outcome.LEFT_ALONE, why)] if rest else []
            return
        goes_along = moved and is_its_own(entry, as_moment(self.inputs.now))
        if entry.origin == "found" and entry.state == "present" and not goes_along:
            if successors:
                return
            detail = FOUND_AND_LEFT if moved else NOT_ADDED
            self.no_calls.append(NoCall(targets, membership, Outcome.LEFT_ALONE, detail))
            return
        after_rename = membership in self.renamed
        step = Archive(membership, entry, targets, successors, customers_moved=moved, after_rename=after_rename)
        self.steps.append(step)

    def _note_list_of_others(self, membership: MembershipKey, targets: tuple[Target, ...]) -> None:
        detail = f"Another account has stored the list {membership.list_id}, so nothing is written there."
        self.no_calls.append(NoCall(targets, membership, Outcome.LEFT_ALONE, detail))

    def _explain_the_rest(self) -> None:
        covered = ids_of(target for step in (*self.steps, *self.no_calls) for target in step.targets)
        for customer in self.related.changed.values():
            # If only its old member is taken off, nothing else would say for whom it waits.
            if customer.customer_id not in covered or self.destinations.is_withheld(customer):
                self.no_calls.append(self.destinations.why_nowhere(customer))
