"""Outcomes and times in words for a shop's owner. Does no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from worker.flush.published_outcome import has_no_valid_address
from worker.plan.outcomes import OTHER_ADDRESS_THERE, STATUS_MEANINGS, Outcome
from worker.store.accounts import AccountSettings
from worker.store.receipts import Receipt


class Group(StrEnum):
    """Groups of outcomes, in the order of charts and sentences."""

    ADDED = "added"
    UPDATED = "updated"
    OFF = "taken off"
    NOT_ADDED = "not added"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Words:
    """An outcome in words.

    Attributes:
        group: its group in charts; None if nothing happened that an owner would ask about.
        label: after a number: "3 added".
        sentence: about one person.
    """

    group: Group | None
    label: str
    sentence: str


OUTCOMES: Mapping[str, Words] = {
    Outcome.ADDED: Words(Group.ADDED, "added", "Added to the list."),
    Outcome.MOVED: Words(Group.ADDED, "moved", "Moved here from another list or from an earlier address."),
    Outcome.RESTORED: Words(Group.ADDED, "put back by us", "Back on the list that we had taken them off."),
    Outcome.FOUND: Words(
        Group.UPDATED, "on the list already", "On the list already. We updated their details and nothing else."
    ),
    Outcome.UPDATED: Words(Group.UPDATED, "updated", "Their details were updated."),
    Outcome.TAGGED: Words(Group.UPDATED, "with other tags", "Their tags were updated."),
    Outcome.RENAMED: Words(Group.UPDATED, "with a new address", "Their new address replaced the old one."),
    Outcome.SHARED: Words(None, "sharing an address", "Another customer has the same address and newer details."),
    Outcome.UNCHANGED: Words(None, "unchanged", "The list had these details already."),
    Outcome.ARCHIVED: Words(
        Group.OFF, "taken off", "Taken off the list, because none of your customers belongs there with this address."
    ),
    Outcome.UNSUBSCRIBED: Words(
        Group.OFF, "unsubscribed", "Unsubscribed, because they withdrew their consent or had not confirmed yet."
    ),
    Outcome.LEFT: Words(
        Group.NOT_ADDED,
        "left one of your lists",
        "Not added: they left one of your lists, or somebody took them off in Mailchimp.",
    ),
    Outcome.LEFT_ALONE: Words(
        None, "left as they are", "Left as they are, because the entry in Mailchimp is not ours to change."
    ),
    Outcome.GONE: Words(
        Group.NOT_ADDED,
        "deleted in Mailchimp",
        "Not put back: Mailchimp no longer has them. Somebody deleted them there, or they changed their address.",
    ),
    Outcome.DELETED: Words(None, "deleted here", "Deleted in billmywork, and not on any list."),
    Outcome.WITHHELD: Words(Group.NOT_ADDED, "without consent", "Not added: they do not want marketing mail."),
    Outcome.NO_ADDRESS: Words(Group.NOT_ADDED, "without an address", "Not added: they have no email address."),
    Outcome.REFUSED: Words(
        Group.NOT_ADDED, "not accepted", "Mailchimp refused them, or their email address is not valid."
    ),
    Outcome.SUPPRESSED: Words(Group.NOT_ADDED, "refused permanently", "Mailchimp does not accept this address."),
    Outcome.HELD: Words(Group.WAITING, "held", "Waiting, because something must be confirmed or corrected first."),
    Outcome.LATER: Words(
        Group.WAITING,
        "tried again",
        "Mailchimp gave no useful answer, or another customer with their address comes first.",
    ),
    Outcome.LIST_PAUSED: Words(Group.WAITING, "on a paused list", "Waiting, because their list is paused."),
    Outcome.LIST_GONE: Words(
        Group.WAITING, "on a missing list", "Waiting, because their list is no longer in Mailchimp."
    ),
    Outcome.ACCOUNT_STOPPED: Words(
        Group.WAITING, "not sent", "Waiting, because Mailchimp did not let us into this account."
    ),
    Outcome.FAULT: Words(Group.WAITING, "not sent", "Waiting, because of an error on our side."),
}
"""All outcomes. A test compares it with the table of outcomes."""

_REFUSED = Words(Group.NOT_ADDED, "refused", "Mailchimp refused them.")
_NO_VALID_ADDRESS = Words(
    Group.NOT_ADDED, "without a valid address", "Nothing was sent, because their email address is not valid."
)
_LEFT: Mapping[str, Words] = {
    OTHER_ADDRESS_THERE: Words(
        Group.NOT_ADDED, "with another address there", "Not added: they changed their email address in Mailchimp."
    ),
    STATUS_MEANINGS["cleaned"].next: Words(
        Group.NOT_ADDED, "not reachable", "Not added: mail to their email address came back."
    ),
}
"""How somebody left, by what is next."""
_UNKNOWN = Words(None, "others", "Something else happened.")

STATUSES: Mapping[str, str] = {
    "subscribed": "subscribed",
    "unsubscribed": "unsubscribed",
    "cleaned": "not reachable: mail to this address came back",
    "pending": "waiting to confirm by mail",
    "transactional": "known, but not subscribed",
    "archived": "archived",
}
"""A member's status in Mailchimp."""

LIST_REASONS: Mapping[str, str] = {
    "its own list": "the list chosen for this customer",
    "master list: no list given": "your master list, as no list is chosen for this customer",
    "master list: the list given is not stored": "your master list, as you do not use the customer's own list",
    "master list: the list given is gone from Mailchimp": "your master list, as the customer's own list is gone",
}
"""Why a customer is on a list; see :meth:`worker.store.accounts.AccountSettings.target_list`."""


def words_of(outcome: str) -> Words:
    """Returns an outcome in words; general ones for an outcome of a later release."""
    return OUTCOMES.get(outcome, _UNKNOWN)


def words_for(receipt: Receipt) -> Words:
    """Returns what a receipt says, in words: more exactly than its outcome."""
    if receipt.outcome == Outcome.REFUSED:
        return _NO_VALID_ADDRESS if has_no_valid_address(receipt) else _REFUSED
    if receipt.outcome == Outcome.LEFT:
        return _LEFT.get(receipt.next) or words_of(receipt.outcome)
    return words_of(receipt.outcome)


def list_name(settings: AccountSettings | None, list_id: str | None) -> str:
    """Returns the name of a list, or the id of one that is not known."""
    mailing_list = settings.list_of(list_id) if settings is not None else None
    return mailing_list.name if mailing_list is not None else str(list_id)


def people(number: int) -> str:
    """Returns a number of people: "1 person", "1,662 people"."""
    return f"{number:,} {'person' if number == 1 else 'people'}"


def of_status(status: str | None) -> str:
    """Returns a member's status in Mailchimp in plain words."""
    return STATUSES.get(status or "", status or "not known")


@dataclass(frozen=True, slots=True)
class Part:
    """How many receipts have one outcome; one person may have several.

    Attributes:
        text: "30 added".
    """

    outcome: str
    count: int
    text: str


def run_in_words(counts: Mapping[str, int]) -> dict[Group, tuple[Part, ...]]:
    """Returns the results of a sync by group, without empty groups."""
    parts_by_group: dict[Group, list[Part]] = {group: [] for group in Group}
    for outcome in [*OUTCOMES, *(set(counts) - set(OUTCOMES))]:
        count, words = counts.get(outcome, 0), words_of(outcome)
        if count and words.group is not None:
            parts_by_group[words.group].append(Part(str(outcome), count, f"{count:,} {words.label}"))
    return {group: tuple(parts) for group, parts in parts_by_group.items() if parts}


def by_group(counts: Mapping[str, int]) -> dict[Group, int]:
    """Returns the number of receipts per group, for a chart."""
    run = run_in_words(counts)
    return {group: sum(part.count for part in run.get(group, ())) for group in Group}
