"""What a fault of this worker costs: the customers of the step in which it showed, and nobody else."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from worker.errors import WorkerError
from worker.flushing.deciding.steps import Share
from worker.flushing.doing.desk import Halted
from worker.flushing.doing.report import Report
from worker.model import Place

log = logging.getLogger("worker.flushing")

FAULT = "fault"
"""The outcome of its receipts."""
EXPECTED = (Halted, WorkerError)
"""What is no fault of this worker."""


def note(report: Report, shares: Sequence[Share], place: Place | None, at: str, error: Exception) -> Report:
    """Notes a fault in a report, and logs it with its traceback; the customers stay changed."""
    who = ", ".join(share.customer.customer_id for share in shares)
    log.error("account %s: customer %s met a fault of the worker", report.account_id, who, exc_info=error)
    report.fail(shares)
    report.write(
        shares,
        place,
        None,
        at=at,
        outcome=FAULT,
        detail=f"A fault of the worker ended it: {type(error).__name__}. Its log has the traceback.",
        then="Tried again by the next flush; report it, with the traceback.",
    )
    return report
