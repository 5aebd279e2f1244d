"""Copies the database to a file while a worker is running."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from worker.errors import DatabaseError, UsageError
from worker.sqlite.database import Database
from worker.sqlite.library import sqlite3
from worker.system.private_files import open_file

COPIED_PAGES = 2000
"""Pages copied in one step, after which it checks for an interrupt."""


def back_up(db: Database, file: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> int:
    """Writes a copy of the database, readable only by this user. The file appears complete or not at all.

    Args:
        file: must not exist.
        progress: called with the number of copied pages and the total.

    Returns:
        The size of the copy in bytes.

    Raises:
        UsageError: the file exists.
        DatabaseError: the database cannot be read, or the file cannot be written.
    """
    unfinished = file.with_name(f"{file.name}.unfinished")
    try:
        _make_empty(file)
        try:
            unfinished.unlink(missing_ok=True)  # left by a backup that was killed
            _make_empty(unfinished)
            _copy(db, unfinished, progress)
            unfinished.replace(file)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            file.unlink(missing_ok=True)
            raise
        return file.stat().st_size
    except sqlite3.Error as error:
        raise DatabaseError(f"The backup cannot be made: {error}.", "Make room on the disk, and try again.") from error
    except FileExistsError as error:
        raise UsageError(f"There is already a file {file}.", "Name another one; a backup replaces nothing.") from error
    except OSError as error:
        raise DatabaseError(
            f"The backup {file} cannot be written: {error.strerror}.",
            "Name a file in a folder where this user may write.",
        ) from error


def _make_empty(file: Path) -> None:
    os.close(open_file(file, os.O_WRONLY | os.O_EXCL))


def _copy(db: Database, file: Path, progress: Callable[[int, int], None]) -> None:
    def copied(status: int, remaining: int, total: int) -> None:
        progress(total - remaining, total)

    # By SQLite's online backup, all steps in one read transaction: else a commit between two steps would restart it.
    # Others can write meanwhile.
    db.execute("BEGIN")
    try:
        db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
        with closing(sqlite3.connect(str(file), isolation_level=None)) as copy:
            db.connection.backup(copy, pages=COPIED_PAGES, progress=copied)
    finally:
        db.connection.rollback()
