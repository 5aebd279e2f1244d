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
    """Makes a folder and its missing parents, for this user only. An existing folder stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    for parent in reversed(missing):
        with suppress(FileExistsError):  # another process made it meanwhile
            parent.mkdir(mode=FOLDER)
            parent.chmod(FOLDER)
    folder.mkdir(exist_ok=True)  # raises if it is a file


def open_file(path: Path, flags: int) -> int:
    """Opens a file, creates it if it is missing, and restricts it to this user.

    Returns:
        The descriptor; programs that this process starts do not inherit it.

    Raises:
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, FILE)
    file_status = os.fstat(descriptor)
    if file_status.st_uid == os.geteuid() and stat.S_IMODE(file_status.st_mode) != FILE:
        os.fchmod(descriptor, FILE)  # the umask removed a right, or an earlier release granted too many
    return descriptor


def restrict(path: Path) -> None:
    """Removes other users' rights to an existing file, if this user owns it."""
    with suppress(OSError):
        file_status = path.stat()
        if file_status.st_uid == os.geteuid() and stat.S_IMODE(file_status.st_mode) & _OTHERS:
            path.chmod(FILE)


def is_open_to_others(folder: Path) -> bool:
    """Returns whether users other than the owner may enter, list or change a folder."""
    try:
        return bool(folder.stat().st_mode & _OTHERS)
    except OSError:
        return False
