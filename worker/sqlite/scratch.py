"""The scratch database of a connection, for data that no later process needs."""

from __future__ import annotations

import tempfile
from pathlib import Path

from worker.sqlite.database import Database
from worker.sqlite.file import translated_file


def open_scratch(db: Database) -> None:
    """Opens ``scratch``, a database that lives as long as this connection, if it is not open yet.

    It is an unnamed file beside this one, because SQLite keeps TEMP tables in memory here.

    Raises:
        DatabaseError: it cannot be created.
    """
    files = {row["name"]: row["file"] for row in db.execute("PRAGMA database_list")}
    if "scratch" in files:
        return
    if not files["main"]:
        db.execute("ATTACH ':memory:' AS scratch")
        return
    with translated_file(), tempfile.NamedTemporaryFile(dir=Path(files["main"]).parent) as file:
        db.execute("ATTACH ? AS scratch", (file.name,))
        db.execute("PRAGMA scratch.journal_mode = MEMORY")
        db.execute("PRAGMA scratch.synchronous = OFF")
