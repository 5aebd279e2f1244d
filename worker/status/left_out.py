"""Customer fields that were not sent as billmywork has them, for people and programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from worker.fields.field_values import CUT
from worker.fields.merge_values import NO_SUCH_FIELD
from worker.model import ListId
from worker.store.accounts import AccountSettings
from worker.store.runs import LeftOut


def sentences(found: Iterable[LeftOut], settings: AccountSettings | None = None) -> list[str]:
    """Returns a line per list, such as "list Customers (a1): ADDRESS not sent for 12 of 662: no city.".

    Args:
        settings: of the account, for the names of the lists.
    """
    lists = groupby(found, key=lambda one: one.list_id)
    return [f"{_name(list_id, settings)}: {'; '.join(map(_told, fields))}." for list_id, fields in lists]


def _name(list_id: ListId, settings: AccountSettings | None) -> str:
    known = settings.list_of(list_id) if settings is not None else None
    return f"list {known.name} ({list_id})" if known is not None else f"list {list_id}"


def _told(one: LeftOut) -> str:
    share = f"{one.contacts} of {one.of}"
    if one.reason == NO_SUCH_FIELD:
        return f"{one.field}: {one.reason} ({share})"
    if one.reason.startswith(CUT):
        return f"{one.field} {one.reason} for {share}"
    return f"{one.field} not sent for {share}: {one.reason}"


def as_rows(found: Sequence[LeftOut]) -> list[dict[str, str | int]]:
    """Returns the fields as JSON data."""
    return [
        {"list_id": one.list_id, "field": one.field, "reason": one.reason, "contacts": one.contacts, "of": one.of}
        for one in found
    ]
