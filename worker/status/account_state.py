"""The state of an account, and what a person should do about it. Does no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from worker.accounts.settings import LOOKED_FOR, missing
from worker.model import AccountId
from worker.plan.outcomes import MEANINGS, Outcome, waiting_outcomes
from worker.store.accounts import AccountSettings
from worker.store.bare_customers import Bare
from worker.store.held_counts import HeldCount, can_be_confirmed
from worker.store.run_result import RESULT_MEANINGS, RunResult
from worker.store.runs import AccountRun
from worker.store.waiting import NOBODY, Waiting
from worker.text.plural import counted


class State(StrEnum):
    """The state of an account."""

    OFF = "off"
    """Disabled on purpose: nothing is due."""
    NOT_READY = "not ready"
    """Something is missing before anything can be delivered."""
    PAUSED = "paused"
    HELD = "held"
    FAILED = "failed"
    INCOMPLETE = "incomplete"
    DELIVERING = "delivering"
    WAITING = "waiting"
    """Customers wait for the next flush, and nothing prevents it."""
    UP_TO_DATE = "up to date"


TROUBLE = frozenset({State.NOT_READY, State.PAUSED, State.HELD, State.FAILED, State.INCOMPLETE})
"""States in which the next flush may not deliver everything."""
ENDED_EARLY = frozenset({RunResult.STOPPED, RunResult.FAILED})
"""Ends of a run that did not get to all customers."""
_FROM_END = {
    RunResult.FAILED: State.FAILED,
    RunResult.INCOMPLETE: State.INCOMPLETE,
    RunResult.STOPPED: State.INCOMPLETE,
}


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What is stored about an account.

    Attributes:
        waits: its changed customers.
        run: number of the last run in which the account had something to do; None if there was none.
        retry_at: when it is retried after a failure, before the daily flush.
        bare: customers staged without their fields before the account was connected, and not filled yet.
    """

    settings: AccountSettings
    waits: Waiting = NOBODY
    held_counts: tuple[HeldCount, ...] = ()
    run: int | None = None
    part: AccountRun | None = None
    retry_at: datetime | None = None
    delivering: bool = False
    bare: Bare | None = None

    @property
    def waiting(self) -> int:
        """How many of its customers wait for the next daily flush."""
        return self.waits.count


@dataclass(frozen=True, slots=True)
class AccountState:
    """The state of an account, explained.

    Attributes:
        message: the reason; None if the state explains itself.
        advice: what to do; None for nothing.
    """

    account_id: AccountId
    state: State
    message: str | None = None
    advice: str | None = None

    def __str__(self) -> str:
        """Returns all of it on one line."""
        return " ".join([f"{self.state}:" if self.message else self.state, *filter(None, (self.message, self.advice))])


def state_of(facts: AccountFacts, now: datetime) -> AccountState:
    """Returns the state of an account: the first thing that prevents its delivery."""
    account_id = facts.settings.account_id
    if facts.delivering:
        return AccountState(account_id, State.DELIVERING)
    if not facts.settings.enabled and facts.settings.key_hint is not None:
        return AccountState(account_id, State.OFF, "The integration is not enabled.")
    hindrance = next(_hindrances(facts, now), None)
    if hindrance is not None:
        return hindrance
    if facts.bare is not None and facts.bare.reading:
        return AccountState(account_id, State.WAITING, facts.bare.in_words())
    if not facts.waits.compared:
        message = "This worker took it over, and compares its customers with the ledger before it knows who waits."
        return AccountState(account_id, State.WAITING, message)
    return AccountState(account_id, State.WAITING if facts.waiting else State.UP_TO_DATE)


def _hindrances(facts: AccountFacts, now: datetime) -> Iterator[AccountState]:
    settings, account_id = facts.settings, facts.settings.account_id
    for lack in missing(settings):
        state = State.PAUSED if lack.code == "paused" else State.NOT_READY
        yield AccountState(account_id, state, lack.message, lack.advice)
    for mailing_list in settings.stored:
        if mailing_list.gone:
            message = f"List {mailing_list.name} ({mailing_list.list_id}) is gone from Mailchimp; its customers wait."
            store = f"mailchimp-worker lists store {account_id} LIST..."
            advice = f"{LOOKED_FOR} store another one: {store} The next flush then says what to confirm."
            yield AccountState(account_id, State.HELD, message, advice)
        if mailing_list.pause is not None:
            message = f"List {mailing_list.name} ({mailing_list.list_id}) is paused: {mailing_list.pause.reason}."
            advice = f"Correct it in Mailchimp, then: mailchimp-worker account resume {account_id}"
            yield AccountState(account_id, State.PAUSED, message, advice)
    if not facts.waiting:
        return
    # An early end says nothing of what an earlier run held back.
    if facts.held_counts and (facts.part is None or facts.part.ended not in ENDED_EARLY):
        yield _held(facts, now)
    if facts.part is not None and facts.run is not None:
        yield from _by_last_part(facts, facts.part, facts.run)


def held_in_words(settings: AccountSettings, held_count: HeldCount) -> str:
    """Returns what was held back on a list: "5000 members would leave list Master (a1b2c3d4e5)"."""
    name = f"list {settings.label_of(held_count.list_id)}"
    if held_count.kind == "moves":
        return f"{counted(held_count.count, 'customer')} would move off {name}, which cannot be read any more"
    return f"{counted(held_count.count, 'member')} would leave {name}"


def _held(facts: AccountFacts, now: datetime) -> AccountState:
    account_id = facts.settings.account_id
    message = f"Held back: {'; '.join(held_in_words(facts.settings, held_count) for held_count in facts.held_counts)}."
    confirm = f"mailchimp-worker flush --account {account_id} --confirm"
    advice = f"If the changes are right, confirm them within an hour of the flush: {confirm}"
    if not can_be_confirmed(facts.held_counts, now):
        flush = f"mailchimp-worker flush --account {account_id}"
        advice = f"If the changes are right: {flush}, and then within an hour: {confirm}"
    return AccountState(account_id, State.HELD, message, advice)


def _by_last_part(facts: AccountFacts, part: AccountRun, run: int) -> Iterator[AccountState]:
    account_id = facts.settings.account_id
    customers = sum(count for outcome, count in part.counts.items() if MEANINGS[outcome].waits_as is RunResult.HELD)
    if part.ended is RunResult.HELD and customers:
        message = f"{counted(customers, 'customer')} held in run {run}."
        yield AccountState(account_id, State.HELD, message, RESULT_MEANINGS[RunResult.HELD].in_words(account_id, run))
    elif part.ended in _FROM_END:
        reason = part.message or RESULT_MEANINGS[part.ended].sentence
        message = f"Run {run} settled {part.settled} of {part.to_do}. {reason}"
        yield AccountState(account_id, _FROM_END[part.ended], message, advice_of(part, run))


def advice_of(part: AccountRun, run: int) -> str | None:
    """Returns the general advice for how an account's part of a run ended; None if nothing is to be done."""
    if part.ended is RunResult.INCOMPLETE and not part.counts:
        return "The next flush tries again."  # no receipt says why; the part's message does
    if part.ended is RunResult.INCOMPLETE and waiting_outcomes(part.counts) == {Outcome.REFUSED}:
        return (
            "Each is tried again by the first flush after the date in its receipt. See why: "
            f"mailchimp-worker receipts --account {part.account_id} --run {run}"
        )
    return RESULT_MEANINGS[part.ended].in_words(part.account_id, run)
