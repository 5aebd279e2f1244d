"""One step, tried until it is done or patience is over: each try reads again and decides again, and writes once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from worker.flushing.doing.desk import Desk, Guarded
from worker.flushing.doing.report import Report

TRIES_AT_ONCE = 3
"""Times that a step begins again without a wait: a write came too late after its reads, or a field was refused."""


def attempt(desk: Desk, do: Callable[[Desk], Report]) -> Report:
    """Does a step, again while Mailchimp says "later" and patience lasts.

    Args:
        desk: the account's.
        do: one try, with a desk whose calls have a connection to themselves.

    Returns:
        The report of the last try.

    Raises:
        Halted: no further call may be made.
    """
    tries, at_once = desk.pacing.tries(), 0
    while True:
        with desk.pacing.together() as sender:
            report = do(replace(desk, sender=Guarded(sender, desk.sender.may_call)))
        if report.again and at_once < TRIES_AT_ONCE:
            at_once += 1
        elif report.later is None or not tries.again():
            return report
