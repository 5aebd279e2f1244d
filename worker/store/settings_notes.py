"""Notes kept beside the settings in Kafka, so that every worker has them, by kind and subject."""

from __future__ import annotations

import json
from typing import Any, Literal

from worker.model import AccountId
from worker.sqlite.database import Database
from worker.sqlite.rows import RowKey, Rows

NoteKind = Literal[
    "hash_key",
    "mailchimp_user",
    "new_lists",
    "rekey",
    "settings_log",
    "web_access",
    "worker_url",
    "ledger",
    "outcomes",
    "settings",
    "signed",
    "copied",
]
"""hash_key: the key for hashes of erased persons · mailchimp_user: the owner of an account's API key · new_lists: an
account's lists that it has not stored · rekey: a change of the secret key · settings_log: who changed an account's
settings · web_access: revoked sessions and links · worker_url: where a worker answers · ledger, outcomes, settings,
signed, copied: about these topics themselves."""
_OF_ACCOUNT: tuple[NoteKind, ...] = ("mailchimp_user", "new_lists", "settings_log")


def text_of(db: Database, kind: NoteKind, subject: str = "") -> str | None:
    """Returns a note as text; None without one."""
    return db.value(str, "SELECT note FROM changelog_topic WHERE about = ? AND partition = ?", (kind, subject))


def data_of(db: Database, kind: NoteKind, subject: str = "") -> Any:
    """Returns what a note holds as JSON; None without one."""
    text = text_of(db, kind, subject)
    return None if text is None else json.loads(text)


def all_data(db: Database, kind: NoteKind) -> dict[str, Any]:
    """Returns what all notes of a kind hold as JSON, by subject."""
    rows = db.execute("SELECT partition, note FROM changelog_topic WHERE about = ? ORDER BY partition", (kind,))
    return {str(row["partition"]): json.loads(row["note"]) for row in rows}


def put_text(db: Database, kind: NoteKind, subject: str, text: str) -> Rows:
    """Stores a note, over an earlier one. Call it in a transaction."""
    db.execute(
        "INSERT INTO changelog_topic (about, partition, note) VALUES (?,?,?) "
        "ON CONFLICT (about, partition) DO UPDATE SET note = excluded.note",
        (kind, subject, text),
    )
    return [RowKey("topic", (kind, subject))]


def put(db: Database, kind: NoteKind, subject: str, data: Any) -> Rows:
    """Stores a note as JSON, over an earlier one. Call it in a transaction."""
    return put_text(db, kind, subject, json.dumps(data, ensure_ascii=False))


def delete(db: Database, kind: NoteKind, subject: str) -> Rows:
    """Deletes a note. Call it in a transaction."""
    cursor = db.execute("DELETE FROM changelog_topic WHERE about = ? AND partition = ?", (kind, subject))
    return [RowKey("topic", (kind, subject))] if cursor.rowcount else []


def delete_account(db: Database, account_id: AccountId) -> Rows:
    """Deletes the notes of an account, except what is revoked. Call it in a transaction."""
    return [row for kind in _OF_ACCOUNT for row in delete(db, kind, account_id)]
