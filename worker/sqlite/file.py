"""The file of the staging database: makes it private, and advises what to do if it cannot be used."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from worker.errors import DatabaseError
from worker.system.private_files import make_folder, open_file, restrict


def make_private(path: Path) -> None:
    """Creates the folder and the file of a database, for this user only.

    Raises:
        DatabaseError: they cannot be created.
    """
    try:
        make_folder(path.parent)
    except OSError as error:
        raise DatabaseError(
            f"The folder of the database, {path.parent}, cannot be made: {error.strerror}.",
            "Set staging.path (WORKER_STAGING__PATH) to a place this user may write to.",
        ) from error
    # SQLite copies the file's mode to its log and index. An existing file is not opened, as closing it drops its locks.
    with suppress(OSError):  # SQLite reports what is wrong
        os.close(open_file(path, os.O_RDWR | os.O_EXCL))
    for suffix in ("", "-wal", "-shm"):
        restrict(path.with_name(f"{path.name}{suffix}"))


@contextmanager
def translated_file() -> Iterator[None]:
    """Translates errors of creating a file beside the database to DatabaseError."""
    try:
        yield
    except OSError as error:
        raise DatabaseError(
            f"No file can be made beside the database: {error.strerror}.",
            f"Give this user write access to its folder, and make room on the disk. {_THEN}",
        ) from error


LEAST_FREE = 4 << 20
"""Bytes on the disk below which it counts as full: a batch of events may not fit any more."""


def why_no_room(path: Path) -> str | None:
    """Returns why nothing more can be written to a database, by its disk; None if there is room."""
    file_system = os.statvfs(path.absolute().parent)
    if file_system.f_flag & os.ST_RDONLY:
        return f"The file system of {path.absolute()} is read-only."
    free = file_system.f_bavail * file_system.f_frsize
    return f"The disk of {path.absolute()} is full: {free >> 10} KiB are free." if free < LEAST_FREE else None


_THEN = "Then run the command again; if the worker has ended, start it. Nothing is half-done."
_DAMAGED = (
    "The file is damaged, or something else. Stop the worker, and move the file away with those beside it that end in "
    "-wal and -shm, but not the one that ends in .key. Then restore a copy (mailchimp-worker backup makes them), or "
    "start the worker without one: it reads everything from Kafka again, except receipts, dead letters and the history "
    "of flushes."
)
_ADVICE = {
    "locked": "Another process has held it for a long time, such as a backup or an SQLite shell. Find it with lsof "
    f"and end it. {_THEN}",
    "full": f"Make room on the disk. {_THEN}",
    "disk I/O": f"The disk is full or broken: see df and dmesg. Make room on it, or replace it. {_THEN}",
    "readonly": "This user needs write access to the file and its folder: run the command as the worker's user, or "
    f"change their owner. If the file system is read-only, mount it writable. {_THEN}",
    "unable to open": "Check staging.path (WORKER_STAGING__PATH) and the rights of its folder.",
    "not a database": _DAMAGED,
    "malformed": _DAMAGED,
}


def advice(message: str) -> str:
    """Returns what to do about an SQLite error, by its message."""
    matching = (advice for part, advice in _ADVICE.items() if part in message)
    return next(matching, "Look at the file and its folder; the log of events in Kafka is untouched.")
