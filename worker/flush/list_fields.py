"""The merge fields of an account's stored lists, read before anything is planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.flush.answers import UNREADABLE, ClassifiedAnswer, classify
from worker.mailchimp.call import Answer, Sender
from worker.mailchimp.merge_fields import MergeField, merge_fields
from worker.model import ListId
from worker.store.accounts import AccountSettings


@dataclass(frozen=True, slots=True)
class FieldsRead:
    """The merge fields of an account's stored lists.

    Attributes:
        found: of each list that answered.
        refused: what prevented it, of the others; reading ends at the first that is not just a missing list.
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
