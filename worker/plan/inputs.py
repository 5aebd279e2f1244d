"""What a plan depends on, beside the customers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from worker.fields.field_hashes import FieldHashes
from worker.fields.field_mapping import DEFAULT, mapping_of
from worker.fields.merge_values import Fields, merge_fields
from worker.mailchimp.merge_fields import MergeField
from worker.model import CustomerState, ListId, MembershipKey
from worker.plan.related_customers import RelatedCustomers
from worker.store.accounts import AccountSettings
from worker.store.forgotten import Departed
from worker.store.ledger import LedgerEntry


@dataclass(frozen=True, slots=True)
class PlanInputs:
    """What a plan depends on, beside the customers.

    Attributes:
        merge_fields: of each stored list that is not gone.
        state_if_missing: sent as the state of an address without one; if empty, such an address is not sent.
        hashes: recognise what was sent.
        of_others: lists that other accounts have stored: nothing is written to them.
        not_read: lists whose departures are unknown now, and why: nobody moves off them.
        read_now: lists whose members were just read, so that departures are known without another read.
        learnt: entries that are not in the ledger yet, because a plan that is only shown writes nothing.
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

    def fields_of(self, state: CustomerState, list_id: ListId) -> Fields:
        """Returns what to send of a customer to a list, as the account chose."""
        on_list = self.settings.list_of(list_id)
        mapping = DEFAULT if on_list is None or on_list.merge_fields is None else mapping_of(on_list)
        return merge_fields(state, self.merge_fields.get(list_id, ()), self.state_if_missing, mapping)

    def with_departures(self, related: RelatedCustomers) -> RelatedCustomers:
        """Returns the customers with the departures learnt about their addresses."""
        if not self.learnt:
            return related
        addresses = {customer.address for customer in (*related.changed.values(), *related.unchanged.values())}
        addresses |= {membership.address for membership in related.entries}
        more = {membership: entry for membership, entry in self.learnt.items() if membership.address in addresses}
        return replace(related, entries={**related.entries, **more})
