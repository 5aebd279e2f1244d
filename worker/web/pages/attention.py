"""What an account's owner must attend to now, for the pages and the API alike."""

from __future__ import annotations

from worker.sqlite.lock import is_locked
from worker.status.live import read_live
from worker.store import customers
from worker.web.account_reader import CurrentState
from worker.web.call import Call
from worker.web.pages.layout import when
from worker.web.pages.problems import Problem, ProblemContext, problems_of


def needing_attention(call: Call, now: CurrentState) -> list[Problem]:
    """Returns what the account's owner must do or know, the most important first."""
    context = ProblemContext(_away(call), customers.count_of(call.db, call.account), when(call, now.next_flush))
    return problems_of(now.facts, context, call.now)


def _away(call: Call) -> str | None:
    path = call.context.app.config.staging.path
    live = read_live(path) if is_locked(path) else None
    if live is not None and live.away_since is not None:
        return f"The connection has been away since {when(call, live.away_since)}."
    return None
