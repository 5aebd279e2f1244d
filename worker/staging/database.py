"""Opens the staging database: one connection a thread, WAL, every commit on disk before it counts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pysqlite3.dbapi2 as sqlite3
from sqlite_utils import Database as Tables

from worker.errors import DatabaseError
from worker.staging.schema import migrations

BUSY_SECONDS = 30.0
"""How long a statement waits for another connection's transaction."""

CACHE_KIB = 32 * 1024
"""Memory for pages that a connection may keep: staging touches many of them again and again."""

CHECKPOINT_PAGES = 8000
"""Pages of 4 KiB in the write-ahead log at which it is written back: pages that many batches touch are written once."""


class Database:
    """One connection to the staging database. Not for sharing between threads: each opens its own.

    Attributes:
        before_commit: called at the end of each transaction, with whether it erases; what it raises rolls it back.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.before_commit: Callable[[Database, bool], None] | None = None

    def execute(self, sql: str, values: Any = ()) -> Any:
        """Runs one statement.

        Raises:
            DatabaseError: the file is full, locked, read-only or corrupt.
        """
        with _translated():
            return self._connection.execute(sql, values)

    def executemany(self, sql: str, rows: Any) -> Any:
        """Runs one statement for many rows.

        Raises:
            DatabaseError: the file is full, locked, read-only or corrupt.
        """
        with _translated():
            return self._connection.executemany(sql, rows)

    @contextmanager
    def transaction(self, *, erase: bool = False) -> Iterator[None]:
        """Makes everything inside one transaction: all of it, or nothing when anything raises.

        Args:
            erase: whether what is removed must be forgotten wherever it is kept.

        Raises:
            DatabaseError: it could not be begun or committed.
        """
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            if self.before_commit is not None:
                self.before_commit(self, erase)
        except BaseException:
            with _translated():
                self._connection.rollback()
            raise
        with _translated():
            self._connection.commit()

    def open_scratch(self) -> None:
        """Opens ``scratch``, a database for what need not outlive this connection, if it is not open yet.

        A file beside this one without a name, since this library keeps TEMP tables in memory.

        Raises:
            DatabaseError: it cannot be made.
        """
        files = {row["name"]: row["file"] for row in self.execute("PRAGMA database_list")}
        if "scratch" in files:
            return
        if not files["main"]:
            self.execute("ATTACH ':memory:' AS scratch")
            return
        with _translated_file(), tempfile.NamedTemporaryFile(dir=Path(files["main"]).parent) as file:
            self.execute("ATTACH ? AS scratch", (file.name,))
            self.execute("PRAGMA scratch.journal_mode = MEMORY")
            self.execute("PRAGMA scratch.synchronous = OFF")

    def make_anew(self) -> None:
        """Writes the file anew from its rows, and empties its log: nothing that was removed stands in either any more.

        Other connections may read meanwhile; who writes waits, a second or so for each 100 MB.

        Raises:
            DatabaseError: it could not be done, and nothing was changed; or the log could not be emptied, because
                another connection reads from it.
        """
        file = self.execute("PRAGMA database_list").fetchone()["file"]
        with _translated():
            # A connection of its own: this one may keep its temporary files in memory, where a whole copy is too much.
            connection = sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)
            try:
                connection.execute("VACUUM")
                if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                    raise sqlite3.OperationalError("the write-ahead log is locked")
            finally:
                connection.close()

    def close(self) -> None:
        """Closes the connection; an open transaction is rolled back."""
        self._connection.close()


def open_database(path: Path | str) -> Database:
    """Opens the database at ``path``, creating it and its folder and bringing its schema up to date.

    Args:
        path: the file, or ``":memory:"`` for a test.

    Raises:
        DatabaseError: it cannot be opened, is no SQLite database, or was written by a newer release.
    """
    with _translated():
        if path != ":memory:":
            _make_folder(Path(path))
        connection = sqlite3.connect(str(path), timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        # What is removed or replaced is overwritten, whole pages too, unlike with FAST; staging takes no longer by it.
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        tables = Tables(connection)
        _refuse_newer(tables)
        migrations.apply(tables)
    return Database(connection)


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseError(
            f"The folder of the database, {path.parent}, cannot be made: {error.strerror}.",
            "Set staging.path (WORKER_STAGING__PATH) to a place this user may write to.",
        ) from error


def _refuse_newer(tables: Tables) -> None:
    known = {migration.name for migration in migrations.pending(tables)} | {
        migration.name for migration in migrations.applied(tables)
    }
    applied = {migration.name for migration in migrations.applied(tables)}
    unknown = applied - {migration.name for migration in migrations._migrations}
    if unknown and known:
        raise DatabaseError(
            f"The database was written by a newer release (it has {', '.join(sorted(unknown))}).",
            "Run that release or a later one; nothing was changed.",
        )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise DatabaseError(f"The database cannot be used: {error}.", _advice(str(error))) from error


@contextmanager
def _translated_file() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DatabaseError(
            f"No file can be made beside the database: {error.strerror}.",
            "Give this user the right to write to its folder, and make room there; then start again.",
        ) from error


def _advice(message: str) -> str:
    for part, advice in (
        ("locked", "Another process holds it for long; find and end it, then start again."),
        ("full", "Make room on the disk, then start again; nothing is half-done."),
        ("readonly", "Give this user the right to write the file and its folder, then start again."),
        ("unable to open", "Check staging.path (WORKER_STAGING__PATH) and the rights of its folder."),
        ("not a database", "The file is something else or damaged; restore a copy, or name another path."),
        ("malformed", "The file is damaged; restore a copy of it, then start again."),
    ):
        if part in message:
            return advice
    return "Look at the file and its folder; the log of events in Kafka is untouched."
