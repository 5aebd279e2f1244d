"""One step, tried until it is done or patience is over: each try reads again and decides again, and writes once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from worker.flush.step_context import NOT_KNOWN, Guarded, StepContext
from worker.flush.step_result import StepResult
from worker.store.receipts import Receipt

TRIES_AT_ONCE = 3
"""Times that a step begins again without a wait: a write came too late after its reads, or a field was refused."""


def attempt(context: StepContext, do: Callable[[StepContext], StepResult]) -> StepResult:
    """Does a step, again while Mailchimp says "later" and patience lasts.

    Args:
        context: the account's.
        do: one try, with a desk whose calls have a connection to themselves.

    Returns:
        The report of the last try.

    Raises:
        Halted: no further call may be made.
    """
    tries, at_once = context.pacing.tries(), 0
    in_doubt: list[Receipt] = []
    while True:
        with context.pacing.together() as sender:
            result = do(replace(context, sender=Guarded(sender, context.sender.may_call)))
        if result.again and at_once < TRIES_AT_ONCE:
            at_once += 1
        elif result.later is None or not tries.again():
            _tell_too(result, in_doubt)
            return result
        in_doubt += [one for one in result.receipts if one.detail.startswith(NOT_KNOWN)]


def _tell_too(result: StepResult, in_doubt: Sequence[Receipt]) -> None:
    # The last try may have ended at a read, or elsewhere: what an earlier one sent is told all the same.
    told = {(one.customer_id, one.list_id, one.address) for one in result.receipts if one.outcome != "later"}
    told |= {(one.customer_id, one.list_id, one.address) for one in result.receipts if one.call in _calls(in_doubt)}
    for one in in_doubt:
        key = one.customer_id, one.list_id, one.address
        if key not in told:
            told.add(key)
            result.receipts.insert(0, one)


def _calls(receipts: Sequence[Receipt]) -> set[str | None]:
    return {one.call for one in receipts}
