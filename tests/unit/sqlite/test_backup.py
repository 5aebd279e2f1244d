"""A copy of the database, made while others write it."""

import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from worker.errors import DatabaseError, UsageError
from worker.sqlite import backup
from worker.sqlite.backup import back_up
from worker.sqlite.database import Database, open_database

PAIRS = ("INSERT INTO tidied VALUES (?, ?)", "INSERT INTO compared VALUES (?, ?)")
"""Two tables that get the same rows in one transaction each."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Returns a database of about a thousand pages."""
    made = tmp_path / "worker.db"
    with closing(open_database(made)) as db, db.transaction():
        for statement in PAIRS:
            db.executemany(statement, [(f"{number:05}", "x" * 1000) for number in range(2000)])
    return made


def counts(db: Database) -> list[int]:
    """How many rows the two tables have."""
    return [db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("tidied", "compared")]


def test_a_backup_beside_a_writer_is_whole_and_ends(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Commits between its steps do not make it begin again, and none of them is in it by half."""
    monkeypatch.setattr(backup, "COPIED_PAGES", 20)
    file, stop, steps = tmp_path / "copy.db", threading.Event(), []

    def write() -> None:
        with closing(open_database(path)) as db:
            number = 10_000
            while not stop.is_set():
                number += 1
                with db.transaction():
                    for statement in PAIRS:
                        db.execute(statement, (str(number), "y"))

    def told(done: int, total: int) -> None:
        # Each step waits for a commit, so that there is one between any two.
        before = newest.execute("SELECT max(what) FROM tidied").fetchone()[0]
        while newest.execute("SELECT max(what) FROM tidied").fetchone()[0] == before:
            time.sleep(0.001)
        steps.append((done, total))

    writer = threading.Thread(target=write)
    with closing(open_database(path)) as db, closing(open_database(path)) as newest:
        before = counts(db)
        writer.start()
        try:
            size = back_up(db, file, told)
        finally:
            stop.set()
            writer.join()
        after = counts(db)
    assert [done for done, _ in steps] == sorted({done for done, _ in steps})
    assert len(steps) > 20
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_size == size
    with closing(open_database(file)) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        one, other = counts(copy)
        assert one == other
        assert before[0] <= one < after[0]


def test_a_backup_replaces_nothing_and_leaves_nothing_unfinished(path: Path, tmp_path: Path):
    """An existing file stays as it is; a backup that is interrupted or cannot be written leaves no file."""
    there = tmp_path / "mine"
    there.write_text("mine")
    before = sorted(tmp_path.iterdir())

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with closing(open_database(path)) as db:
        with pytest.raises(UsageError, match="already a file"):
            back_up(db, there)
        with pytest.raises(KeyboardInterrupt):
            back_up(db, tmp_path / "copy.db", interrupt)
        with pytest.raises(DatabaseError, match="No such file"):
            back_up(db, tmp_path / "nowhere" / "copy.db")
        with db.transaction():
            db.execute(PAIRS[0], ("written afterwards", "z"))
    assert there.read_text() == "mine"
    assert sorted(tmp_path.iterdir()) == before
