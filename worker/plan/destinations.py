"""Where each customer belongs, and why nothing is sent for those that belong nowhere. Does no I/O."""

from __future__ import annotations

from worker.model import LONGEST_ADDRESS, AddressKey, Customer, CustomerId, MembershipKey, is_address, newest_first
from worker.plan.consent import KnownPlaces
from worker.plan.inputs import PlanInputs
from worker.plan.outcomes import (
    ANOTHER_ADDRESS,
    ONCE_FIXED,
    ONCE_READ,
    RETRIED_AFTER,
    UNTIL_CLEARED,
    WITH_THE_OTHER,
    Outcome,
)
from worker.plan.related_customers import RelatedCustomers
from worker.plan.steps import NoCall, Target
from worker.store.accounts import TargetList
from worker.store.forgotten import Departed
from worker.store.ledger import CustomerStatus


class Destinations:
    """Where the customers of a chunk belong, by their lists, addresses and consent.

    Attributes:
        wanted: place to the customers that belong there, newest first.
        protected: places whose members stay, though nobody may be wanted there.
        departing: place to the changed customers that leave it.
        places: those that changed customers belong at or leave.
    """

    def __init__(self, related: RelatedCustomers, inputs: PlanInputs, known: KnownPlaces) -> None:
        """Chooses each customer's place."""
        self._related = related
        self._inputs = inputs
        self._known = known
        self._target_lists: dict[CustomerId, TargetList] = {}
        self._place_of: dict[CustomerId, MembershipKey] = {}
        self._not_sent: dict[CustomerId, NoCall] = {}
        self.protected: set[MembershipKey] = set()
        customers = known.customers.values()
        # For a deleted customer too, until its withdrawal is done.
        self._withdrew: dict[AddressKey, CustomerId] = {
            customer.address: customer.customer_id
            for customer in customers
            if customer.address is not None
            and not customer.state.marketing_consent
            and (customer.changed or not customer.deleted)
        }
        wanted: dict[MembershipKey, list[Customer]] = {}
        for customer in customers:
            if (place := self._choose(customer)) is not None:
                self._place_of[customer.customer_id] = place
                wanted.setdefault(place, []).append(customer)
        self.wanted = {place: newest_first(claimants) for place, claimants in wanted.items()}
        self.departing: dict[MembershipKey, list[Customer]] = {}
        self.places: set[MembershipKey] = set()
        for customer in related.changed.values():
            self._add_places(customer)

    def of(self, customer: Customer) -> MembershipKey | None:
        """Returns where a customer belongs; None if it belongs nowhere, or nothing may be sent for it."""
        return self._place_of.get(customer.customer_id)

    def target(self, customer: Customer) -> Target:
        """Returns a customer's part in a step, with the reason for its list."""
        return Target(customer, self._target_lists[customer.customer_id].reason)

    def is_withheld(self, customer: Customer) -> bool:
        """Returns whether a customer could be sent, had nobody with its address withdrawn consent."""
        wants = not customer.deleted and customer.state.marketing_consent
        return wants and customer.address is not None and customer.address in self._withdrew

    def why_left(self, customer: Customer) -> str:
        """Returns why a customer is no longer where it was."""
        if customer.deleted:
            return "customer deleted"
        if customer.address is None:
            return "customer without an address"
        return self._target_lists[customer.customer_id].reason

    def why_nowhere(self, customer: Customer) -> NoCall:
        """Returns why nothing is sent for a customer that no step is for."""
        targets = (self.target(customer),)
        membership = self._known.status_of(customer.customer_id).membership
        if customer.deleted:
            known = "This worker keeps no member for it any more." if membership else "It was on no list."
            return NoCall(targets, membership, Outcome.DELETED, f"The customer was deleted. {known}")
        if not customer.state.marketing_consent:
            detail = "Consent is withdrawn and there is no list to unsubscribe it from."
            return NoCall(targets, membership, Outcome.WITHHELD, detail)
        if customer.address is None:
            return NoCall(targets, membership, Outcome.NO_ADDRESS, "The customer has no e-mail address.")
        if (whom := self._withdrew.get(customer.address)) is not None:
            detail = "Another customer with this address withdrew consent, and consent belongs to the address."
            place = membership or self._member_at(customer.address)
            return NoCall(targets, place, Outcome.WITHHELD, detail, WITH_THE_OTHER, waits_for=whom)
        return self._not_sent[customer.customer_id]

    def _choose(self, customer: Customer) -> MembershipKey | None:
        settled = self._known.status_of(customer.customer_id).membership
        target_list = self._inputs.settings.target_list(customer, settled, self._inputs.not_read)
        self._target_lists[customer.customer_id] = target_list
        if customer.deleted or not customer.state.marketing_consent or customer.address is None:
            return None
        if customer.address in self._withdrew:
            # Unsubscribed on behalf of another customer, who may share it: the member itself stays.
            self.protected.update(self._known.with_address.get(customer.address, ()))
            return None
        place = MembershipKey(target_list.list_id, customer.address)
        if customer.customer_id not in self._related.changed and settled not in (None, place):
            # It is known to have left there, and must not come here just because others do.
            return None
        no_call = self._why_not_sent(customer, place)
        if no_call is None:
            return place
        self._not_sent[customer.customer_id] = no_call
        # Its leftover members elsewhere stay too: removing them would settle the customer.
        self.protected |= {place, *self._known.of(customer.customer_id)}
        return None

    def _add_places(self, customer: Customer) -> None:
        known, destination = self._known.of(customer.customer_id), self.of(customer)
        self.places.update(known if destination is None else (*known, destination))
        for place in known:
            if place != destination:
                self.departing.setdefault(place, []).append(customer)

    def _member_at(self, address: AddressKey) -> MembershipKey | None:
        # A customer without a place of its own is known by that of its address.
        there = (self._related.entries[place] for place in self._known.with_address.get(address, ()))
        return next((entry.membership for entry in there if entry.state != "intended"), None)

    def _why_not_sent(self, customer: Customer, place: MembershipKey) -> NoCall | None:
        targets, inputs = (self.target(customer),), self._inputs
        if (obstacle := self._target_lists[customer.customer_id].obstacle) is not None:
            return NoCall(targets, None, Outcome.HELD, f"Held back: {obstacle}.", ONCE_FIXED)
        if not is_address(place.address):
            short = len(place.address) <= LONGEST_ADDRESS
            subject = repr(customer.state.email) if short else f"A text of {len(place.address)} letters"
            detail = f"{subject} is not an e-mail address, so nothing was sent."
            return NoCall(targets, None, Outcome.REFUSED, detail, ANOTHER_ADDRESS)
        entry = self._related.entries.get(place)
        is_member = entry is not None and entry.state == "present"  # then it is updated, not added
        if not is_member and inputs.departed.digests and (why := _erased(customer, place.address, inputs.departed)):
            detail = (
                f"Not put on list {place.list_id} as {customer.state.email}: {why}, and an opt-out goes with the "
                "person to every list."
            )
            return NoCall(targets, None, Outcome.LEFT, detail)
        if refusal := _earlier_refusal(targets, self._known.status_of(customer.customer_id), inputs.now):
            return refusal
        # The address may have left a list that could not be read. On its own list nobody is added over a member.
        unread = sorted(inputs.not_read.keys() - {place.list_id})
        if is_member or not unread:
            return None
        detail = f"Held back: who left the list {unread[0]} could not be read: {inputs.not_read[unread[0]]}."
        return NoCall(targets, None, Outcome.HELD, detail, ONCE_READ)


def _erased(customer: Customer, address: AddressKey, departed: Departed) -> str | None:
    if departed.has_address(address):
        return "somebody with this address left a list of this account, and has been erased since"
    if departed.has_customer(customer.customer_id):
        return "this customer left a list of this account, and has been erased since"
    return None


def _earlier_refusal(targets: tuple[Target, ...], customer_status: CustomerStatus, now: str) -> NoCall | None:
    # By Mailchimp. A lasting one is a departure in the ledger, which decides.
    if not customer_status.refuses(targets[0].customer.address) or customer_status.lasting:
        return None
    if customer_status.retry_at is None:
        detail = f"Mailchimp refuses this address: {customer_status.refusal}."
        return NoCall(targets, None, Outcome.SUPPRESSED, detail, UNTIL_CLEARED)
    if customer_status.retry_at > now:
        detail = f"Mailchimp refused it {customer_status.attempts} times: {customer_status.refusal}."
        then = f"{RETRIED_AFTER}{customer_status.retry_at}."
        return NoCall(targets, None, Outcome.HELD, detail, then, customer_status.retry_at)
    return None
