"""What a plan depends on beside the customers. From it follow each customer's list, and the fields sent there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from worker.fields.field_hashes import FieldHashes
from worker.fields.field_mapping import DEFAULT, mapping_of
from worker.fields.merge_values import Fields, merge_fields
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


@dataclass(frozen=True, slots=True)
class TargetList:
    """The list for one customer.

    Attributes:
        reason: why this list.
        obstacle: why nothing may be sent for the customer now; None if it may.
    """

    list_id: ListId
    reason: str
    obstacle: str | None = None


def choose(
    customer: Customer,
    settings: AccountSettings,
    membership: MembershipKey | None,
    not_read: Mapping[ListId, str] = MappingProxyType({}),
) -> TargetList:
    """Chooses the list: the customer's own if the account stored it, else the master list.

    Args:
        settings: complete ones, with a master list.
        membership: where the customer was last settled.
        not_read: lists whose departures are unknown now, and why.

    Returns:
        The list and why. An obstacle if that list is paused, or the customer would move off a list that could not be
        read, or was on one that is gone from Mailchimp: then the account must choose, because nobody can know who left.
    """
    own = settings.list_of(customer.state.list_id)
    master = settings.master_list
    assert master is not None, "a flush of an account without a master list is never planned"
    if customer.state.list_id is None:
        choice = TargetList(master, NO_LIST_GIVEN)
    elif own is None or not own.stored:
        choice = TargetList(master, NOT_STORED)
    elif not own.gone:
        choice = TargetList(own.list_id, OWN_LIST)
    elif membership is not None and membership.list_id == own.list_id:
        state = "is gone from Mailchimp; each flush looks for it again"
        if own.list_id in not_read:
            state = f"could not be read: {not_read[own.list_id]}"
        return TargetList(own.list_id, OWN_LIST, obstacle=f"the list {own.name} {state}")
    else:
        choice = TargetList(master, LIST_GONE)
    chosen = settings.list_of(choice.list_id)
    if chosen is not None and chosen.pause is not None:
        return TargetList(
            choice.list_id, choice.reason, obstacle=f"the list {chosen.name} is paused: {chosen.pause.reason}"
        )
    if membership is not None and membership.list_id != choice.list_id and membership.list_id in not_read:
        why = not_read[membership.list_id]
        obstacle = f"who left the list {membership.list_id}, from which it moves, could not be read: {why}"
        return TargetList(choice.list_id, choice.reason, obstacle=obstacle)
    return choice
