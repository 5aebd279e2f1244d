"""One step, tried until it is done or patience is over: each try reads again and decides again, and writes once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from worker.flush.step_context import Guarded, StepContext
from worker.flush.step_result import StepResult

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
    while True:
        with context.pacing.together() as sender:
            result = do(replace(context, sender=Guarded(sender, context.sender.may_call)))
        if result.again and at_once < TRIES_AT_ONCE:
            at_once += 1
        elif result.later is None or not tries.again():
            return result
