"""What happens next to a person, in words for a shop's owner, from the sentences that `explain` prints. Does no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from worker.flush.brake import CONFIRM
from worker.plan import outcomes
from worker.plan.outcomes import MEANINGS, STATUS_MEANINGS, Outcome
from worker.status.explanation import NextKind, NextStep

_BY_THE_FORM = "Only they can join again, by the sign-up form of your list"
_TRIES_AGAIN = "The next sync tries again."
WORDS: Mapping[str, str] = {
    outcomes.NOTHING_NEXT: "Nothing, until you change this customer in billmywork.",
    outcomes.ONLY_THE_PERSON: f"{_BY_THE_FORM}.",
    outcomes.NOTICED_DAILY: f"{_BY_THE_FORM}. The next daily sync notices it.",
    MEANINGS[Outcome.UNSUBSCRIBED].next: f"{_BY_THE_FORM}, and only once they want marketing mail again in billmywork. "
    "Until then, each change there unsubscribes them.",
    outcomes.NOT_PUT_BACK: "We do not put them back, because they may have left. We look again when you change this "
    "customer in billmywork.",
    outcomes.OTHER_ADDRESS_THERE: "Nothing, while they have another address in Mailchimp. We look again when you "
    "change this customer in billmywork.",
    STATUS_MEANINGS["cleaned"].next: "They are added again once they have another email address in billmywork.",
    outcomes.ANOTHER_ADDRESS: "They are sent once they have another email address in billmywork.",
    outcomes.ONCE_CONFIRMED: "They are subscribed once they confirm Mailchimp's mail.",
    outcomes.UNTIL_CLEARED: "Nothing, until their email address changes or our support lets us try again.",
    MEANINGS[Outcome.REFUSED].next: "We try again on a later day, or when their email address changes.",
    outcomes.WITH_THE_OTHER: "We look again when the other customer with this address changes.",
    outcomes.CHECKED_AGAIN: "The next sync looks again.",
    outcomes.NEXT_FLUSH: _TRIES_AGAIN,
    MEANINGS[Outcome.FAULT].next: _TRIES_AGAIN,
    CONFIRM: "They are sent once you confirm it. See Settings.",
    MEANINGS[Outcome.HELD].next: "They are sent once you have confirmed or corrected what is waiting. See Settings.",
    outcomes.ONCE_FIXED: "They are sent once that is corrected. See Settings.",
    outcomes.ONCE_READ: "They are sent once we can read who left your other list.",
    MEANINGS[Outcome.LIST_PAUSED].next: "They are sent once the list takes people again. See Settings.",
    MEANINGS[Outcome.LIST_GONE].next: "Each sync looks for the list. They are sent once it is back, or once you use "
    "another one.",
    MEANINGS[Outcome.ACCOUNT_STOPPED].next: "They are sent once Mailchimp lets us into your account. See Settings.",
}
"""By the sentence that receipts and outcomes have."""


def in_words(sentence: str, when: Callable[[str], str]) -> str:
    """Returns what a receipt or an outcome says of what happens next.

    Args:
        when: returns a time in the words of the page: "today at 10:00".

    Returns:
        A sentence of a later release as it is.
    """
    if sentence.startswith(outcomes.RETRIED_AFTER):
        return retry(when(sentence.removeprefix(outcomes.RETRIED_AFTER).removesuffix(".")))
    return WORDS.get(sentence, sentence)


def has_words(sentence: str) -> bool:
    """Returns whether owners read other words than a receipt's sentence about what happens next."""
    return sentence.startswith(outcomes.RETRIED_AFTER) or sentence in WORDS


def next_in_words(step: NextStep, when: Callable[[str], str], next_sync: str) -> str:
    """Returns what happens next to a person.

    Args:
        when: returns a time in the words of the page: "today at 10:00".
        next_sync: when the next sync is, in such words.
    """
    match step.kind:
        case NextKind.NOT_KNOWN:
            first = "Nothing: this customer is no longer in billmywork."
        case NextKind.NOT_SET_UP:
            first = "They are sent once the settings are complete. See Settings."
        case NextKind.NEXT_FLUSH:
            first = f"They are sent by the next sync, {next_sync}."
        case NextKind.RETRY:
            first = retry(when(step.at or ""))
        case NextKind.AS_SAID:
            first = in_words(step.first, when)
    return first if step.meanwhile is None else f"{first} {in_words(step.meanwhile, when)}"


def retry(at: str) -> str:
    """Returns when somebody whom Mailchimp refused is tried again."""
    return f"The first sync after {at} tries again, or the next one once their address changes."
