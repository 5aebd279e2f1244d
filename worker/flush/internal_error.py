"""What an internal error costs: the customers of the step in which it showed, and nobody else."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from worker.errors import WorkerError
from worker.flush.outcomes import Outcome
from worker.flush.step_context import Halted
from worker.flush.step_result import StepResult
from worker.flush.steps import Target
from worker.model import MembershipKey

log = logging.getLogger("worker.flush")

EXPECTED = (Halted, WorkerError)
"""What is no internal error."""


def note(
    result: StepResult, targets: Sequence[Target], membership: MembershipKey | None, at: str, error: Exception
) -> None:
    """Notes an internal error, and logs it with its traceback; the customers stay changed."""
    who = ", ".join(target.customer.customer_id for target in targets)
    message = "account %s: customer %s met an internal error; see the traceback below"
    facts = {"account": result.account_id, "run": result.run, "customers": who, "count": len(targets)}
    log.error(message, result.account_id, who, exc_info=error, extra=facts)
    result.fail(targets)
    result.write(
        targets,
        membership,
        None,
        at=at,
        outcome=Outcome.FAULT,
        detail=f"An internal error of the worker ended it: {type(error).__name__}. The log has the traceback.",
    )
