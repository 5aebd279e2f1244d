"""For code that writes rows that Kafka keeps too: what commits them, and long operations in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from typing import Protocol, TypeVar

from worker.errors import KafkaError
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.sqlite.parts import Part
from worker.sqlite.rows import Changed, RowKey

_Result = TypeVar("_Result")
_Row = TypeVar("_Row")


class Changelog(Protocol):
    """Commits changes of ledger and settings: see :class:`worker.changelog.writer.ChangelogWriter`."""

    def commit(self, db: Database, write: Callable[[], Changed[_Result]], *, erase: bool = False) -> _Result:
        """Writes the changed rows to Kafka, then commits everything that the function writes in one transaction."""
        ...

    def failure_of(self, account_id: AccountId) -> KafkaError | None:
        """Returns why the ledger of an account cannot be written; None if it can."""
        ...


def commit_in_parts(
    changelog: Changelog,
    db: Database,
    rows: Iterable[_Row],
    write: Callable[[list[_Row]], Changed[int]],
    *,
    erase: bool = False,
    progress: Callable[[int], None] = lambda count: None,
) -> int:
    """Writes many rows that Kafka keeps too, in parts. Parts that are done stay done.

    Args:
        db: outside of a transaction.
        rows: as in :meth:`worker.sqlite.database.Database.parts`.
        write: writes one part; returns how many rows it changed, and which.
        erase: whether deleted rows must be erased from Kafka too.
        progress: called after each part with how many rows were processed so far.

    Returns:
        How many rows were changed; fewer than all if the thread must end.

    Raises:
        DatabaseError: the rest is not written.
        KafkaError: the rest is not written.
    """
    changed = 0
    with closing(db.parts(rows)) as parts:
        for part in parts:
            changed += changelog.commit(db, partial(_written, part, write), erase=erase)
            progress(part.taken)
    return changed


def _written(part: Part[_Row], write: Callable[[list[_Row]], Changed[int]]) -> Changed[int]:
    written, rows = 0, list[RowKey]()
    for part_rows in part:
        changed = write(part_rows)
        written += changed.result
        rows += changed.rows
    return Changed(written, rows)
