"""What a flush, and its plan, learn before the first write: the lists' fields, and all that would be done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from worker.flush.answers import UNREADABLE, ClassifiedAnswer, classify
from worker.flush.plan import make_plan
from worker.flush.plan_summary import PlanSummary
from worker.flush.related_customers import RelatedCustomers, apart, chunks
from worker.flush.steps import Plan
from worker.flush.terms import Terms
from worker.mailchimp.call import Answer, Sender
from worker.mailchimp.merge_fields import MergeField, merge_fields
from worker.model import ListId
from worker.store.accounts import AccountSettings
from worker.store.database import Database


@dataclass(frozen=True, slots=True)
class FieldsRead:
    """The merge fields of an account's stored lists.

    Attributes:
        found: of each list that answered.
        refused: what stood in the way, of the others; reading ends at the first that is not just a missing list.
    """

    found: Mapping[ListId, Sequence[MergeField]]
    refused: Mapping[ListId, ClassifiedAnswer]


def read_fields(sender: Sender, settings: AccountSettings) -> FieldsRead:
    """Reads the merge fields of every stored list that is there."""
    found: dict[ListId, Sequence[MergeField]] = {}
    refused: dict[ListId, ClassifiedAnswer] = {}
    for one in settings.stored:
        if one.gone:
            continue
        fields = merge_fields(sender, one.list_id)
        if not isinstance(fields, Answer):
            found[one.list_id] = fields
            continue
        refused[one.list_id] = UNREADABLE if fields.failure == "garbled" else classify(fields)
        if fields.status != 404:
            break
    return FieldsRead(found, refused)


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
        faulty: told of a part that cannot be planned.
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
