"""How the releases before there was a format read records: kept as it was, and not changed any more.

Its tables are those after the migration ``0002_kept_in_kafka``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

PARTS = {"place": 3, "customer": 2, "account": 1}
TABLES = {
    "place": (
        "ledger",
        ("account_id", "list_id", "address"),
        ("customer_id", "state", "origin", "member_status", "fields", "sent_at", "status_before", "last_changed"),
    ),
    "customer": (
        "standing",
        ("account_id", "customer_id"),
        ("list_id", "address", "refusal", "refused_address", "attempts", "retry_at", "settled"),
    ),
}
ACCOUNT = (
    "api_key", "key_hint", "enabled", "master_list", "status_if_new", "connected_at", "refreshed_at", "paused_reason",
    "paused_at", "resyncs",
)  # fmt: skip
LIST = (
    "list_id", "name", "stored", "member_count", "marketing_permissions", "refreshed_at", "gone_at", "paused_reason",
    "paused_at",
)  # fmt: skip


def read(records: Iterable[tuple[bytes | None, bytes | None]], db: Any) -> int:
    """Writes records into a database of that release; returns how many it did not understand and left out."""
    left_out = 0
    for key, value in records:
        found = _kept_of(key, value)
        if found is None:
            left_out += 1
        else:
            _apply(db, *found)
    return left_out


def _kept_of(key: bytes | None, value: bytes | None) -> tuple[str, list[str], dict[str, Any] | None] | None:
    try:
        kind, *parts = json.loads(key or b"null")
        row = None if value is None else json.loads(value)
    except (TypeError, ValueError):
        return None
    known = kind in PARTS and len(parts) == PARTS[kind] and all(isinstance(part, str) for part in parts)
    if not known or not (row is None or isinstance(row, dict)):
        return None
    return kind, parts, row or None


def _apply(db: Any, kind: str, key: list[str], row: dict[str, Any] | None) -> None:
    if kind == "account":
        _apply_account(db, key[0], row)
        return
    table, names, columns = TABLES[kind]
    db.execute(f"DELETE FROM {table} WHERE {' AND '.join(f'{name} = ?' for name in names)}", key)
    if row is not None:
        marks = ",".join("?" * (len(names) + len(columns)))
        db.execute(
            f"INSERT INTO {table} ({', '.join((*names, *columns))}) VALUES ({marks})",
            (*key, *(row.get(column) for column in columns)),
        )


def _apply_account(db: Any, account_id: str, row: dict[str, Any] | None) -> None:
    db.execute("DELETE FROM account WHERE account_id = ?", (account_id,))
    db.execute("DELETE FROM list WHERE account_id = ?", (account_id,))
    if row is None:
        return
    told = {column: row.get(column) for column in ACCOUNT}
    told["api_key"] = None if told["api_key"] is None else base64.b64decode(told["api_key"])
    marks = ",".join("?" * (len(ACCOUNT) + 1))
    db.execute(f"INSERT INTO account (account_id, {', '.join(ACCOUNT)}) VALUES ({marks})", (account_id, *told.values()))
    marks = ",".join("?" * (len(LIST) + 1))
    for one in row.get("lists", ()):
        values = (account_id, *(one.get(column) for column in LIST))
        db.execute(f"INSERT INTO list (account_id, {', '.join(LIST)}) VALUES ({marks})", values)
