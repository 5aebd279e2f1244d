"""Encodes rows as Kafka records, and decodes them. Does no I/O.

A key is a JSON array: the kind of row and its primary key, the account first. A value is a JSON object of columns with
the number of the format as ``format``. ``{}`` marks a deleted row: compaction would remove a null, and a worker that
had not read it would keep the row. Only a row that must be erased becomes a null.

Formats: 1 has no number, of the releases before there was one · 2 adds it. A release that adds columns keeps the
number: earlier releases preserve unknown columns when they write the row. A release that changes the meaning of a
column, of ``{}`` or of a key raises the number: earlier releases do not apply such a record, and deliver nothing for
its account.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast

from worker.changelog.column_types import checked
from worker.changelog.table_rows import KEY_PARTS, ChangelogRow
from worker.model import AccountId
from worker.sqlite.rows import Kind, json_bytes

FORMAT = 2
"""The format that this release writes, and the highest that it reads."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that this release cannot apply.

    Attributes:
        account_id: its account, for which nothing may be delivered meanwhile; None if the key does not tell.
    """

    reason: str
    account_id: AccountId | None


def key_of(row: ChangelogRow) -> bytes:
    """Returns the record's key."""
    return json_bytes((row.kind, *row.key))


def value_of(row: ChangelogRow, *, erase: bool) -> bytes | None:
    """Returns the record's value.

    Args:
        erase: whether a deleted row must be erased.
    """
    if row.row is None:
        return None if erase else b"{}"
    return json_bytes({"format": FORMAT, **row.row})


def changelog_row_of(key: bytes | None, value: bytes | None) -> ChangelogRow | Unreadable:
    """Returns the complete row in a record, or why this release cannot apply it."""
    try:
        named = json.loads(key or b"null")
    except (ValueError, RecursionError):
        named = None
    if not isinstance(named, list) or len(named) < 2 or not all(isinstance(part, str) for part in named):
        return Unreadable("its key is not a JSON array of texts", None)
    kind, *parts = named
    account_id = AccountId(parts[0]) if kind != "topic" and parts[0] else None
    row_kind = cast("Kind", kind)
    if len(parts) != KEY_PARTS.get(kind):
        return Unreadable(f"this release knows no record of the kind {kind} with {len(parts)} parts", account_id)
    try:
        "".join(parts).encode()
        row = None if value is None else _row(row_kind, json.loads(value))
    except (TypeError, ValueError, RecursionError) as error:
        return Unreadable(f"its value cannot be used: {error}", account_id)
    return ChangelogRow(row_kind, tuple(parts), row)


def account_of(row: ChangelogRow | Unreadable) -> AccountId | None:
    """Returns the account of a row or record; None if it does not tell."""
    if isinstance(row, Unreadable):
        return row.account_id
    return AccountId(row.key[0]) if row.kind != "topic" and row.key[0] else None


def _row(kind: Kind, row: Any) -> dict[str, Any] | None:
    if not isinstance(row, dict):
        raise TypeError("it is not a JSON object")
    if not row:
        return None
    number = row.pop("format", 1)
    if not isinstance(number, int) or not 1 <= number <= FORMAT:
        raise ValueError(f"it has format {number}, and this release reads up to {FORMAT}")
    return checked(kind, row)
