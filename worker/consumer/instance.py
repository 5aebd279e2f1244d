"""The static member name of this worker, kept with its database but not copied with it.

A static member takes over the name from the member that has it. So a backup or a cloned volume must not bring the name
along. A copy is recognised as another file, on another device, or on another machine.
"""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

from worker.sqlite.database import Database
from worker.store import offsets

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Identifies the current boot of the machine, even in a container. After a reboot the worker has another name, which
costs nothing: its session has expired by then."""


def instance_of(db: Database, new: str) -> str:
    """Returns the member name of the worker with this database.

    Args:
        db: keeps a part of the name.
        new: that part, if there is none yet.

    Raises:
        DatabaseError: it cannot be read or written.
    """
    return _named(db, offsets.instance_id(db, new))


def known_instance_of(db: Database) -> str | None:
    """Returns the member name of the worker with this database; None before it has one. Writes nothing.

    Raises:
        DatabaseError: it cannot be read.
    """
    known = offsets.known_instance_id(db)
    return None if known is None else _named(db, known)


def _named(db: Database, kept: str) -> str:
    file = {row["name"]: row["file"] for row in db.execute("PRAGMA database_list")}["main"]
    return f"{kept}-{place_of(Path(file))}" if file else kept


def place_of(file: Path) -> str:
    """Returns what distinguishes a file from its copies: a digest of its inode, its device and the running machine."""
    status = file.stat()
    text = f"{status.st_ino} {status.st_dev} {_machine()}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _machine() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return platform.node()
