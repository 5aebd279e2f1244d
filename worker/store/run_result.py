"""How a flush ends, for an account and as a whole: the table that runs, commands and exit codes read. Pure.

The values are stored with each run, so they do not change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class RunResult(StrEnum):
    """How an account's part of a run ended, the best first; a run ended as the worst of its accounts."""

    DONE = "done"
    HELD = "held"
    PAUSED = "paused"
    INCOMPLETE = "incomplete"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ResultMeaning:
    """What an end means.

    Attributes:
        sentence: what happened.
        advice: what a person does about it, where nothing says it better; None where nothing is to be done.
        exit_code: of `flush` and `run --once`: 0 everything due was settled, 3 somebody must look, 1 it failed.
    """

    sentence: str
    advice: str | None
    exit_code: int

    def in_words(self, account_id: str, run: int) -> str | None:
        """Returns the advice for an account's part of a run."""
        return self.advice.format(account=account_id, run=run) if self.advice is not None else None


LOOK = 3
"""The exit code of what ran and leaves something for a person to look at."""

RESULT_MEANINGS: Mapping[RunResult, ResultMeaning] = {
    RunResult.DONE: ResultMeaning("Everything due was settled.", None, 0),
    RunResult.HELD: ResultMeaning(
        "Customers wait until somebody confirms or corrects something.",
        "See what to do: mailchimp-worker receipts --account {account} --outcome held",
        LOOK,
    ),
    RunResult.PAUSED: ResultMeaning(
        "Customers wait because the account or a list is paused.",
        "Correct it in Mailchimp, then: mailchimp-worker account resume {account}",
        LOOK,
    ),
    RunResult.INCOMPLETE: ResultMeaning(
        "Customers wait for the next flush, because Mailchimp did not take them, they were not read yet, or the "
        "worker met an internal error.",
        "The next flush tries again. See why: mailchimp-worker receipts --account {account} --run {run}",
        LOOK,
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
    """Returns the worst of these ends; done where there is none."""
    order = list(RunResult)
    return max(ends, key=order.index, default=RunResult.DONE)
