"""Customer fields that were not sent as billmywork has them, in words."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from worker.fields.field_values import CUT
from worker.fields.merge_values import NO_SUCH_FIELD
from worker.store.accounts import AccountSettings
from worker.store.runs import LeftOut


def sentences(left_out: Iterable[LeftOut], settings: AccountSettings | None = None) -> list[str]:
    """Returns a line per list, such as "list Customers (a1): ADDRESS not sent for 12 of 662: no city.".

    Args:
        settings: of the account, for the names of the lists.
    """
    lists = groupby(left_out, key=lambda row: row.list_id)
    return [
        f"list {settings.label_of(list_id) if settings is not None else list_id}: {'; '.join(map(_in_words, fields))}."
        for list_id, fields in lists
    ]


def _in_words(row: LeftOut) -> str:
    share = f"{row.contacts} of {row.of}"
    if row.reason == NO_SUCH_FIELD:
        return f"{row.field}: {row.reason} ({share})"
    if row.reason.startswith(CUT):
        return f"{row.field} {row.reason} for {share}"
    return f"{row.field} not sent for {share}: {row.reason}"
