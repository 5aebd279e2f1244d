"""What a sync held back, and what confirming it does, in words for an account's owner. Does no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from worker.store.accounts import AccountSettings
from worker.store.held_counts import HeldCount
from worker.web.pages.words import people

ARCHIVED = (
    "Those who leave a list are archived in Mailchimp: off that list, and not deleted. They get no mail about it. "
    "Those who have not confirmed yet are unsubscribed instead."
)
ADDED_FIRST = "Those who now belong on another of your lists, or under another address, are added there first."
NOT_ADDED = "People who we know left one of your lists are not added."
WELCOME_MAIL = (
    "People who are added to a list get its welcome mail, if it has one. Those who have not confirmed yet get a mail "
    "to confirm."
)
CONFIRM_MAIL = "Mailchimp sends everybody who is added a mail to confirm. Only those who confirm are subscribed."


def held_in_words(settings: AccountSettings, held_count: HeldCount) -> str:
    """Returns what was held back on a list: "5,000 people would leave “Readers”."."""
    name = _name(settings, held_count)
    if held_count.kind == "moves":
        return (
            f"{people(held_count.count)} would be added to another of your lists, because {name} is no longer in your "
            "Mailchimp account."
        )
    return f"{people(held_count.count)} would leave {name}."


def confirmed_in_words(settings: AccountSettings, held_count: HeldCount) -> str:
    """Returns what the owner agrees to, for one list."""
    name = _name(settings, held_count)
    if held_count.kind == "moves":
        return f"Yes, add {people(held_count.count)} from {name}, even those who unsubscribed without our knowing"
    return f"Yes, {people(held_count.count)} may leave {name}"


def held_remarks(
    settings: AccountSettings, counts: Sequence[HeldCount], when: Callable[[datetime], str]
) -> Iterator[str]:
    """Yields what confirming does to the people, in sentences that are true for each of them.

    Args:
        when: returns a moment in words: "today at 10:00".
    """
    moves = [held_count for held_count in counts if held_count.kind == "moves"]
    if moves:
        yield "They go to their own list if you use it, and otherwise to your master list."
    for held_count in moves:
        name, on_list = _name(settings, held_count), settings.list_of(held_count.list_id)
        if on_list is None or on_list.departures_lost or on_list.departures_read_at is None:
            unseen = f"We have no complete record of who unsubscribed from {name}."
        else:
            unseen = f"We cannot see who unsubscribed from {name} since {when(on_list.departures_read_at)}."
        yield f"{unseen} People who did are added too."
    if len(moves) < len(counts):
        yield ARCHIVED
        yield ADDED_FIRST
    yield NOT_ADDED
    yield CONFIRM_MAIL if settings.status_if_new == "pending" else WELCOME_MAIL


def _name(settings: AccountSettings, held_count: HeldCount) -> str:
    known = settings.list_of(held_count.list_id)
    return f"“{known.name}”" if known is not None else f"the list {held_count.list_id}"
