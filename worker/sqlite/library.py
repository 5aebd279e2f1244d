"""The SQLite library that the worker uses: pysqlite3's, which is current; otherwise the interpreter's, if new enough.

pysqlite3 has no wheels for Linux on ARM64 and for macOS on Intel.
"""

from __future__ import annotations

from worker.errors import DatabaseError

try:
    import pysqlite3.dbapi2 as sqlite3
except ModuleNotFoundError:  # pragma: no cover
    import sqlite3

OLDEST = (3, 51, 3)
"""Earlier releases may corrupt a database in WAL mode. Source: https://sqlite.org/wal.html, the WAL-reset bug."""

# The library asks each value that is no int, float or str how to store it. Unanswered, that takes 1 µs; so, 0.1.
sqlite3.register_adapter(type(None), {None: None}.get)
sqlite3.register_adapter(bool, int)
sqlite3.register_adapter(bytes, bytes)

__all__ = ["require_current", "sqlite3"]


def require_current(version: tuple[int, ...]) -> None:
    """Checks that SQLite does not have the bug that may corrupt a database.

    Raises:
        DatabaseError: it is too old.
    """
    if version < OLDEST:
        current, oldest = (".".join(map(str, release)) for release in (version, OLDEST))
        raise DatabaseError(
            f"SQLite {current} is too old: releases before {oldest} may corrupt the database.",
            "Install pysqlite3, which brings a current one (Linux on x86-64, macOS on ARM64), or use a Python with a "
            "newer SQLite. See docs/operations.md, Install.",
        )
