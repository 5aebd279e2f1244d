"""Decides how an account's part of a run ends. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from worker.accounts.settings import Missing
from worker.ended import Ended, worst
from worker.flush.outcomes import MEANINGS


def end_of(how: Ended, unsettled: int, counts: Mapping[str, int]) -> Ended:
    """Returns how an account's part of a run ended.

    Args:
        how: what ended it early; done where it went through all its customers.
        unsettled: changed customers that it did not settle.
        counts: outcome to how many receipts had it.
    """
    if how is not Ended.DONE or unsettled <= 0:
        return how
    ends = (MEANINGS[outcome].waits_as for outcome, count in counts.items() if count)
    return worst([one for one in ends if one is not None] or [Ended.INCOMPLETE])


def end_of_missing(lacking: Sequence[Missing]) -> Ended:
    """Returns how the part of an account ends that lacks something before anything is delivered for it.

    An account that was switched off has nothing due.
    """
    codes = {lack.code for lack in lacking}
    if not codes or "not_enabled" in codes:
        return Ended.DONE
    return Ended.PAUSED if "paused" in codes else Ended.HELD
