"""What a fault of this worker costs: the customers of the step in which it showed, and nobody else."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from worker.errors import WorkerError
from worker.flush.step_context import Halted
from worker.flush.step_result import StepResult
from worker.flush.steps import Target
from worker.model import MembershipKey

log = logging.getLogger("worker.flush")

FAULT = "fault"
"""The outcome of its receipts."""
EXPECTED = (Halted, WorkerError)
"""What is no fault of this worker."""


def note(
    result: StepResult, targets: Sequence[Target], membership: MembershipKey | None, at: str, error: Exception
) -> None:
    """Notes a fault in a report, and logs it with its traceback; the customers stay changed."""
    who = ", ".join(target.customer.customer_id for target in targets)
    log.error("account %s: customer %s met a fault of the worker", result.account_id, who, exc_info=error)
    result.fail(targets)
    result.write(
        targets,
        membership,
        None,
        at=at,
        outcome=FAULT,
        detail=f"A fault of the worker ended it: {type(error).__name__}. Its log has the traceback.",
        then="Tried again by the next flush; report it, with the traceback.",
    )
