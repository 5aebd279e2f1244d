"""What a flush, and its plan, learn before the first write: the lists' fields, and all that would be done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from worker.flushing.deciding.survey import Survey
from worker.flushing.neighbourhood import chunks
from worker.flushing.outcomes import UNREADABLE, Verdict, sort_answer
from worker.flushing.plan import Terms, make_plan
from worker.mailchimp.call import Answer, Sender
from worker.mailchimp.merge_fields import MergeField, merge_fields
from worker.model import ListId
from worker.staging.accounts import AccountSettings
from worker.staging.database import Database


@dataclass(frozen=True, slots=True)
class FieldsRead:
    """The merge fields of an account's stored lists.

    Attributes:
        found: of each list that answered.
        refused: what stood in the way, of the others; reading ends at the first that is not just a missing list.
    """

    found: Mapping[ListId, Sequence[MergeField]]
    refused: Mapping[ListId, Verdict]


def read_fields(sender: Sender, settings: AccountSettings) -> FieldsRead:
    """Reads the merge fields of every stored list that is there."""
    found: dict[ListId, Sequence[MergeField]] = {}
    refused: dict[ListId, Verdict] = {}
    for one in settings.stored:
        if one.gone:
            continue
        fields = merge_fields(sender, one.list_id)
        if not isinstance(fields, Answer):
            found[one.list_id] = fields
            continue
        refused[one.list_id] = UNREADABLE if fields.failure == "garbled" else sort_answer(fields)
        if fields.status != 404:
            break
    return FieldsRead(found, refused)


def survey_of(db: Database, terms: Terms, go_on: Callable[[], bool]) -> Survey:
    """Counts all that the account's flush would do, without doing any of it."""
    survey = Survey()
    for near in chunks(db, terms.settings.account_id):
        survey.take_in(make_plan(near, terms), len(near.changed))
        if not go_on():
            break
    return survey
