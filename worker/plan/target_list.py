"""Which list a customer belongs on, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from worker.model import Customer, ListId, MembershipKey
from worker.store.accounts import AccountSettings

OWN_LIST = "its own list"
NO_LIST_GIVEN = "master list: no list given"
NOT_STORED = "master list: the list given is not stored"
LIST_GONE = "master list: the list given is gone from Mailchimp"


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
        return TargetList(
            own.list_id, OWN_LIST, obstacle=f"the list {own.name} is gone from Mailchimp: store another instead"
        )
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
