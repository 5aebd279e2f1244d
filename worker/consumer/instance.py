"""The name of this worker in the consumer group: kept with its database, and not taken along by a copy of that.

A member that joins under a name takes it from the member that has it. So a backup, or a cloned volume, must not bring
the name with it. A copy of a file is another file, on another device, or on another machine.
"""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

from worker.store import offsets
from worker.store.database import Database

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Names this start of this machine, seen from inside of containers too. After a restart of the machine the worker has
another name, which costs nothing: its session is over by then."""


def instance_of(db: Database, new: str) -> str:
    """Returns the name of the worker with this database.

    Args:
        db: which keeps a part of it.
        new: that part, where it has none yet.

    Raises:
        DatabaseError: it cannot be read or written.
    """
    kept = offsets.instance_id(db, new)
    file = {row["name"]: row["file"] for row in db.execute("PRAGMA database_list")}["main"]
    return f"{kept}-{place_of(Path(file))}" if file else kept


def place_of(file: Path) -> str:
    """Returns what tells a file from its copies: a digest of its inode, its device and the running machine."""
    found = file.stat()
    text = f"{found.st_ino} {found.st_dev} {_machine()}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _machine() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return platform.node()
