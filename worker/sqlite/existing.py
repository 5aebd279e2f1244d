"""Opens an existing database for a read-only command, even another user's."""

from __future__ import annotations

import os
from pathlib import Path

from worker.errors import DatabaseError, NotFound
from worker.sqlite import migrations
from worker.sqlite.database import BUSY_SECONDS, Database, open_database, translated
from worker.sqlite.library import sqlite3


def is_there(path: Path) -> bool:
    """Returns whether the database exists.

    Raises:
        DatabaseError: this user may not look.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise DatabaseError(
            f"This user may not look for the database {path.absolute()}: {error.strerror}.",
            "Run the command as the worker's user.",
        ) from error
    return True


def is_writable(path: Path) -> bool:
    """Returns whether this user may write an existing database."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def open_existing(path: Path) -> Database:
    """Opens an existing database for reading. If this user may write it, its schema is migrated.

    Raises:
        NotFound: there is no database.
        DatabaseError: it cannot be used.
    """
    if not is_there(path):
        raise NotFound(
            f"There is no database at {path.absolute()}.",
            "Run the command in the worker's folder, or name the database with WORKER_STAGING__PATH. The first account "
            "connect, stage or run makes one.",
        )
    if is_writable(path):
        return open_database(path)
    # Without a write-ahead log, nobody has it open.
    immutable = "" if path.with_name(f"{path.name}-wal").exists() else "&immutable=1"
    uri = f"{path.absolute().as_uri()}?mode=ro{immutable}"
    with translated(path):
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        connection.row_factory = sqlite3.Row
        if not migrations.are_missing(connection):
            return Database(connection)
    raise DatabaseError("An earlier release wrote the database.", "Start this release's worker on it first.")
