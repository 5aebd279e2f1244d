"""Finds out whether a database lacks migrations, and applies those.

sqlite-utils applies and records them. It takes long to import, so it is imported only if there is one to apply.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from worker.errors import DatabaseError
from worker.sqlite.schema import MIGRATIONS

_SET = "staging"


def are_missing(connection: Any) -> bool:
    """Returns whether a database lacks migrations. Asked once: a flush opens a connection for each of its threads.

    Raises:
        DatabaseError: a newer release wrote it.
    """
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'").fetchone():
        return True
    rows = connection.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = ?", (_SET,))
    applied = {row[0] for row in rows}
    if unknown := applied - MIGRATIONS.keys():
        raise DatabaseError(
            f"The database was written by a newer release (it has {', '.join(sorted(unknown))}).",
            "Run that release or a later one; nothing was changed.",
        )
    return applied != MIGRATIONS.keys()


def apply(connection: Any, stop_before: Iterable[str] = ()) -> None:
    """Applies the migrations that a database lacks, all in one transaction."""
    import sqlite_utils
    from sqlite_utils.migrations import Migrations

    missing = Migrations(_SET)
    for name, statements in MIGRATIONS.items():
        missing(name=name)(partial(_execute, statements))  # type: ignore[type-var]
    # Another process may do the same now, so sqlite-utils looks which are missing only after this one has the lock.
    connection.execute("BEGIN IMMEDIATE")
    try:
        missing.apply(sqlite_utils.Database(connection), stop_before=stop_before)
        connection.commit()
    finally:
        connection.rollback()


def _execute(statements: Iterable[str], db: Any) -> None:
    for statement in statements:
        db.execute(statement)
