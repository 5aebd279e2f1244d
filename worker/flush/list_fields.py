"""The merge fields of an account's stored lists, read before anything is planned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from worker.flush.answers import UNREADABLE, ClassifiedAnswer, classify
from worker.mailchimp.call import Answer, Sender
from worker.mailchimp.merge_fields import MergeField, merge_fields
from worker.model import ListId
from worker.store.accounts import AccountSettings

SIDE_BY_SIDE = 8
"""Lists that are read at one time; the sender decides how many of its calls are in flight."""


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
    """Reads the merge fields of every stored list that is there: of the first alone, of the others side by side."""
    found: dict[ListId, Sequence[MergeField]] = {}
    refused: dict[ListId, ClassifiedAnswer] = {}
    there = [one.list_id for one in settings.stored if not one.gone]
    for list_id, fields in _read(sender, there):
        if not isinstance(fields, Answer):
            found[list_id] = fields
            continue
        refused[list_id] = UNREADABLE if fields.failure == "garbled" else classify(fields)
        if fields.status != 404:
            break
    return FieldsRead(found, refused)


def _read(sender: Sender, list_ids: Sequence[ListId]) -> Iterator[tuple[ListId, Sequence[MergeField] | Answer]]:
    # The first shows whether the account is called at all.
    for list_id in list_ids[:1]:
        yield list_id, merge_fields(sender, list_id)
    if others := list_ids[1:]:
        with ThreadPoolExecutor(min(len(others), SIDE_BY_SIDE), thread_name_prefix="fields") as pool:
            yield from zip(others, pool.map(partial(merge_fields, sender), others), strict=True)
