"""What a plan goes by, beside the customers: by it each customer gets its list, and its fields there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from worker.accounts.field_mapping import DEFAULT, mapping_of
from worker.flush.field_hashes import FieldHashes
from worker.flush.merge_values import Fields, merge_fields
from worker.flush.related_customers import RelatedCustomers
from worker.mailchimp.merge_fields import MergeField
from worker.model import Customer, CustomerState, ListId, MembershipKey
from worker.store.accounts import AccountSettings
from worker.store.forgotten import Departed
from worker.store.ledger import LedgerEntry

OWN_LIST = "its own list"
NO_LIST_GIVEN = "master list: no list given"
NOT_STORED = "master list: the list given is not stored"
LIST_GONE = "master list: the list given is gone from Mailchimp"


@dataclass(frozen=True, slots=True)
class TargetList:
    """The list for one customer.

    Attributes:
        reason: why that list.
        held: why nothing may be sent for the customer now; None where it may.
    """

    list_id: ListId
    reason: str
    held: str | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What a plan goes by, beside the customers.

    Attributes:
        merge_fields: of each stored list that is not gone.
        state_if_missing: what is sent as the state of an address without one; empty leaves the address out.
        hashes: recognise what was sent.
        of_others: lists that other accounts have stored: nothing is written to them.
        not_read: lists of which it is not known now who left them, and why: nobody moves off them.
        read_now: lists whose members were read a moment ago: who left them by then is known without another read.
        learnt: entries that the ledger does not have yet, since a plan that is only shown writes nothing.
    """

    settings: AccountSettings
    merge_fields: Mapping[ListId, Sequence[MergeField]]
    state_if_missing: str
    now: str
    departed: Departed
    hashes: FieldHashes
    of_others: frozenset[ListId] = frozenset()
    not_read: Mapping[ListId, str] = field(default_factory=dict)
    read_now: frozenset[ListId] = frozenset()
    learnt: Mapping[MembershipKey, LedgerEntry] = field(default_factory=dict)

    def target_list(self, customer: Customer, membership: MembershipKey | None) -> TargetList:
        """Chooses a customer's list: its own where the account stored it, else the master list.

        Args:
            membership: where the customer was last settled.

        Returns:
            The list and why; held where that list is paused, or where the customer was on a list that is gone from
            Mailchimp: then the account must choose, because it can no longer be known who had left it. Held too where
            it would move off a list that could not be read.
        """
        own = self.settings.list_of(customer.state.list_id)
        master = self.settings.master_list
        assert master is not None, "a flush of an account without a master list is never planned"
        if customer.state.list_id is None:
            choice = TargetList(master, NO_LIST_GIVEN)
        elif own is None or not own.stored:
            choice = TargetList(master, NOT_STORED)
        elif not own.gone:
            choice = TargetList(own.list_id, OWN_LIST)
        elif membership is not None and membership.list_id == own.list_id:
            return TargetList(
                own.list_id, OWN_LIST, f"the list {own.name} is gone from Mailchimp: store another instead"
            )
        else:
            choice = TargetList(master, LIST_GONE)
        chosen = self.settings.list_of(choice.list_id)
        if chosen is not None and chosen.pause is not None:
            return replace(choice, held=f"the list {chosen.name} is paused: {chosen.pause.reason}")
        if membership is not None and membership.list_id != choice.list_id and membership.list_id in self.not_read:
            why = self.not_read[membership.list_id]
            return replace(
                choice, held=f"who left the list {membership.list_id}, from which it moves, could not be read: {why}"
            )
        return choice

    def fields_of(self, state: CustomerState, list_id: ListId) -> Fields:
        """Returns what to send of a customer to a list, as the account chose."""
        on_list = self.settings.list_of(list_id)
        mapping = DEFAULT if on_list is None or on_list.merge_fields is None else mapping_of(on_list)
        return merge_fields(state, self.merge_fields.get(list_id, ()), self.state_if_missing, mapping)

    def with_departures(self, near: RelatedCustomers) -> RelatedCustomers:
        """Returns the customers with what was learnt of their addresses."""
        if not self.learnt:
            return near
        addresses = {one.address for one in (*near.changed.values(), *near.others.values())}
        addresses |= {membership.address for membership in near.entries}
        more = {membership: entry for membership, entry in self.learnt.items() if membership.address in addresses}
        return replace(near, entries={**near.entries, **more})
