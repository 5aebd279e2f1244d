"""A changelog without Kafka, which fails a test whose code writes a row of ledger or settings and does not name it.

Triggers note the key of each such row that a connection writes, whichever function wrote it. They are in tests alone:
in the product a function returns the rows that it wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from worker.model import AccountId
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed, Kind, RowKey

_Result = TypeVar("_Result")
_TABLES: dict[str, tuple[Kind, tuple[str, ...]]] = {
    "ledger": ("place", ("account_id", "list_id", "address")),
    "standing": ("customer", ("account_id", "customer_id")),
    "account": ("account", ("account_id",)),
    "list": ("account", ("account_id",)),
    "forgotten": ("forgotten", ("account_id", "digest")),
    "changelog_topic": ("topic", ("about", "partition")),
    "erasure_request": ("erasure", ("account_id", "digest")),
}
_COLUMNS = dict(_TABLES.values())


def _trigger(table: str, event: str) -> str:
    kind, columns = _TABLES[table]
    row = "OLD" if event == "DELETE" else "NEW"
    key = [*(f"{row}.{column}" for column in columns), "NULL", "NULL"][:3]
    return (
        f"CREATE TEMP TRIGGER touched_{table}_{event} AFTER {event} ON main.{table} "
        f"BEGIN INSERT INTO touched VALUES ('{kind}', {', '.join(key)}); END"
    )


_WATCH = (
    # Without a key: a trigger's own rule for conflicts gives way to that of the statement which fires it.
    "CREATE TEMP TABLE touched (kind, a, b, c)",
    *(_trigger(table, event) for table in _TABLES for event in ("INSERT", "UPDATE", "DELETE")),
)


def watch(db: Database) -> None:
    """Has a connection note the keys of all rows of these tables that it writes from now on."""
    run = db.connection.execute  # not by its own methods, which a test may count
    if run("SELECT 1 FROM temp.sqlite_master WHERE name = 'touched'").fetchone() is not None:
        return
    run("PRAGMA temp_store = MEMORY")
    run("SAVEPOINT watch")  # one for all of them takes a third of the time
    for statement in _WATCH:
        run(statement)
    run("RELEASE watch")


def written(db: Database) -> set[RowKey]:
    """Returns which rows a watched connection wrote since :func:`touched` was called last. Only reads."""
    rows = db.connection.execute("SELECT DISTINCT * FROM temp.touched").fetchall()
    return {RowKey(kind, tuple(key[: len(_COLUMNS[kind])])) for kind, *key in rows}


def touched(db: Database) -> set[RowKey]:
    """Returns which rows a watched connection wrote since this was asked last."""
    row_keys = written(db)
    db.connection.execute("DELETE FROM temp.touched")
    return row_keys


class CheckedChangelog:
    """Commits as the product does: what a function writes is rehearsed first, and then written."""

    def commit(self, db: Database, write: Callable[[], Changed[_Result]], *, erase: bool = False) -> _Result:
        """Commits what a function writes, if it names every row of ledger and settings that it wrote."""
        watch(db)
        with db.rehearsal():
            write()
        with Database.transaction(db):
            touched(db)  # what a test wrote before, to begin with
            changed = write()
            if changed.rest is not None:
                changed.rest()
            unnamed = touched(db) - set(changed.rows)
            assert not unnamed, f"rows that Kafka would never get: {sorted(unnamed)}"
        return changed.result

    def failure_of(self, account_id: AccountId) -> None:
        """Returns nothing: every account's ledger can be written."""


CHANGELOG = CheckedChangelog()


def guarded(db: Database) -> Database:
    """Has a connection of the product fail where it writes such rows in a transaction that no changelog commits."""

    @contextmanager
    def transaction() -> Iterator[None]:
        with Database.transaction(db):
            touched(db)
            yield
            unnamed = touched(db)
            assert not unnamed, f"rows that Kafka would never get: {sorted(unnamed)}"

    watch(db)
    plain: Callable[[], AbstractContextManager[None]] = transaction
    db.transaction = plain  # type: ignore[method-assign]
    return db
