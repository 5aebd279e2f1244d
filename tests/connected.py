"""Accounts that are connected, for tests that stage customers with their fields and make no call."""

from __future__ import annotations

from worker.sqlite.database import Database


def connected(db: Database, *account_ids: str) -> Database:
    """Returns a database in which accounts have an API key, ``acct-1`` where none is named."""
    db.executemany(
        "INSERT INTO account (account_id, key_hint) VALUES (?, 'c3d4-us1') "
        "ON CONFLICT DO UPDATE SET key_hint = excluded.key_hint",
        [(account_id,) for account_id in account_ids or ("acct-1",)],
    )
    return db
