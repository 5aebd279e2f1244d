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
from worker.model import AddressKey, Customer, CustomerId, ListId, MembershipKey, newest_first
from worker.plan import consent
from worker.plan.consent import KnownPlaces
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
    ids_of,
    step_groups_of,
)
from worker.store.accounts import TargetList
from worker.store.ledger import OUT, CustomerStatus, LedgerEntry, has_left

_NO_FIELDS = ListFields()
"""Of a list that is gone."""


def make_plan(related: RelatedCustomers, inputs: PlanInputs) -> Plan:
    """Returns the steps for related customers that changed, and which customers need none, and why."""
    return _Planner(related.with_entries(inputs.unwritten) if inputs.unwritten else related, inputs).plan()


class _Planner:
    def __init__(self, related: RelatedCustomers, inputs: PlanInputs) -> None:
        self.related = related
        self.inputs = inputs
        self.customers = {**related.unchanged, **related.changed}
        self.target_lists: dict[CustomerId, TargetList] = {}
        self.destinations: dict[CustomerId, MembershipKey] = {}  # of those who may be sent
        self.wanted: dict[MembershipKey, list[Customer]] = {}  # who belongs at a place, newest first
        self.rank: dict[CustomerId, int] = {}  # a customer's number among those
        self.protected: set[MembershipKey] = set()  # their members stay, though nobody may be wanted there
        self.steps: list[Step] = []
        self.no_calls: list[NoCall] = []
        self.not_sent: dict[CustomerId, NoCall] = {}  # why nothing may be sent
        self.departing: dict[MembershipKey, list[Customer]] = {}  # changed customers that leave a place
        self.renamed: set[MembershipKey] = set()  # their members get another address
        entries = related.entries
        owned = (
            entry for entry in entries.values() if entry.state != "archived" or entry.status_before == "unsubscribed"
        )
        self.known = KnownPlaces(
            self.customers.values(), self.customers, related.customer_statuses, owned, entries, related.strangers
        )
        self.unsubscribed: dict[AddressKey, list[MembershipKey]] = {}  # where this plan unsubscribes it
        self.withheld: dict[AddressKey, CustomerId] = {}  # without consent, and who withdrew it
        self.kept_out: set[CustomerId] = set()  # by a departure that needs no further read
        for customer in self.customers.values():
            # For a deleted customer too, until its withdrawal is done.
            if (
                customer.address is not None
                and not customer.state.marketing_consent
                and (customer.changed or not customer.deleted)
            ):
                self.withheld[customer.address] = customer.customer_id

    def plan(self) -> Plan:
        for customer in self.customers.values():
            self._choose_destination(customer)
        self.wanted = {membership: newest_first(claimants) for membership, claimants in self.wanted.items()}
        self.rank = {
            customer.customer_id: rank for claimants in self.wanted.values() for rank, customer in enumerate(claimants)
        }
        memberships = self._memberships_to_plan() - self._plan_withdrawals()
        for membership in sorted(memberships & self.wanted.keys()):
            self._plan_wanted(membership)
        for membership in sorted(memberships - self.wanted.keys() - self.protected):
            self._plan_unwanted(membership)
        self._explain_the_rest()
        alone, step_groups = step_groups_of(self.steps)
        return Plan(alone, step_groups, tuple(self.no_calls))

    # What each customer wants

    def _choose_destination(self, customer: Customer) -> None:
        customer_status = self._customer_status(customer)
        target_list = self.inputs.settings.target_list(customer, customer_status.membership, self.inputs.not_read)
        self.target_lists[customer.customer_id] = target_list
        if customer.deleted or not customer.state.marketing_consent or customer.address is None:
            return
        if customer.address in self.withheld:
            # Unsubscribed on behalf of another customer, who may share it: the member itself stays.
            self.protected.update(self.known.with_address.get(customer.address, ()))
            return
        membership = MembershipKey(target_list.list_id, customer.address)
        if customer.customer_id not in self.related.changed and customer_status.membership not in (None, membership):
            # It is known to have left there, and must not come here just because others do.
            return
        no_call = consent.why_not_sent(customer, target_list, customer_status, self.related.entries, self.inputs)
        if no_call is None:
            self.destinations[customer.customer_id] = membership
            self.wanted.setdefault(membership, []).append(customer)
        else:
            self.not_sent[customer.customer_id] = no_call
            # Its leftover members elsewhere stay too: removing them would settle the customer.
            self.protected |= {membership, *self.known.of(customer.customer_id)}

    # Places to look at

    def _customer_status(self, customer: Customer) -> CustomerStatus:
        return self.related.customer_statuses.get(customer.customer_id) or CustomerStatus(customer.customer_id)

    def _memberships_to_plan(self) -> set[MembershipKey]:
        # Also notes which changed customers leave which of them.
        memberships = set[MembershipKey]()
        for customer in self.related.changed.values():
            known, destination = self.known.of(customer.customer_id), self.destinations.get(customer.customer_id)
            memberships.update(known if destination is None else (*known, destination))
            for membership in known:
                if membership != destination:
                    self.departing.setdefault(membership, []).append(customer)
        return memberships

    def _priors(self, targets: Sequence[Target], destination: MembershipKey) -> tuple[PriorMembership, ...]:
        memberships = [
            place for target in targets for place in self.known.of(target.customer_id) if place != destination
        ]
        return tuple(
            self.known.prior(place, list_gone=self._is_gone(place.list_id)) for place in dict.fromkeys(memberships)
        )

    def _priors_of_others(
        self, targets: Sequence[Target], destination: MembershipKey, own: Sequence[PriorMembership]
    ) -> tuple[PriorMembership, ...]:
        # Where the address left another list, and where somebody else who has it now left.
        there = [prior.membership for prior in own]
        withdrawn = [place for place in self.unsubscribed.get(destination.address, ()) if place != destination]
        of_others = self.known.places_of_others(destination, there, ids_of(targets), self.related.changed, withdrawn)
        rest, owner = {place: whom for place, whom in of_others.items() if place not in there}, targets[0].customer_id
        return tuple(
            self.known.prior(place, list_gone=self._is_gone(place.list_id), own=False, whom=whom, met_by=owner)
            for place, whom in rest.items()
        )

    def _is_gone(self, list_id: ListId) -> bool:
        on_list = self.inputs.settings.list_of(list_id)
        return on_list is None or on_list.gone

    # Consent withdrawn: before everything else

    def _plan_withdrawals(self) -> set[MembershipKey]:
        targets: dict[MembershipKey, list[Target]] = {}
        for customer in self.related.changed.values():
            if customer.state.marketing_consent:
                continue
            memberships = {
                membership for membership in self.known.of(customer.customer_id) if membership not in self.wanted
            }
            if customer.address is not None:
                memberships |= {
                    MembershipKey(stored_list.list_id, customer.address) for stored_list in self.inputs.settings.stored
                }
                memberships.update(self.known.with_address.get(customer.address, ()))
            for membership in memberships:
                if membership.list_id in self.inputs.stored_by_others:
                    self._note_list_of_others(membership, (Target(customer, "consent withdrawn"),))
                elif not self._is_gone(membership.list_id) and membership not in self.wanted:
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
        claimants = self.wanted[membership]
        owner = claimants[0]
        # Also customers who were withheld until now, though they did not change.
        new = [
            customer
            for customer in claimants
            if customer.customer_id in self.related.changed or self._customer_status(customer).membership is None
        ]
        targets = tuple(self._target(customer) for customer in new) or (self._target(owner),)
        entry = self.related.entries.get(membership)
        if entry is not None and entry.state == "present" and entry.intent is None:
            self._plan_member(membership, entry, targets)
        else:
            self._plan_contact(self._contact(membership, owner, targets), entry)
        if membership in self.departing and all(
            self._priors((self._target(customer),), membership) for customer in claimants
        ):
            self._plan_unwanted(membership, successors=tuple(customer.customer_id for customer in claimants))

    def _plan_contact(self, contact: Contact, entry: LedgerEntry | None) -> None:
        targets, membership = contact.targets, contact.membership
        own = self._priors(targets, membership)
        priors = (*own, *self._priors_of_others(targets, membership, own))
        if any(self._is_refused_somewhere(target.customer) for target in targets):
            known = entry or LedgerEntry(membership, contact.owner, "gone", "found", self.inputs.now)
            self.steps.append(self._with_departure(Recheck(contact, known, priors)))
        elif entry is None or entry.state == "intended":
            self.steps.append(
                self._with_departure(self._move_step(contact, entry, priors)) if priors else Add(contact, entry)
            )
        elif entry.state == "gone" and entry.intent is None:
            self.steps.append(self._with_departure(Recheck(contact, entry, priors)))
        else:
            # Archived, or a write without an answer, which is checked first.
            self.steps.append(self._with_departure(Restore(contact, entry, priors)))

    def _is_refused_somewhere(self, customer: Customer) -> bool:
        # An earlier release did not keep where, so nobody is added until a read shows the person.
        status = self._customer_status(customer)
        return status.lasting and status.refused_address is None

    def _plan_member(self, membership: MembershipKey, entry: LedgerEntry, targets: Sequence[Target]) -> None:
        # Priors of a customer who moves here are read first; the others' fields do not wait for that.
        arriving = [target for target in targets if self._arrives(target, membership)]
        arrivals = ids_of(arriving)
        residents = [customer for customer in self.wanted[membership] if customer.customer_id not in arrivals]
        staying = tuple(target for target in targets if target.customer_id not in arrivals)
        if staying:
            self._plan_update(self._contact(membership, residents[0], staying), entry)
        for target in reversed(arriving):
            owner = min([*residents[:1], target.customer], key=lambda customer: self.rank[customer.customer_id])
            contact = self._contact(membership, owner, (target,))
            self.steps.append(self._with_departure(Move(contact, entry, self._priors((target,), membership), None, {})))

    def _arrives(self, target: Target, membership: MembershipKey) -> bool:
        priors = self._priors((target,), membership)
        # A customer who is here already may have left a member that was to be archived, which holds nothing back here.
        here = self._customer_status(target.customer).membership == membership
        left_behind = all(prior.entry is not None and prior.entry.state != "intended" for prior in priors)
        return bool(priors) and not (here and left_behind)

    def _contact(self, membership: MembershipKey, owner: Customer, targets: tuple[Target, ...]) -> Contact:
        email = (owner.state.email or "").strip()
        fields = self.inputs.fields.get(membership.list_id, _NO_FIELDS).of(owner.state)
        tags, status = wanted_tags(owner.state) if owner.state.tags else (), self.inputs.settings.status_if_new
        return Contact(membership, email, fields, status, owner.customer_id, targets, tags)

    def _target(self, customer: Customer) -> Target:
        return Target(customer, self.target_lists[customer.customer_id].reason)

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

    def _with_departure(self, step: Move | Restore | Recheck) -> Step:
        prior = consent.known_to_have_left(step.entry, step.priors, step.membership, self.inputs.read_now)
        self.kept_out |= ids_of(step.targets) if prior is not None else set()
        return replace(step, kept_out_by=prior)

    def _may_rename(self, contact: Contact, entry: LedgerEntry | None, prior: PriorMembership) -> bool:
        old = prior.membership
        return (
            (entry is None or entry.state == "intended")
            and old.list_id == contact.membership.list_id
            and prior.entry is not None
            and prior.entry.state == "present"
            and prior.entry.intent is None
            and is_its_own(prior.entry, as_moment(self.inputs.now))
            and old not in self.wanted
            and old not in self.protected
            and len(contact.targets) == 1
            and self.departing.get(old) == [contact.targets[0].customer]
        )

    # Places that no customer wants

    def _plan_unwanted(self, membership: MembershipKey, successors: tuple[CustomerId, ...] = ()) -> None:
        # With successors, it may be unwanted in the end: then it must not stay, since nothing would look at it again.
        entry = self.related.entries.get(membership)
        departing = self.departing.get(membership, [])
        if entry is None or entry.state in ("archived", "gone") or self._is_gone(membership.list_id):
            return
        moved = any(customer.customer_id in self.destinations for customer in departing)
        targets = tuple(Target(customer, self._why_left(customer)) for customer in departing)
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
        self.steps.append(
            Archive(membership, entry, targets, moved, only_if_taken=membership in self.renamed, successors=successors)
        )

    def _note_list_of_others(self, membership: MembershipKey, targets: tuple[Target, ...]) -> None:
        detail = f"Another account has stored the list {membership.list_id}, so nothing is written there."
        self.no_calls.append(NoCall(targets, membership, Outcome.LEFT_ALONE, detail))

    def _why_left(self, customer: Customer) -> str:
        if customer.deleted:
            return "customer deleted"
        if customer.address is None:
            return "customer without an address"
        return self.target_lists[customer.customer_id].reason

    def _known_at(self, customer: Customer) -> MembershipKey | None:
        # A customer without a place of its own is known by that of its address.
        assert customer.address is not None
        there = (self.related.entries[membership] for membership in self.known.with_address.get(customer.address, ()))
        return next((entry.membership for entry in there if entry.state != "intended"), None)

    def _explain_the_rest(self) -> None:
        covered = ids_of(target for step in (*self.steps, *self.no_calls) for target in step.targets)
        for customer in self.related.changed.values():
            # If only its old member is taken off, nothing else would say for whom it waits.
            if customer.customer_id not in covered or self._is_withheld(customer):
                self.no_calls.append(self._no_call_for(customer))

    def _is_withheld(self, customer: Customer) -> bool:
        wants = not customer.deleted and customer.state.marketing_consent
        return wants and customer.address is not None and customer.address in self.withheld

    def _no_call_for(self, customer: Customer) -> NoCall:
        target_list = self.target_lists[customer.customer_id]
        targets = (Target(customer, target_list.reason),)
        membership = self._customer_status(customer).membership
        if customer.deleted:
            known = "This worker keeps no member for it any more." if membership else "It was on no list."
            return NoCall(targets, membership, Outcome.DELETED, f"The customer was deleted. {known}")
        if not customer.state.marketing_consent:
            detail = "Consent is withdrawn and there is no list to unsubscribe it from."
            return NoCall(targets, membership, Outcome.WITHHELD, detail)
        if customer.address is None:
            return NoCall(targets, membership, Outcome.NO_ADDRESS, "The customer has no e-mail address.")
        if customer.address in self.withheld:
            detail = "Another customer with this address withdrew consent, and consent belongs to the address."
            after = "Checked again when that customer changes."
            whom = self.withheld[customer.address]
            return NoCall(
                targets,
                membership or self._known_at(customer),
                Outcome.WITHHELD,
                detail,
                after,
                waits_for=whom,
            )
        return self.not_sent[customer.customer_id]
