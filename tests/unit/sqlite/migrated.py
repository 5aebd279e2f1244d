"""Databases as each migration left them, with rows in every table.

``tests/data/migrations.sql`` has the name of each migration, the hash of its statements, and the rows that are written
once it is applied.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

from worker.sqlite import migrations
from worker.sqlite.library import sqlite3
from worker.sqlite.schema import MIGRATIONS

FILE = Path(__file__).parents[2] / "data" / "migrations.sql"
NAMES = list(MIGRATIONS)
"""All migrations, in their order."""


def heading(name: str) -> str:
    """Returns the line of the file with which a migration begins: its name, and the hash of what it does."""
    statements = (" ".join(re.sub(r"--.*", "", one).split()) for one in MIGRATIONS[name])
    return f"-- {name} {hashlib.sha256(';'.join(statements).encode()).hexdigest()[:16]}"


def sections() -> dict[str, str]:
    """Returns the rows of each migration, as statements, by its heading in the file."""
    _, *parts = re.split(r"^(-- .*)\n", FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


@cache
def database_after(name: str) -> Any:
    """Returns the connection to a database in memory, as a migration left it. Not to be changed: copy it."""
    number = NAMES.index(name)
    made = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    if number:
        database_after(NAMES[number - 1]).backup(made)
    migrations.apply(made, NAMES[number + 1 :])
    made.executescript("".join(rows for line, rows in sections().items() if line.split()[1] == name))
    return made


def make_database(name: str, path: Path) -> None:
    """Makes a file of a database as a migration left it."""
    with closing(sqlite3.connect(path)) as connection:
        database_after(name).backup(connection)
