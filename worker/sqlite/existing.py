"""Opens an existing database for a read-only command, even another user's."""

from __future__ import annotations

import os
from pathlib import Path

from worker.errors import DatabaseError, NotFound
from worker.sqlite.database import Database, open_database, open_read_only


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
    return open_read_only(path, still=not path.with_name(f"{path.name}-wal").exists())
