"""How a flush ended, for an account and as a whole, with meaning, advice and exit code of each result. Does no I/O.

The values are stored with each run, so they must not change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class RunResult(StrEnum):
    """How an account's part of a run ended, best first. The run as a whole ends as the worst of its accounts."""

    DONE = "done"
    HELD = "held"
    PAUSED = "paused"
    INCOMPLETE = "incomplete"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ResultMeaning:
    """The meaning of a result.

    Attributes:
        sentence: what happened.
        advice: what to do if the account's state has no better advice; None for nothing. With {account} and {run}.
        exit_code: of `flush` and `run --once`: 0 if everything due was settled, 3 if somebody must look, 1 for a
        failure.
    """

    sentence: str
    advice: str | None
    exit_code: int

    def in_words(self, account_id: str, run: int) -> str | None:
        """Returns the advice for an account's part of a run."""
        return self.advice.format(account=account_id, run=run) if self.advice is not None else None


INTERNAL_ERROR = "An internal error of the worker ended it; see the log."
"""The reason of a part or a run that met an error without advice."""
ATTENTION_CODE = 3
"""The exit code of a command that ran and left something for a person to look at."""

RESULT_MEANINGS: Mapping[RunResult, ResultMeaning] = {
    RunResult.DONE: ResultMeaning("Everything due was settled.", None, 0),
    RunResult.HELD: ResultMeaning(
        "Customers wait until somebody confirms or corrects something.",
        "See what to do: mailchimp-worker receipts --account {account} --outcome held",
        ATTENTION_CODE,
    ),
    RunResult.PAUSED: ResultMeaning(
        "Customers wait because the account or a list is paused.",
        "Correct it in Mailchimp, then: mailchimp-worker account resume {account}",
        ATTENTION_CODE,
    ),
    RunResult.INCOMPLETE: ResultMeaning(
        "Customers wait for the next flush, because Mailchimp did not take them, they were not read yet, or the "
        "worker met an internal error.",
        "The next flush tries again. See why: mailchimp-worker receipts --account {account} --run {run}",
        ATTENTION_CODE,
    ),
    RunResult.STOPPED: ResultMeaning(
        "The flush ended before everything was delivered.",
        "Nothing is lost: the next flush delivers the rest. To do it now: mailchimp-worker flush",
        1,
    ),
    RunResult.FAILED: ResultMeaning(
        "The account could not be delivered.",
        "The worker tries it again. If the reason stays, see its log. To try now: "
        "mailchimp-worker flush --account {account}",
        1,
    ),
}


def worst(ends: Iterable[RunResult]) -> RunResult:
    """Returns the worst of these results; DONE if there are none."""
    order = list(RunResult)
    return max(ends, key=order.index, default=RunResult.DONE)
