"""Files and folders that only the worker's own user can read and write, under any umask."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

FILE, FOLDER = 0o600, 0o700
"""Modes."""
_OTHERS = 0o077


def make_folder(folder: Path) -> None:
    """Makes a folder, and those above it that are missing, for this user alone. An existing one stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        with suppress(FileExistsError):  # another process made it meanwhile
            one.mkdir(mode=FOLDER)
            one.chmod(FOLDER)
    folder.mkdir(exist_ok=True)  # says where something else is in its place


def open_file(path: Path, flags: int) -> int:
    """Opens a file, makes it where it is missing, and has only this user read and write it.

    Returns:
        The descriptor, which a program that this process starts does not get.

    Raises:
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, FILE)
    told = os.fstat(descriptor)
    if told.st_uid == os.geteuid() and stat.S_IMODE(told.st_mode) != FILE:
        os.fchmod(descriptor, FILE)  # an umask took a right, or an earlier release gave one too many
    return descriptor


def restrict(path: Path) -> None:
    """Takes the rights of others to an existing file, where it is this user's."""
    with suppress(OSError):
        told = path.stat()
        if told.st_uid == os.geteuid() and stat.S_IMODE(told.st_mode) & _OTHERS:
            path.chmod(FILE)


def is_open_to_others(folder: Path) -> bool:
    """Returns whether users beside the owner may enter, list or change a folder."""
    try:
        return bool(folder.stat().st_mode & _OTHERS)
    except OSError:
        return False
