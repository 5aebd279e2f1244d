"""Nothing that was removed from a database is left in its file, and everything else is as before."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.sqlite import free_space
from worker.sqlite.database import Database, open_database

SECRET = b"gone-for-good"


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    """Returns a database in which many rows were written, grew and moved, and some were removed."""
    chance = random.Random(7)
    with closing(open_database(path)) as made:
        made.execute("CREATE TABLE thing (name TEXT PRIMARY KEY, text BLOB) WITHOUT ROWID")
        made.execute("CREATE TABLE other (number INTEGER PRIMARY KEY, text BLOB)")
        made.execute("CREATE INDEX other_text ON other (text)")
        for turn in range(12):
            with made.transaction():
                for _ in range(60):
                    number = chance.randrange(400)
                    text = (SECRET if number % 7 == 0 else b"here") * chance.choice((1, 20, 90, 700))
                    made.execute("INSERT OR REPLACE INTO thing VALUES (?,?)", (f"n{number}", text))
                    made.execute("INSERT OR REPLACE INTO other VALUES (?,?)", (number, text))
            if turn % 4 == 3:
                made.empty_log()
        with made.transaction():
            made.execute("DELETE FROM thing WHERE text LIKE 'gone%'")
            made.execute("DELETE FROM other WHERE text LIKE 'gone%'")
        yield made


def rows(db: Database) -> list[tuple[object, ...]]:
    """Returns all rows of both tables."""
    found = [*db.execute("SELECT * FROM thing ORDER BY name"), *db.execute("SELECT * FROM other ORDER BY number")]
    return [tuple(row) for row in found]


def raw(path: Path) -> bytes:
    """Returns all bytes of the file and of its write-ahead log."""
    log = path.with_name(path.name + "-wal")
    return path.read_bytes() + (log.read_bytes() if log.exists() else b"")


def intact(db: Database) -> bool:
    """Returns whether SQLite finds nothing wrong."""
    return [row[0] for row in db.execute("PRAGMA integrity_check")] == ["ok"]


def test_nothing_that_was_removed_is_left_and_every_row_is_as_before(db: Database, path: Path) -> None:
    """Copies in unused parts of pages are overwritten; rows, indexes and the file's structure stay."""
    before = rows(db)
    db.empty_log()
    assert SECRET in raw(path), "nothing to overwrite: this test shows nothing"
    told = []
    free_space.erase(db, lambda done, total: told.append((done, total)))
    assert SECRET not in raw(path)
    assert rows(db) == before
    assert intact(db)
    assert told[-1][0] == told[-1][1]


Overwrite = Callable[[Database, int, int, list[int]], None]


def written_by_another(db: Database, path: Path, overwrite: Overwrite) -> bytes:
    """Another connection reads all pages right before they are overwritten in the file, and writes them right after.

    Returns:
        What the file and its log then contain.
    """
    db.empty_log()
    assert SECRET in raw(path), "nothing to overwrite: this test shows nothing"
    found: list[bytes] = []
    with closing(open_database(path)) as other, pytest.MonkeyPatch.context() as patch:
        kept = rows(other)

        def read_first(own: Database, descriptor: int, size: int, pages: list[int]) -> None:
            rows(other)
            overwrite(own, descriptor, size, pages)

        def write(done: int, total: int) -> None:
            if not found:
                with other.transaction():
                    other.execute("UPDATE other SET text = text || 'x'")
                    other.execute("UPDATE thing SET text = text || 'x'")
                found.append(raw(path))

        patch.setattr(free_space, "_overwrite", read_first)
        free_space.erase(db, write)
        assert rows(other) == [(key, f"{bytes(text).decode()}x") for key, text in kept]  # type: ignore[call-overload]
        assert intact(other)
    return found[0]


def test_another_connection_brings_nothing_back(db: Database, path: Path) -> None:
    """A connection with older pages in memory reads them again, so it never writes an old copy."""
    assert SECRET not in written_by_another(db, path, free_space._overwrite)
    assert SECRET not in raw(path)


def test_pages_in_anothers_memory_would_bring_it_back(db: Database, path: Path) -> None:
    """Without the write to page 1 they do: so the test before this one can fail."""

    def without_page_1(own: Database, descriptor: int, size: int, pages: list[int]) -> None:
        for number in pages:
            page = os.pread(descriptor, size, number * size)
            for begin, end in free_space.unused(page):
                os.pwrite(descriptor, bytes(end - begin), number * size + begin)

    assert SECRET in written_by_another(db, path, without_page_1)


def test_others_write_meanwhile(db: Database, path: Path) -> None:
    """Each of their transactions is there afterwards, and nothing is damaged."""
    ended, written = threading.Event(), 0

    def write() -> None:
        nonlocal written
        with closing(open_database(path)) as other:
            while not ended.is_set():
                with other.transaction():
                    number = 1000 + written
                    other.execute("INSERT INTO other VALUES (?,?)", (number, b"new" * (written % 300)))
                written += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            free_space.erase(db)
    finally:
        ended.set()
        writer.join()
    assert db.execute("SELECT count(*) FROM other WHERE number >= 1000").fetchone()[0] == written > 0
    assert intact(db)
    assert SECRET not in raw(path)


@given(st.binary(min_size=512, max_size=512), st.sampled_from([2, 5, 10, 13, 0, 7]))
def test_a_page_that_is_not_as_it_should_be_is_left_alone(content: bytes, kind: int) -> None:
    """Whatever its bytes are: parts lie within the page and behind its header, or there are none."""
    page = bytes([kind]) + content[1:]
    for begin, end in free_space.unused(page):
        assert 8 <= begin <= end <= len(page)
        assert kind in (2, 5, 10, 13)
