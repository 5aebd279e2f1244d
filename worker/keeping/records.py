"""Rows as Kafka keeps them, and back. Pure.

A key is a JSON array: the kind of row and what names it. A value is a JSON object of columns; ``{}`` stands for a row
that is gone, since compaction would take a null away, and whoever had not read it would keep the row. Only who must be
forgotten becomes a null.
"""

from __future__ import annotations

import json
from typing import Any, get_args

from worker.staging.kept import Kept, Kind

_KINDS = get_args(Kind)
_PARTS = {"place": 3, "customer": 2, "forgotten": 2, "account": 1}


def key_of(kept: Kept) -> bytes:
    """Returns the record's key."""
    return json.dumps([kept.kind, *kept.key], ensure_ascii=False, separators=(",", ":")).encode()


def value_of(kept: Kept, *, erase: bool) -> bytes | None:
    """Returns the record's value.

    Args:
        kept: the row.
        erase: whether a row that is gone must be forgotten.
    """
    if kept.row is None and erase:
        return None
    return json.dumps(kept.row or {}, ensure_ascii=False, separators=(",", ":")).encode()


def kept_of(key: bytes | None, value: bytes | None) -> Kept | None:
    """Returns the row that a record tells of, or None for a record that this release does not understand."""
    try:
        kind, *parts = json.loads(key or b"null")
        row = None if value is None else json.loads(value)
    except (TypeError, ValueError):
        return None
    known = kind in _KINDS and len(parts) == _PARTS[kind] and all(isinstance(part, str) for part in parts)
    if not known or not (row is None or isinstance(row, dict)):
        return None
    return Kept(kind, tuple(parts), _row(row))


def _row(row: dict[str, Any] | None) -> dict[str, Any] | None:
    return row or None
