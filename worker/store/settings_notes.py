"""Notes kept beside the settings in Kafka, so that every worker has them, by kind and subject."""

from __future__ import annotations

from worker.sqlite.changed_rows import RowKey, Rows
from worker.sqlite.database import Database


def get(db: Database, about: str, subject: str) -> str | None:
    """Returns a note as text; None without one."""
    row = db.execute("SELECT note FROM changelog_topic WHERE about = ? AND partition = ?", (about, subject)).fetchone()
    return None if row is None else str(row["note"])


def all_about(db: Database, about: str) -> dict[str, str]:
    """Returns all notes of a kind, by subject."""
    rows = db.execute("SELECT partition, note FROM changelog_topic WHERE about = ? ORDER BY partition", (about,))
    return {str(row["partition"]): str(row["note"]) for row in rows}


def put(db: Database, about: str, subject: str, text: str) -> Rows:
    """Stores a note, over an earlier one. Call it in a transaction."""
    db.execute(
        "INSERT INTO changelog_topic (about, partition, note) VALUES (?,?,?) "
        "ON CONFLICT (about, partition) DO UPDATE SET note = excluded.note",
        (about, subject, text),
    )
    return [RowKey("topic", (about, subject))]


def delete(db: Database, about: str, subject: str) -> Rows:
    """Deletes a note. Call it in a transaction."""
    cursor = db.execute("DELETE FROM changelog_topic WHERE about = ? AND partition = ?", (about, subject))
    return [RowKey("topic", (about, subject))] if cursor.rowcount else []
