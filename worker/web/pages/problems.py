"""What an account's owner must do or can postpone, each with its text and one button. Does no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from worker.accounts.settings import missing
from worker.plan.outcomes import Outcome
from worker.status.account_state import AccountFacts
from worker.store.accounts import AccountSettings, Pause
from worker.store.held_counts import can_be_confirmed
from worker.store.run_result import RunResult
from worker.web.pages.held import held_in_words
from worker.web.pages.words import people

Level = Literal["problem", "step", "note"]


@dataclass(frozen=True, slots=True)
class Button:
    """The action for a problem.

    Attributes:
        to: the link's or form's target below the account's page; "" for that page, "#…" for a part of it.
    """

    label: str
    to: str
    post: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that an owner should know.

    Attributes:
        code: its kind, the same for every account.
        level: problem: something is wrong · step: the account is not set up yet · note: nothing to do.
    """

    code: str
    level: Level
    title: str
    text: str
    button: Button
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProblemContext:
    """What else the account's problems depend on.

    Attributes:
        away: why the worker gets no events; None if it does.
        next_sync: when it is, in words: "today at 10:00".
        sync_requested: whether a sync of the account begins within seconds.
        listed_from: from when on its syncs are known, in words; None if all are.
    """

    away: str | None
    customers: int
    next_sync: str
    sync_requested: bool = False
    listed_from: str | None = None


RESUME = Button("Try again", "/resume", post=True)
CHOOSE_LISTS = Button("Choose lists", "#lists")
REFRESH = Button("Refresh list", "/refresh", post=True)
CHECK = Button("Check again", "")
SYNC = Button("Sync now", "/sync", post=True)


def problems_of(facts: AccountFacts, context: ProblemContext, now: datetime) -> list[Problem]:
    """Returns what an owner must do or know, the most important first.

    While the account is not set up, only the next step is included: everything else follows from it.
    """
    settings = facts.settings
    steps = [*_steps(settings)]
    problems = [*_outside(settings, context), *steps[:1], *_lists(settings)]
    if not steps:
        # What the last sync left is what the next one takes up.
        syncing = facts.delivering or context.sync_requested
        left = () if syncing else _left_by_last_sync(facts, now)
        problems += [*left, *_refused(facts), *_notes(facts, context)]
    order = ("problem", "step", "note")
    return sorted(problems, key=lambda problem: order.index(problem.level))


def _outside(settings: AccountSettings, context: ProblemContext) -> Iterator[Problem]:
    if context.away is not None:
        yield Problem(
            "away",
            "problem",
            "We cannot receive changes from billmywork at the moment",
            f"{context.away} Nothing is lost: everything is sent once we are connected again. What you see here may be "
            "a little old.",
            CHECK,
        )
    if settings.unapplied is not None:
        yield Problem(
            "record_not_applied",
            "problem",
            "A part of your settings could not be read",
            "Nothing is sent to Mailchimp until our support has corrected this. They can see it already.",
            CHECK,
        )


def _steps(settings: AccountSettings) -> Iterator[Problem]:
    if settings.key_hint is None:
        text = "Enter an API key from Mailchimp. Then choose the lists that your customers go to."
        yield Problem("no_key", "step", "Connect your Mailchimp account", text, Button("Enter the key", "#connection"))
        return
    if settings.pause is not None:
        yield _key_refused(settings, settings.pause)
    elif settings.stored and all(mailing_list.gone for mailing_list in settings.stored):
        yield Problem(
            "other_account",
            "problem",
            "This key belongs to another Mailchimp account",
            f"The key {_key(settings)} finds none of the lists that you chose. Enter a key of the account that has "
            "them, or choose lists of this one. Each sync looks for your lists again.",
            Button("Enter another key", "#connection"),
        )
        return
    if settings.refreshed_at is None:
        text = "We are connected to Mailchimp. Next, let us read the lists that you have there."
        yield Problem("lists_not_read", "step", "Read your lists from Mailchimp", text, REFRESH)
        return
    lacking = {lack.code for lack in missing(settings)}
    if "no_stored_list" in lacking and not settings.lists:
        text = "Your Mailchimp account has no list yet. Create one in Mailchimp, then refresh."
        yield Problem("no_list", "step", "Create a list in Mailchimp", text, REFRESH)
    elif "no_stored_list" in lacking:
        text = "Tick at least one of your Mailchimp lists. Your customers go to these lists and to no other."
        yield Problem("no_stored_list", "step", "Choose the lists to use", text, CHOOSE_LISTS)
    elif lacking & {"no_master_list", "master_list_not_stored"}:
        text = "It is the list for customers that have no list of their own. Without it, nobody is added."
        yield Problem("no_master_list", "step", "Choose your master list", text, Button("Choose it", "#lists"))
    elif "master_list_gone" in lacking:
        master = settings.list_of(settings.master_list)
        name = f"“{master.name}”" if master is not None else "It"
        text = (
            f"{name} was your master list. Nobody is added without it. Each sync looks for it again. Only if you "
            "deleted it for good, choose another one."
        )
        title = "Your master list is no longer in Mailchimp"
        yield Problem("master_list_gone", "problem", title, text, Button("Choose another", "#lists"))
    if not settings.enabled:
        text = "You are connected, but nothing is sent to Mailchimp until you tick the box and save."
        yield Problem("not_enabled", "step", "Turn the integration on", text, Button("Go to the switch", "#enable"))


def _key_refused(settings: AccountSettings, pause: Pause) -> Problem:
    answer = _answer_in(pause)
    if "key" not in answer.lower():
        return Problem(
            "not_let_in",
            "problem",
            "Mailchimp does not let us into your account",
            "Log in to Mailchimp and check whether your account is in order there. Then let us try again. Nothing is "
            "lost: your customers are sent once Mailchimp lets us in.",
            RESUME,
            (f"Mailchimp's answer: {answer}",),
        )
    return Problem(
        "key_refused",
        "problem",
        "Mailchimp does not accept your key any more",
        f"Mailchimp refused the key {_key(settings)}. It may have been deleted or replaced there. Nothing is lost: "
        "your customers are sent once a key works again.",
        Button("Enter a new key", "#connection"),
        (f"Mailchimp's answer: {answer}",),
    )


def _answer_in(pause: Pause) -> str:
    """Returns Mailchimp's own words for a pause: "API Key Invalid"."""
    return pause.reason.rpartition(": ")[2].removesuffix(".")


def _key(settings: AccountSettings) -> str:
    return f"…{settings.key_hint}"


def _lists(settings: AccountSettings) -> Iterator[Problem]:
    if settings.stored and all(mailing_list.gone for mailing_list in settings.stored):
        return
    for mailing_list in settings.stored:
        if mailing_list.gone and mailing_list.list_id != settings.master_list:
            yield Problem(
                "list_gone",
                "problem",
                f"“{mailing_list.name}” is no longer in Mailchimp",
                "Its customers wait. Each sync looks for it again, and sends them once it is back. Only if you deleted "
                "it for good, untick it. Then we ask you before we add them to another list, because we cannot see who "
                "has unsubscribed.",
                CHOOSE_LISTS,
            )
        elif mailing_list.pause is not None:
            yield Problem(
                "list_paused",
                "problem",
                f"“{mailing_list.name}” accepts nobody",
                "Mailchimp refuses everyone whom we add to this list, so we stopped. Look at the list's settings in "
                "Mailchimp, such as required fields, then let us try again.",
                RESUME,
                (f"Mailchimp's answer: {_answer_in(mailing_list.pause)}",),
            )


def _left_by_last_sync(facts: AccountFacts, now: datetime) -> Iterator[Problem]:
    if facts.held_counts and facts.waiting:
        yield _held(facts, now)
    part = facts.part
    if part is None:
        return
    if (
        facts.waiting
        and not facts.held_counts
        and part.ended in (RunResult.INCOMPLETE, RunResult.STOPPED, RunResult.FAILED)
    ):
        yield Problem(
            "incomplete",
            "problem",
            "The last sync did not finish",
            f"{part.settled:,} of {people(part.to_do)} {'is' if part.to_do == 1 else 'are'} up to date. We try the "
            "others again automatically. Write to our support if this message stays.",
            SYNC,
        )
    waiting_for_owner = part.counts.get(Outcome.HELD, 0)
    # Who belongs on a list that is gone waits for that list: its own problem says so.
    explained = facts.held_counts or any(mailing_list.gone for mailing_list in facts.settings.stored)
    if facts.waiting and not explained and part.ended is RunResult.HELD and waiting_for_owner:
        yield Problem(
            "held_otherwise",
            "problem",
            f"{people(waiting_for_owner)} could not be sent",
            "Something about them must be corrected first. See who they are, and contact our support if the reason "
            "is not clear. Nothing is lost.",
            Button("See who", f"/people?run={facts.run}&outcome={Outcome.HELD}"),
        )


def _refused(facts: AccountFacts) -> Iterator[Problem]:
    part = facts.part
    if part is None:
        return
    refused = sum(part.counts.get(outcome, 0) for outcome in (Outcome.REFUSED, Outcome.SUPPRESSED))
    if refused:
        text = "Usually the address is misspelled. Correct it in billmywork, and the next sync sends them."
        target = f"/people?run={facts.run}&group=refused"
        yield Problem("refused", "note", f"{people(refused)} could not be added", text, Button("See who", target))


def _held(facts: AccountFacts, now: datetime) -> Problem:
    fresh = can_be_confirmed(facts.held_counts, now)
    lines = tuple(held_in_words(facts.settings, held_count) for held_count in facts.held_counts)
    only_moves = all(held_count.kind == "moves" for held_count in facts.held_counts)
    why = "We cannot see who has unsubscribed" if only_moves else "That is more than usual"
    text = (
        f"{why}, so we stopped and ask you first. If it is what you want, confirm it."
        if fresh
        else f"{why}, so we stopped to ask you. The numbers may have changed: let us count again."
    )
    button = Button("Review and confirm", "/held") if fresh else Button("Count again", "/sync", post=True)
    return Problem("held", "problem", "Some changes need your confirmation", text, button, lines)


def _notes(facts: AccountFacts, context: ProblemContext) -> Iterator[Problem]:
    if facts.bare is not None and facts.bare.reading:
        text = f"{people(facts.bare.count)} are left to read. The sync after that sends them."
        yield Problem("reading", "note", "We are still reading your customers", text, CHECK)
    elif facts.bare is not None:
        text = "We no longer have their details. We send each of them after their next change in billmywork."
        yield Problem("not_read", "note", f"We could not read {people(facts.bare.count)}", text, CHECK)
    if not context.customers:
        text = "Add or change a customer in billmywork, and they appear here within a minute."
        yield Problem("no_customer", "note", "We have not seen any of your customers yet", text, CHECK)
    elif facts.part is None and context.listed_from is not None:
        text = "What became of each person before that is still known: see “One person”."
        title = f"Your syncs are listed from {context.listed_from} on"
        yield Problem("earlier_syncs", "note", title, text, Button("Find a person", "/person"))
    elif facts.part is None:
        text = f"It is {context.next_sync}. You can also start it now."
        yield Problem("first_sync", "note", "Your first sync is still to come", text, SYNC)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of setting an account up, in order."""

    label: str
    to: str
    done: bool


def set_up(settings: AccountSettings) -> tuple[Step, ...]:
    """Returns the steps of setting an account up."""
    lacking = {lack.code for lack in missing(settings)}
    connected = settings.key_hint is not None
    no_master = lacking & {"no_stored_list", "no_master_list", "master_list_not_stored"}
    return (
        Step("Connect Mailchimp", "#connection", connected),
        Step("Choose lists", "#lists", connected and bool(settings.stored)),
        Step("Choose the master list", "#lists", connected and not no_master),
        Step("Turn it on", "#enable", settings.enabled),
    )
