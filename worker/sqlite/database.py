"""Opens the staging database: one connection per thread, WAL, every commit synced to disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from worker.errors import DatabaseError
from worker.sqlite import migrations
from worker.sqlite.file import advice, make_private
from worker.sqlite.library import require_current, sqlite3
from worker.sqlite.parts import PAGE_ROWS, Pace, Part

log = logging.getLogger("worker.store")

BUSY_SECONDS = 30.0
"""How long a command waits for another connection's transaction. A thread of a running worker waits until it must end:
see :attr:`Database.must_end`."""
ENDING_SECONDS = 1.0
"""How long it still waits after that."""
LOGGED_AFTER_SECONDS = 5.0
"""A wait this long is logged, and again whenever it has doubled."""
BUSY_SLICE_MS = 50
"""How long SQLite itself waits for a lock before the worker checks whether it must end."""
BUSY_PAUSE_SECONDS = 0.01
"""How long a thread then leaves the lock alone: attempts to empty the write-ahead log keep writers away."""
CACHE_KIB = 32 * 1024
"""Memory for a connection's page cache: staging touches many pages repeatedly."""
CHECKPOINT_PAGES = 8000
"""Pages of 4 KiB in the write-ahead log before a checkpoint: pages that many batches touch are written once."""
WRITTEN_BACK_PAGES = 2000
"""The same during a long operation. Fewer, so that no commit waits for a long disk write."""

_Row = TypeVar("_Row")
_Result = TypeVar("_Result")


@dataclass(slots=True)
class Rehearsal:
    """The writing statements of a transaction that was rolled back, to repeat them if nobody else has written.

    Attributes:
        version: of the database, see :meth:`Database.version`; it changes once another connection has committed.
        changes: total rows changed by this connection when it ended; more once it has changed others.
        changed_rows: how many rows it changed, by SQLite's own count.
        writes_rows_alone: whether all of them only write rows; others, such as CREATE TABLE, are not repeated.
        statements: each with the values of one run or of several.
    """

    version: int
    changes: int = 0
    changed_rows: int = 0
    writes_rows_alone: bool = True
    statements: list[tuple[str, list[Any]]] = field(default_factory=list)

    def note(self, sql: str, rows: Sequence[Any]) -> None:
        """Records a statement, unless it only reads."""
        # SQL's grammar: what begins with one of these words is no other statement. Anything else, such as WITH or a
        # comment, counts as one that cannot be repeated. SQLite's authorizer would tell more, but calls Python for each
        # column of each statement that is compiled; how many rows the repetition must change shows what this misses.
        if sql.startswith("SELECT"):
            return
        self.writes_rows_alone &= sql.startswith(("INSERT", "UPDATE", "DELETE"))
        if self.statements and self.statements[-1][0] == sql:
            self.statements[-1][1].extend(rows)
        else:
            self.statements.append((sql, list(rows)))


class Database:
    """One connection to the staging database. Not thread-safe: each thread opens its own.

    Attributes:
        connection: SQLite's own, for what this class does not do.
        must_end: returns whether a thread of a running worker must end. Such a thread waits for the database lock
            indefinitely; None for a command, which gives up after BUSY_SECONDS.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.must_end: Callable[[], bool] | None = None
        self.held_seconds = 0.0
        self._rehearsal: Rehearsal | None = None

    @property
    def is_ending(self) -> bool:
        """Whether its thread must end."""
        return self.must_end is not None and self.must_end()

    def execute(self, sql: str, values: Any = ()) -> Any:
        """Runs one statement.

        Raises:
            DatabaseError: the file is full, locked, read-only or corrupt.
        """
        if self._rehearsal is not None:
            self._rehearsal.note(sql, [values])
        return self._retry_while_locked(self.connection.execute, sql, values)

    def value(self, kind: Callable[[Any], _Result], sql: str, values: Any = ()) -> _Result | None:
        """Returns the first column of the first row, as a kind of value; None without a row, and for NULL."""
        row = self.execute(sql, values).fetchone()
        return None if row is None or row[0] is None else kind(row[0])

    def column(self, kind: Callable[[Any], _Result], sql: str, values: Any = ()) -> list[_Result]:
        """Returns the first column of all rows, each as a kind of value."""
        return [kind(row[0]) for row in self.execute(sql, values)]

    def count(self, rows: str, values: Any = ()) -> int:
        """Returns how many rows there are of a table, or of what else follows FROM."""
        return int(self.execute(f"SELECT count(*) FROM {rows}", values).fetchone()[0])

    def exists(self, rows: str, values: Any = ()) -> bool:
        """Returns whether there is such a row."""
        return self.execute(f"SELECT 1 FROM {rows} LIMIT 1", values).fetchone() is not None

    def executemany(self, sql: str, rows: Any) -> int:
        """Runs one statement for many rows; returns how many it changed.

        Raises:
            DatabaseError: the file is full, locked, read-only or corrupt.
        """
        if self._rehearsal is not None or not self.connection.in_transaction:
            rows = list(rows)  # kept for a retry when the database is locked
        if self._rehearsal is not None:
            self._rehearsal.note(sql, rows)
        return int(self._retry_while_locked(self.connection.executemany, sql, rows).rowcount)

    def execute_each(self, sql: str, rows: Iterable[_Row]) -> list[_Row]:
        """Runs one statement for each of many rows; returns the rows for which it changed something.

        Raises:
            DatabaseError: the file is full, locked, read-only or corrupt.
        """
        return [row for row in rows if self.execute(sql, row).rowcount > 0]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Runs a block as one transaction, rolled back if it raises.

        Raises:
            DatabaseError: it could not begin or commit.
        """
        self.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        try:
            yield
        except BaseException:
            with translated():
                self.connection.rollback()
            raise
        with translated():
            self.connection.commit()
        self.held_seconds = time.monotonic() - began

    def pages(
        self,
        table: str,
        key: Sequence[str],
        where: str = "1",
        values: Sequence[Any] = (),
        *,
        more: Sequence[str] = (),
    ) -> Iterator[list[Any]]:
        """Yields rows page by page. Each page is a separate short read, so that others can write in between.

        Args:
            key: columns that identify and order the rows; an index should begin with them.
        """
        names, marks = ", ".join(f'"{column}"' for column in key), ", ".join("?" * len(key))
        query = f"SELECT {', '.join([names, *more])} FROM {table} WHERE {where}"
        end = f"ORDER BY {names} LIMIT {PAGE_ROWS}"
        rows = self.execute(f"{query} {end}", values).fetchall()
        while rows:
            yield rows
            last = tuple(rows[-1])[: len(key)]
            rows = self.execute(f"{query} AND ({names}) > ({marks}) {end}", (*values, *last)).fetchall()

    def parts(self, rows: Iterable[_Row]) -> Generator[Part[_Row], None, None]:
        """Splits a long operation into parts, one short transaction each, so that others can write in between.

        Run each part in a transaction before taking the next one: see :meth:`in_parts`. What is done stays done. Ends
        early if the thread must end.

        Args:
            rows: consumed outside of the transactions, as many as fit into the next one.
        """
        taken, pace, left = 0, Pace(), iter(rows)
        waiting: list[_Row] = []
        with self._writing_back_between():
            while waiting := waiting or list(islice(left, pace.rows)):
                part = Part(waiting, pace.rows, taken)
                yield part
                waiting, taken = waiting[part.done :], taken + part.done
                if self.is_ending:
                    break
                pace.after(self.held_seconds, part.done)
                self._write_back(WRITTEN_BACK_PAGES)

    def in_parts(
        self,
        rows: Iterable[_Row],
        write: Callable[[list[_Row]], int],
        *,
        progress: Callable[[int], None] = lambda count: None,
    ) -> int:
        """Writes many rows that are only in this database, in short transactions.

        Args:
            rows: as in :meth:`parts`.
            write: writes some of them in a transaction; returns how many rows it changed.
            progress: called after each transaction with how many rows were consumed.

        Returns:
            How many rows were changed; fewer than all if the thread must end.

        Raises:
            DatabaseError: the rest is not written.
        """
        changed = 0
        with closing(self.parts(rows)) as parts:
            for part in parts:
                with self.transaction():
                    changed += sum(write(part_rows) for part_rows in part)
                progress(part.taken)
        return changed

    def _write_back(self, pages: int) -> None:
        _, written, written_back = self.execute("PRAGMA wal_checkpoint(NOOP)").fetchone()
        if written - written_back > pages:
            self.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    @contextmanager
    def _writing_back_between(self) -> Iterator[None]:
        # A checkpoint within a commit runs after the lock is released, and would make the step seem longer.
        self.execute("PRAGMA wal_autocheckpoint = 0")
        try:
            yield
        finally:
            self.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")

    def _retry_while_locked(self, run: Callable[..., _Result], *values: Any) -> _Result:
        # Waits here, not in SQLite, where nothing could interrupt it. Inside a transaction there is no need to wait.
        began, log_after = time.monotonic(), LOGGED_AFTER_SECONDS
        while True:
            try:
                return run(*values)
            except sqlite3.Error as error:
                waited = time.monotonic() - began
                if str(error) != _LOCKED or self.connection.in_transaction or self._gives_up(waited):
                    raise _translation(error) from error
                time.sleep(BUSY_PAUSE_SECONDS)
                if waited >= log_after:
                    message = "waiting for the database for %.0f s: another process or thread is writing"
                    log.warning(message, waited, extra={"seconds": round(waited)})
                    log_after *= 2

    def _gives_up(self, waited: float) -> bool:
        if self.must_end is None:
            return waited >= BUSY_SECONDS
        return waited >= ENDING_SECONDS and self.must_end()

    def version(self) -> int:
        """Returns a number that changes with each commit of another connection.

        Raises:
            DatabaseError: the file cannot be read.
        """
        return int(self.execute("PRAGMA data_version").fetchone()[0])

    @contextmanager
    def snapshot(self, begin: str = "BEGIN") -> Iterator[None]:
        """Runs a block on one snapshot of the database; writes are rolled back.

        Raises:
            DatabaseError: it could not begin.
        """
        self.execute(begin)
        try:
            yield
        finally:
            with translated():
                self.connection.rollback()

    @contextmanager
    def rehearsal(self) -> Iterator[Rehearsal]:
        """Runs a block and rolls it back, to see what it would write; nobody else writes meanwhile.

        Raises:
            DatabaseError: it could not begin.
        """
        with self.snapshot("BEGIN IMMEDIATE"):
            self._rehearsal = rehearsal = Rehearsal(self.version())
            before = self.connection.total_changes
            try:
                yield rehearsal
            finally:
                self._rehearsal = None
                rehearsal.changes = self.connection.total_changes
                rehearsal.changed_rows = rehearsal.changes - before

    def unchanged_since(self, rehearsal: Rehearsal) -> bool:
        """Returns whether nobody has written since a rehearsal ended."""
        return (self.version(), self.connection.total_changes) == (rehearsal.version, rehearsal.changes)

    def repeat(self, rehearsal: Rehearsal) -> bool:
        """Repeats what a rehearsal wrote, if it only wrote rows and nobody has written since. Call it in a transaction.

        Returns:
            Whether it did.

        Raises:
            DatabaseError: it cannot be written.
            RuntimeError: it changed another number of rows, which is a bug.
        """
        if not (rehearsal.writes_rows_alone and self.unchanged_since(rehearsal)):
            return False
        for sql, rows in rehearsal.statements:
            if "RETURNING" in sql:  # not allowed in executemany
                for row in rows:
                    self.execute(sql, row).fetchall()
            else:
                self.executemany(sql, rows)
        changed_rows = self.connection.total_changes - rehearsal.changes
        if changed_rows != rehearsal.changed_rows:  # a statement was not noted
            raise RuntimeError(f"{changed_rows} rows were changed, and {rehearsal.changed_rows} in the rehearsal")
        return True

    def empty_log(self) -> None:
        """Checkpoints and empties the write-ahead log. Not inside a transaction.

        Raises:
            DatabaseError: it is not empty, because another connection keeps reading or writing.
        """

        def empty() -> None:
            if self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                raise sqlite3.OperationalError(_LOCKED)

        self._retry_while_locked(empty)

    def close(self) -> None:
        """Closes the connection; an open transaction is rolled back."""
        self.connection.close()


_LOCKED = "database is locked"


def open_database(path: Path | str) -> Database:
    """Opens the database at ``path``, creating it and its folder, and migrates its schema.

    Args:
        path: the file, or ``":memory:"`` for a test.

    Raises:
        DatabaseError: it cannot be opened, is not an SQLite database, or was written by a newer release.
    """
    with translated(path):
        require_current(sqlite3.sqlite_version_info)
        if path != ":memory:":
            make_private(Path(path))
        connection = sqlite3.connect(str(path), timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        # Overwrites deleted content, whole pages too, unlike FAST; staging is no slower.
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        if migrations.are_missing(connection):
            migrations.apply(connection)
        connection.execute(f"PRAGMA busy_timeout = {BUSY_SLICE_MS}")
    return Database(connection)


@contextmanager
def translated(path: Path | str = "") -> Iterator[None]:
    """Translates SQLite's errors to DatabaseError, which names the path."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translation(error, path) from error


def _translation(error: Exception, path: Path | str = "") -> DatabaseError:
    where = f" ({path})" if path else ""
    return DatabaseError(f"The database cannot be used: {error}{where}.", advice(str(error)))
