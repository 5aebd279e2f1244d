"""What a person must do after a run. Does no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from worker.model import AccountId
from worker.status.account_state import ENDED_EARLY, TROUBLE, AccountState, State, advice_of
from worker.store.run_result import RESULT_MEANINGS, RunResult
from worker.store.runs import AccountRun, Run
from worker.text.plural import counted

_STATES_AFTER = {ended: TROUBLE - {State.HELD} if ended in ENDED_EARLY else TROUBLE for ended in RunResult}
"""States of an account whose advice fits how its part of a run ended."""
NAMED = 3
"""Accounts whose advice is printed; if there are more, only their number is."""


def advice_for(run: Run, part: AccountRun, states: Mapping[AccountId, AccountState]) -> str | None:
    """Returns what to do about an account's part of a run; None for nothing."""
    if part.ended is RunResult.DONE:
        return None
    state = states.get(part.account_id)
    if state is not None and state.state in _STATES_AFTER[part.ended] and state.advice is not None:
        return state.advice
    return advice_of(part, run.run)


def last_line(run: Run, states: Iterable[AccountState]) -> str:
    """Returns one line that says what a person must do after a run, if anything.

    Args:
        states: of the enabled accounts.
    """
    if run.ended is None:
        return "The run has not ended."
    by_account = {state.account_id: state for state in states}
    if run.ended is RunResult.DONE:
        return _done(run, by_account.values())
    lines = [
        f"account {part.account_id} is {part.ended}: {advice_for(run, part, by_account)}"
        for part in run.accounts
        if part.ended is not RunResult.DONE
    ]
    if not lines and run.ended is RunResult.FAILED:
        first = "correct that" if run.reason else "see the log of the worker for the reason"
        return f"To do: {first}, then try again: mailchimp-worker flush"
    if not lines:
        return f"To do: {RESULT_MEANINGS[run.ended].advice}"
    more = len(lines) - NAMED
    if more > 0:
        lines[NAMED:] = [f"{counted(more, 'more account')}: mailchimp-worker status"]
    return f"To do: {'; '.join(lines)}"


def _done(run: Run, states: Iterable[AccountState]) -> str:
    unready = [
        state
        for state in states
        if state.state in (State.NOT_READY, State.PAUSED) and run.account_id in (None, state.account_id)
    ]
    if not unready:
        return "Nothing to do: everything due was settled."
    # An account without changes is no part of the run, so nothing else says that its next customers will wait.
    first, *further = unready
    more = f" ({counted(len(further), 'more account')}: mailchimp-worker status)" if further else ""
    return f"Everything due was settled, but account {first.account_id} is {first}{more}"


def run_data(run: Run, states: Iterable[AccountState] = ()) -> dict[str, Any]:
    """Returns a run as JSON data.

    Args:
        states: the accounts' current states; without them the advice is the general one of each end.
    """
    by_account = {state.account_id: state for state in states}
    return {
        "run": run.run,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "trigger": run.trigger,
        "ended": run.ended,
        "reason": run.reason,
        "accounts": [asdict(part) | {"advice": advice_for(run, part, by_account)} for part in run.accounts],
    }
