"""Checks whether a flush now would deliver everything of an account: its settings, Mailchimp and a plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from worker.accounts.settings import lists_not_there, missing_before_calls
from worker.app import App
from worker.errors import WorkerError
from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import Sender
from worker.mailchimp.errors import error_for
from worker.mailchimp.lists import all_lists
from worker.sqlite.database import Database
from worker.status.account_state import TROUBLE, AccountFacts, AccountState, State, state_of
from worker.status.checks import Finding, Level, ok
from worker.text.plural import counted

_LEVELS = {State.NOT_READY: Level.FAILED, State.PAUSED: Level.FAILED, State.FAILED: Level.ATTENTION}


def check_account(app: App, db: Database, facts: AccountFacts) -> Finding:
    """Returns whether a flush now would deliver everything of an account. Read-only, here and in Mailchimp."""
    settings, state = facts.settings, state_of(facts, app.clock())
    subject = f"account {settings.account_id}"
    if state.state is State.OFF:
        return ok(subject, "Disabled: nothing is due.")
    if state.state is State.PAUSED or missing_before_calls(settings):
        return _by_state(subject, state)
    try:
        with app.open_client_of(db, settings.account_id) as sender:
            problem = next(_problems(app, db, facts, sender), None)
    except WorkerError as error:
        return Finding(subject, Level.FAILED, error.message, error.advice)
    if problem is not None:
        return problem
    # Mailchimp has all stored lists, so a flush would find again those that were gone.
    lists = tuple(replace(known, gone_at=None) if known.stored else known for known in settings.lists)
    state = state_of(replace(facts, settings=replace(settings, lists=lists)), app.clock())
    if state.state in TROUBLE:
        return _by_state(subject, state)
    waiting = f"; {counted(facts.waiting, 'customer')} to deliver" if facts.waiting else ""
    return ok(subject, f"Mailchimp accepts its API key and has its lists{waiting}.")


def _by_state(subject: str, state: AccountState) -> Finding:
    return Finding(subject, _LEVELS.get(state.state, Level.ATTENTION), state.message or str(state.state), state.advice)


def _problems(app: App, db: Database, facts: AccountFacts, sender: Sender) -> Iterator[Finding]:
    settings = facts.settings
    subject = f"account {settings.account_id}"
    lists = all_lists(sender)
    if isinstance(lists, Answer):
        raise error_for(lists)
    if (problem := lists_not_there(settings, {mailing_list.list_id for mailing_list in lists})) is not None:
        yield Finding(subject, Level.FAILED, *problem)
    if not facts.waiting:
        return
    plan = app.plan_of(db, settings, sender)
    if plan.problem is not None:
        again = "Try again. If that does not help, see Mailchimp's status page."
        yield Finding(subject, Level.FAILED, plan.problem, plan.advice or again)
    if plan.notices:
        yield Finding(subject, Level.ATTENTION, " ".join(plan.notices))
    if customers := sum(count for (_, kind), count in plan.summary.counts.items() if kind == "held back"):
        advice = f"See why: mailchimp-worker flush --account {settings.account_id} --plan"
        message = f"A flush now would hold {counted(customers, 'customer')} back."
        yield Finding(subject, Level.ATTENTION, message, advice)
