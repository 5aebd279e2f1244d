"""Plans an account chunk by chunk, and counts all that its flush would do."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from worker.flush.plan import make_plan
from worker.flush.plan_summary import PlanSummary
from worker.flush.related_customers import RelatedCustomers, apart, chunks
from worker.flush.steps import Plan
from worker.flush.terms import Terms
from worker.store.database import Database


def plans(
    db: Database,
    terms: Terms,
    near: RelatedCustomers,
    faulty: Callable[[RelatedCustomers, Exception], None] = lambda part, error: None,
) -> Iterator[tuple[RelatedCustomers, Plan]]:
    """Plans a chunk. Where that meets a fault of this worker, each part of it, and gives up those alone that meet it.

    Args:
        db: the staging database.
        terms: what everything is planned by.
        near: the chunk.
        faulty: called with a part that cannot be planned.
    """
    try:
        whole = make_plan(near, terms)
    except Exception as error:
        if len(near.changed) == 1:
            faulty(near, error)
            return
    else:
        yield near, whole
        return
    for part in apart(db, terms.settings.account_id, near):
        try:
            plan = make_plan(part, terms)
        except Exception as error:
            faulty(part, error)
        else:
            yield part, plan


def summary_of(db: Database, terms: Terms, go_on: Callable[[], bool]) -> PlanSummary:
    """Counts all that the account's flush would do, without doing any of it."""
    summary = PlanSummary()
    reading = chunks(db, terms.settings.account_id)
    while go_on() and (near := next(reading, None)) is not None:
        for part, plan in plans(db, terms, near):
            summary.take_in(plan, len(part.changed))
    return summary
