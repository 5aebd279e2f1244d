"""What a person reads if SQLite cannot use the database: what to do, and not only to start again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from worker.errors import DatabaseError
from worker.sqlite.database import Database, open_database
from worker.store import runs

AT = "2026-11-22T10:00:00.000Z"


def write(db: Database) -> None:
    """Writes many rows."""
    with db.transaction():
        for _ in range(5000):
            runs.start(db, AT, "daily", None)


def full(path: Path) -> None:
    """Writes while there is no room for another page."""
    with closing(open_database(path)) as db:
        pages = db.value(int, "PRAGMA page_count")
        db.execute(f"PRAGMA max_page_count = {pages}")
        write(db)


def read_only(path: Path) -> None:
    """Writes by a connection that may not."""
    with closing(open_database(path)) as db:
        db.execute("PRAGMA query_only = 1")
        write(db)


def damaged(path: Path) -> None:
    """Reads pages that hold anything."""
    open_database(path).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))
    with closing(open_database(path)) as db:
        write(db)


def something_else(path: Path) -> None:
    """Opens a file of another kind."""
    path.write_bytes(b"\xa5" * 8192)
    open_database(path).close()


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (full, ("Make room on the disk.", "run the command again")),
        (read_only, ("as the worker's user", "read-only, mount it writable", "run the command again")),
        (damaged, ("move the file away", "not the one that ends in .key", "restore a copy", "from Kafka again")),
        (something_else, ("move the file away", "restore a copy")),
    ],
)
def test_the_advice_says_what_to_do_about_each_kind_of_error(
    tmp_path: Path, act: Callable[[Path], None], words: tuple[str, ...]
) -> None:
    """About a full disk, a read-only file and a damaged one; a locked one is tested with long operations."""
    with pytest.raises(DatabaseError) as caught:
        act(tmp_path / "x.db")
    assert [one for one in words if one not in caught.value.advice] == []
