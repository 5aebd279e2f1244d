"""All outcomes of a customer in a flush: the table behind receipts, commands, status and docs/explain.md.

The values are stored in receipts, so they never change. Does no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from worker.store.customer_outcomes import NO_MEMBER, Cause
from worker.store.run_result import RunResult, worst


class Outcome(StrEnum):
    """A receipt's result for a customer."""

    ADDED = "added"
    FOUND = "found"
    UPDATED = "updated"
    TAGGED = "tagged"
    RENAMED = "renamed"
    MOVED = "moved"
    RESTORED = "restored"
    SHARED = "shared"
    UNCHANGED = "unchanged"
    ARCHIVED = "archived"
    UNSUBSCRIBED = "unsubscribed"
    LEFT = "left"
    LEFT_ALONE = "left alone"
    GONE = "gone"
    DELETED = "deleted"
    WITHHELD = "withheld"
    NO_ADDRESS = "no address"
    REFUSED = "refused"
    SUPPRESSED = "suppressed"
    HELD = "held"
    LATER = "later"
    LIST_PAUSED = "list paused"
    LIST_GONE = "list gone"
    ACCOUNT_STOPPED = "account stopped"
    FAULT = "fault"


NOTHING_NEXT = "Nothing until the customer changes."
ONLY_THE_PERSON = "Only the person can join again, through the list's form."
NOTICED_DAILY = f"{ONLY_THE_PERSON[:-1]}; the worker notices it with the next daily flush."
CHECKED_AGAIN = "Checked again by the next flush."
NEXT_FLUSH = "Tried again by the next flush."
RETRIED_AFTER = "Tried again after "
"""Followed by a time, as text, and a full stop."""
ANOTHER_ADDRESS = "Sent when the customer has another address."
NOT_PUT_BACK = "Not added again, because the person may have left. The worker looks again when the customer changes."
OTHER_ADDRESS_THERE = (
    "Nothing is written while the member has another address in Mailchimp. The worker looks again when the customer "
    "changes."
)
UNTIL_CLEARED = "Nothing until an operator clears it (resync --clear-suppressed) or the address changes."
ONCE_CONFIRMED = "Subscribed once the person confirms."
ONCE_FIXED = "Will be sent once this is fixed."
ONCE_READ = "Will be sent once that list can be read."
WITH_THE_OTHER = "Checked again when that customer changes."
"""What happens next. :data:`worker.web.pages.next_steps.WORDS` says each to owners."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of an outcome.

    Attributes:
        sentence: what happened.
        next: what happens next, unless the receipt says more.
        settles: whether this revision of the customer needs nothing more; None if it depends on the reason.
        final: whether later events of the customer cannot change it: only the person or an operator can.
        needs_somebody: whether an operator or the account must act.
        waits_as: how an account's part ends that leaves a customer changed with this outcome; None if it settles it.
    """

    sentence: str
    next: str = NOTHING_NEXT
    settles: bool | None = True
    final: bool = False
    needs_somebody: bool = False
    waits_as: RunResult | None = None


MEANINGS: Mapping[str, Meaning] = MappingProxyType(
    {
        Outcome.ADDED: Meaning("The contact was added to its list."),
        Outcome.FOUND: Meaning("The contact was a member already. Its fields were written, and its status left alone."),
        Outcome.UPDATED: Meaning("The member's fields were written. Its status was left alone."),
        Outcome.TAGGED: Meaning("The member's tags were written. Its status and its fields were left alone."),
        Outcome.RENAMED: Meaning("The member got the customer's new address."),
        Outcome.MOVED: Meaning("The contact was added to its new list, or with its new address."),
        Outcome.RESTORED: Meaning("The member that this worker had archived was restored with its former status."),
        Outcome.SHARED: Meaning("Another customer has the same address and newer fields; the member has those."),
        Outcome.UNCHANGED: Meaning("The member has these fields already, so no call was needed."),
        Outcome.ARCHIVED: Meaning(
            "The member was archived, because no customer belongs on this list with this address."
        ),
        Outcome.UNSUBSCRIBED: Meaning(
            "The member was unsubscribed: consent was withdrawn, or a pending member's customer moved or was deleted.",
            "Only the person can join again, and only once consent is given: until then, each event unsubscribes it.",
            final=True,
        ),
        Outcome.LEFT: Meaning(
            "Not added, because the member left a list: it unsubscribed, bounced, or was archived or deleted there.",
            ONLY_THE_PERSON,
            final=True,
        ),
        Outcome.LEFT_ALONE: Meaning("Nothing was written, because the member belongs to somebody else or has changed."),
        Outcome.GONE: Meaning(
            "Mailchimp no longer has the member. It was deleted there, or the person changed the address.",
            NOT_PUT_BACK,
            final=True,
        ),
        Outcome.DELETED: Meaning("The customer was deleted and had no member to archive."),
        Outcome.WITHHELD: Meaning("Consent is withdrawn, and there was no member to unsubscribe."),
        Outcome.NO_ADDRESS: Meaning("The customer has no e-mail address."),
        Outcome.REFUSED: Meaning(
            "Mailchimp refused the contact, or its e-mail address is not valid.",
            "Tried again when the address changes, or on the date in the receipt.",
            settles=None,
            waits_as=RunResult.INCOMPLETE,
        ),
        Outcome.SUPPRESSED: Meaning(
            "Mailchimp refuses this address permanently.",
            UNTIL_CLEARED,
            final=True,
            needs_somebody=True,
        ),
        Outcome.HELD: Meaning(
            "Nothing was sent, because somebody must confirm or correct something first.",
            "Sent when that is done. The receipt says what to do.",
            settles=False,
            needs_somebody=True,
            waits_as=RunResult.HELD,
        ),
        Outcome.LATER: Meaning(
            "Mailchimp gave no useful answer, or another customer with the address comes first.",
            NEXT_FLUSH,
            settles=False,
            waits_as=RunResult.INCOMPLETE,
        ),
        Outcome.LIST_PAUSED: Meaning(
            "The list refuses every contact, so the worker paused it.",
            "Sent when the list is corrected in Mailchimp and the account is resumed (account resume).",
            settles=False,
            needs_somebody=True,
            waits_as=RunResult.PAUSED,
        ),
        Outcome.LIST_GONE: Meaning(
            "The list no longer exists in Mailchimp.",
            "Each flush looks for the list, and sends this once it is back, or another list is stored (lists store).",
            settles=False,
            needs_somebody=True,
            waits_as=RunResult.HELD,
        ),
        Outcome.ACCOUNT_STOPPED: Meaning(
            "Mailchimp accepts no calls for this account.",
            "Sent when the account has a working key (account connect) or is resumed (account resume).",
            settles=False,
            needs_somebody=True,
            waits_as=RunResult.PAUSED,
        ),
        Outcome.FAULT: Meaning(
            "An internal error of the worker ended the step. The log has the traceback.",
            "Tried again by the next flush. Report it, with the traceback.",
            settles=False,
            needs_somebody=True,
            waits_as=RunResult.INCOMPLETE,
        ),
    }
)


@dataclass(frozen=True, slots=True)
class StatusMeaning:
    """The meaning of a member's status that was read outside of a customer's own steps."""

    outcome: Outcome
    reason: str
    next: str
    caused_by: Cause


STATUS_MEANINGS: Mapping[str, StatusMeaning] = {
    "unsubscribed": StatusMeaning(Outcome.LEFT, "The person unsubscribed from the list.", ONLY_THE_PERSON, "person"),
    "cleaned": StatusMeaning(
        Outcome.LEFT,
        "Mailchimp cleaned the member, because mail to its address was returned.",
        "Added again when the customer has another address.",
        "mailchimp",
    ),
    "archived": StatusMeaning(Outcome.LEFT, "Somebody archived the member in Mailchimp.", ONLY_THE_PERSON, "mailchimp"),
    "subscribed": StatusMeaning(Outcome.FOUND, "The person is subscribed to the list again.", NOTHING_NEXT, "person"),
    "confirmed": StatusMeaning(Outcome.FOUND, "The person confirmed, and is subscribed.", NOTHING_NEXT, "person"),
    "there": StatusMeaning(Outcome.FOUND, "The customer is a member of the list.", NOTHING_NEXT, "billmywork"),
    "renamed": StatusMeaning(
        Outcome.GONE,
        "The person changed the address of the member in Mailchimp.",
        OTHER_ADDRESS_THERE,
        "person",
    ),
    "pending": StatusMeaning(Outcome.FOUND, "The person has been asked by mail to confirm.", ONCE_CONFIRMED, "person"),
    "unconfirmed": StatusMeaning(
        Outcome.LEFT,
        "The person left the list, and is not subscribed again: a form waits for confirmation, or it only bought.",
        ONCE_CONFIRMED,
        "person",
    ),
    NO_MEMBER: StatusMeaning(Outcome.GONE, MEANINGS[Outcome.GONE].sentence, MEANINGS[Outcome.GONE].next, "mailchimp"),
}
"""By status, and by what happened to the member otherwise."""
OTHER_STATUS = StatusMeaning(Outcome.FOUND, "The member's status was changed in Mailchimp.", NOTHING_NEXT, "mailchimp")
"""Of any other status."""


def end_of(end: RunResult, unsettled: int, counts: Mapping[str, int], retries: int = 0) -> RunResult:
    """Returns how an account's part of a run ended.

    Args:
        end: what ended it early; done if all customers were processed.
        unsettled: changed customers that it did not settle.
        counts: outcome to number of receipts.
        retries: those of the unsettled that Mailchimp refused and that are tried again on a date. Before that they are
            not due; in the run that was refused, a receipt says so.
    """
    if end is not RunResult.DONE or unsettled <= 0:
        return end
    ends = (MEANINGS[outcome].waits_as for outcome in waiting_outcomes(counts))
    otherwise = RunResult.DONE if unsettled <= retries else RunResult.INCOMPLETE
    return worst([result for result in ends if result is not None] or [otherwise])


def waiting_outcomes(counts: Mapping[str, int]) -> set[str]:
    """Returns the outcomes of a part that may leave a customer changed."""
    return {outcome for outcome, count in counts.items() if count and MEANINGS[outcome].waits_as is not None}
