"""Overwrites the unused parts of SQLite's pages, in steps, while others read and write.

``secure_delete`` overwrites what is deleted. But cells that SQLite moved earlier to make room in a page leave copies in
the page's unused part, and only VACUUM would drop these: in one transaction, with a copy of the database in memory.

Why bytes may be written without SQLite here: nothing reads the unused parts, so readers never see a difference. The
write lock keeps writers away. The write-ahead log is empty, so the file has the newest version of each page. The
transaction ends with a write to page 1, after which every other connection rereads its pages, and so never writes an
old copy back.

Page format: https://www.sqlite.org/fileformat2.html#b_tree_pages
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from worker.errors import DatabaseError
from worker.sqlite.database import Database, open_database
from worker.sqlite.parts import Pace

BLOCK_PAGES = 1024
"""Pages scanned together, usually 4 MB."""
PASSES = 2
"""A page that is split may get another number, and so move to where the first pass already was."""
TRIES = 1000
"""Attempts to find the write-ahead log empty: other writers may come in between."""

_INTERIOR, _LEAF = {2, 5}, {10, 13}
_FIRST_FREEBLOCK, _CELLS, _CONTENT = 1, 3, 5  # offsets in a page's header, two bytes each

_ZEROS = bytes(65536)

_files: dict[tuple[int, int], int] = {}
# Never closed: on POSIX systems, closing any descriptor of a file drops the process's locks on it, even SQLite's.


def unused(page: bytes) -> list[tuple[int, int]]:
    """Returns the unused parts of a b-tree page, each from one offset to another.

    Args:
        page: any page but the first, without bytes reserved by extensions.

    Returns:
        Nothing for another kind of page, or one that SQLite would not write.
    """
    header = 12 if page[0] in _INTERIOR else 8 if page[0] in _LEAF else 0
    if not header:
        return []
    begin = header + 2 * _number(page, _CELLS)
    end = _number(page, _CONTENT) or 65536
    if not begin <= end <= len(page):
        return []
    parts = [(begin, end)]
    block, before = _number(page, _FIRST_FREEBLOCK), end - 1
    while block:
        size = _number(page, block + 2) if block + 4 <= len(page) else 0
        if block <= before or size < 4 or block + size > len(page):
            return []
        parts.append((block + 4, block + size))
        block, before = _number(page, block), block
    return parts


def erase(db: Database, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Overwrites everything that was deleted from a database and may still be in its file; empties its write-ahead log.

    Others may read and write meanwhile.

    Args:
        db: a connection outside of a transaction.
        progress: called with the number of scanned pages and the total.

    Raises:
        DatabaseError: not everything is overwritten, for instance because another connection keeps reading.
    """
    file = Path(db.execute("PRAGMA database_list").fetchone()["file"])
    # A separate connection, whose cache contains no page that must be overwritten.
    with closing(open_database(file)) as connection:
        connection.must_end = db.must_end
        connection.empty_log()
        descriptor = _open(file)
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        for turn in range(PASSES):
            total = os.fstat(descriptor).st_size // size
            for first in range(1, total, BLOCK_PAGES):  # all but the first page, which contains only the schema
                stale = list(_stale(descriptor, first, BLOCK_PAGES, size))
                _overwrite_all(connection, file, descriptor, size, stale)
                progress(turn * total + min(first + BLOCK_PAGES, total), PASSES * total)
        os.fsync(descriptor)
        connection.empty_log()


def _open(file: Path) -> int:
    try:
        file_status = file.stat()
        key = file_status.st_dev, file_status.st_ino
        if key not in _files:
            _files[key] = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise DatabaseError(
            f"The database's file cannot be opened: {error.strerror}.", "Grant this user write access to it."
        ) from error
    return _files[key]


def _stale(descriptor: int, first: int, count: int, size: int) -> Iterator[int]:
    # Page numbers start at 0.
    block = os.pread(descriptor, count * size, first * size)
    for start in range(0, len(block) - size + 1, size):
        page = block[start : start + size]
        if any(page[begin:end] != _ZEROS[: end - begin] for begin, end in unused(page)):
            yield first + start // size


def _overwrite_all(db: Database, file: Path, descriptor: int, size: int, pages: list[int]) -> None:
    log, pace, remaining, tries = file.with_name(f"{file.name}-wal"), Pace(), pages, 0
    while remaining:
        db.empty_log()
        part = remaining[: pace.rows]
        with db.transaction():
            # Somebody else may have written in between.
            empty = not log.exists() or log.stat().st_size == 0
            if empty:
                _overwrite(db, descriptor, size, part)
        if empty:
            remaining, tries = remaining[len(part) :], 0
        elif (tries := tries + 1) > TRIES:
            raise DatabaseError(f"{log.name} is never empty.", "Try again while the worker reads less.")
        pace.after(db.held_seconds, len(part))


def _overwrite(db: Database, descriptor: int, size: int, pages: list[int]) -> None:
    for number in pages:
        page = os.pread(descriptor, size, number * size)
        for begin, end in unused(page):
            os.pwrite(descriptor, _ZEROS[: end - begin], number * size + begin)
    version = db.execute("PRAGMA user_version").fetchone()[0]
    db.execute(f"PRAGMA user_version = {(version + 1) % 2**31}")


def _number(page: bytes, at: int) -> int:
    return int.from_bytes(page[at : at + 2], "big")
