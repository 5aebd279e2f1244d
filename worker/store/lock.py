"""The lock that marks the one process that works on a database; gone with that process, however it ends."""

from __future__ import annotations

import fcntl
import os
import time
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.errors import AlreadyRunning, DatabaseError
from worker.system.private_files import make_folder, open_file

FRESH_SECONDS = 60.0
"""A heartbeat so long ago at most is taken for a running worker by a user who may not ask for the lock."""


def lock_path(database: Path) -> Path:
    """Returns the lock file of a database."""
    return database.with_name(f"{database.name}.lock")


class DatabaseLock:
    """Held as a context manager. Its file's time is the heartbeat of the process that holds it."""

    def __init__(self, database: Path) -> None:
        self._path = lock_path(database)
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """Takes the lock.

        Raises:
            AlreadyRunning: another process holds it.
            DatabaseError: the lock file cannot be made.
        """
        try:
            make_folder(self._path.parent)
            descriptor = open_file(self._path, os.O_RDWR)
        except OSError as error:
            raise DatabaseError(
                f"The lock file {self._path} cannot be made: {error.strerror}.",
                "Set staging.path (WORKER_STAGING__PATH) to a place this user may write to.",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise AlreadyRunning(
                f"Another worker is running with this database ({self._path} is locked).",
                "Let it do the work (mailchimp-worker flush asks it, mailchimp-worker status shows it), or stop it.",
            ) from error
        self._descriptor = descriptor
        self.beat()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def beat(self) -> None:
        """Notes that the process is alive and at work."""
        os.utime(self._path)

    def beat_no_more(self) -> None:
        """Notes that the process is no longer at work, though it has not ended yet."""
        os.utime(self._path, (0, 0))


def is_locked(database: Path) -> bool:
    """Tells whether a process holds the database's lock. Where this user may not ask, by its heartbeat."""
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
    """Returns how long ago the process that holds the lock was at work; None where nobody holds it.

    A time in the future was written by a clock that was ahead, and not since that was put right: it counts as old.
    """
    return _seconds_since_beat(database) if is_locked(database) else None


def _seconds_since_beat(database: Path) -> float:
    try:
        return abs(time.time() - lock_path(database).stat().st_mtime)
    except OSError:  # its folder is closed to this user
        return inf
