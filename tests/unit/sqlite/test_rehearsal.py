"""Writing what was rehearsed: only while nobody else has written."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from worker.sqlite.database import Database, open_database


def notes(db: Database) -> list[str]:
    """Returns the rows that the tests here write."""
    return [row[0] for row in db.execute("SELECT note FROM changelog_topic ORDER BY note")]


def write(db: Database, note: str) -> None:
    """Writes a row."""
    db.execute("INSERT INTO changelog_topic (about, partition, note) VALUES (?, '', ?)", (note, note))


def write_many(db: Database) -> None:
    """Writes, changes and removes rows by statements of each kind."""
    write(db, "a")
    write(db, "b")
    rows = (("", note, note) for note in "cde")
    db.executemany("INSERT INTO changelog_topic (partition, about, note) VALUES (?,?,?)", rows)
    db.execute_each("UPDATE changelog_topic SET note = note || ? WHERE about = ?", [("1", "a"), ("2", "b"), ("3", "x")])
    gone = db.execute("DELETE FROM changelog_topic WHERE about IN ('c', 'd') RETURNING about").fetchall()
    assert len(gone) == 2


def test_what_was_rehearsed_is_written_once_more(tmp_path: Path) -> None:
    """Every statement in its order, and nothing of it before."""
    with closing(open_database(tmp_path / "worker.db")) as db:
        with db.rehearsal() as rehearsal:
            write_many(db)
            there = notes(db)
        assert notes(db) == []
        with db.transaction():
            assert db.repeat(rehearsal)
        assert notes(db) == there == ["a1", "b2", "e"]


@pytest.mark.parametrize(
    "statement", ["CREATE TEMP TABLE IF NOT EXISTS seen (x)", "WITH one AS (SELECT 1) SELECT * FROM one"]
)
def test_a_rehearsal_that_did_more_than_write_rows_is_not_repeated(tmp_path: Path, statement: str) -> None:
    """What makes a table, or reads by another word than SELECT, is decided again."""
    with closing(open_database(tmp_path / "worker.db")) as db:
        with db.rehearsal() as rehearsal:
            write(db, "a")
            db.execute(statement)
        with db.transaction():
            assert not db.repeat(rehearsal)


def test_a_statement_that_the_rehearsal_did_not_note_is_noticed(tmp_path: Path) -> None:
    """One that was run past it, on SQLite's own connection: the repetition changes fewer rows, and is rolled back."""
    with closing(open_database(tmp_path / "worker.db")) as db:
        with db.rehearsal() as rehearsal:
            write(db, "a")
            db.connection.execute("UPDATE changelog_topic SET note = 'b'")
        with pytest.raises(RuntimeError, match="1 rows were changed, and 2 in the rehearsal"), db.transaction():
            db.repeat(rehearsal)
        assert notes(db) == []


def by_another(db: Database, path: Path) -> None:
    """Commits by another connection."""
    with closing(open_database(path)) as other, other.transaction():
        write(other, "x")


def by_itself(db: Database, path: Path) -> None:
    """Commits by the connection that rehearsed."""
    with db.transaction():
        write(db, "x")


@pytest.mark.parametrize("somebody_writes", [by_another, by_itself])
def test_what_was_rehearsed_is_not_written_once_somebody_has_written(
    tmp_path: Path, somebody_writes: Callable[[Database, Path], None]
) -> None:
    """It may not hold any more, so it must be decided again."""
    path = tmp_path / "worker.db"
    with closing(open_database(path)) as db:
        with db.rehearsal() as rehearsal:
            write_many(db)
        somebody_writes(db, path)
        with db.transaction():
            assert not db.repeat(rehearsal)
        assert notes(db) == ["x"]


def test_a_rehearsal_of_before_does_not_note_what_comes_after_it(tmp_path: Path) -> None:
    """Also where the rehearsal ended by an error."""
    with closing(open_database(tmp_path / "worker.db")) as db:
        with pytest.raises(KeyError), db.rehearsal() as rehearsal:
            raise KeyError
        with db.transaction():
            write(db, "a")
        assert rehearsal.statements == []
