"""Databases as earlier schemas made them, frozen as SQL in ``tests/data/schemas``, one for each migration.

A migration that was added has its schema frozen by ``python -m tests.unit.sqlite.frozen``, which takes the rows of the
one before. Give new columns and tables values there then; a file that is committed is not changed any more.
"""

from __future__ import annotations

import sqlite3 as library  # pysqlite3 cannot dump; no database is open in both
import tempfile
from contextlib import closing
from pathlib import Path

from worker.sqlite import migrations
from worker.sqlite.library import sqlite3
from worker.sqlite.schema import MIGRATIONS

FOLDER = Path(__file__).parents[2] / "data" / "schemas"
NAMES = list(MIGRATIONS)
"""All migrations, in their order."""


def file_of(migration: str) -> Path:
    """Returns where the schema is frozen that a migration led to."""
    return FOLDER / f"{migration.partition('_')[0]}.sql"


def files() -> list[Path]:
    """Returns all frozen schemas, oldest first."""
    return sorted(FOLDER.glob("*.sql"))


def thaw(file: Path, path: Path) -> None:
    """Makes a database as it was frozen."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(file.read_text(encoding="utf-8"))


def freeze(number: int) -> None:
    """Freezes the schema that one migration leads to, with the rows of the one before."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.db"
        thaw(file_of(NAMES[number - 1]), path)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            migrations.apply(connection, NAMES[number + 1 :])
        with closing(library.connect(path)) as connection:
            lines = [line for line in connection.iterdump() if line not in ("BEGIN TRANSACTION;", "COMMIT;")]
    file_of(NAMES[number]).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for membership, name in enumerate(NAMES):
        if membership and not file_of(name).exists():
            freeze(membership)
