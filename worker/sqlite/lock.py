"""The lock of the one process that works on a database. The system releases it however that process ends."""

from __future__ import annotations

import fcntl
import os
import time
from math import inf
from pathlib import Path
from typing import Self

from worker.errors import AlreadyRunning, DatabaseError
from worker.system.private_files import make_folder, open_file

FRESH_SECONDS = 60.0
"""For a user who may not query the lock, a heartbeat this recent means that a worker is running."""


def lock_path(database: Path) -> Path:
    """Returns the lock file of a database."""
    return database.with_name(f"{database.name}.lock")


class DatabaseLock:
    """The lock, as a context manager. The mtime of its file is the heartbeat of the process."""

    def __init__(self, database: Path) -> None:
        self._path = lock_path(database)
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """Takes the lock.

        Raises:
            AlreadyRunning: another process holds it.
            DatabaseError: the lock file cannot be created.
        """
        try:
            make_folder(self._path.parent)
            descriptor = open_file(self._path, os.O_RDWR)
        except OSError as error:
            raise DatabaseError(
                f"The lock file {self._path} cannot be made: {error.strerror}.",
                "Run the command as the worker's user, or set staging.path (WORKER_STAGING__PATH) to a place that this "
                "user may write to.",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise AlreadyRunning(
                f"Another worker is running with this database ({self._path} is locked).",
                "To deliver, ask it: mailchimp-worker flush. For what needs the database alone, stop it first.",
            ) from error
        self._descriptor = descriptor
        self.beat()
        return self

    def __exit__(self, *raised: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def beat(self) -> None:
        """Sets the heartbeat to now."""
        os.utime(self._path)

    def beat_no_more(self) -> None:
        """Resets the heartbeat, because the process is ending."""
        os.utime(self._path, (0, 0))


def is_locked(database: Path) -> bool:
    """Returns whether a process holds the database lock; by its heartbeat if this user may not query the lock."""
    try:
        descriptor = os.open(lock_path(database), os.O_RDONLY)
    except PermissionError:
        return _seconds_since_beat(database) < FRESH_SECONDS
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def seconds_since_beat(database: Path) -> float | None:
    """Returns the seconds since the last heartbeat; None if nobody holds the lock.

    A heartbeat in the future, from a clock that was ahead, counts as old.
    """
    return _seconds_since_beat(database) if is_locked(database) else None


def _seconds_since_beat(database: Path) -> float:
    try:
        return abs(time.time() - lock_path(database).stat().st_mtime)
    except OSError:  # this user may not read its folder
        return inf
