"""Commits what the flushes of all accounts submit: in groups, each acknowledged by Kafka once, on one thread.

The next group consists of what was submitted while the previous one was committed. What nobody waits for is gathered
for a moment longer, because a transaction in Kafka and in SQLite takes as much processor time as many results in it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from worker.changelog.commit import Changelog
from worker.errors import DatabaseError, WorkerError
from worker.flush.step_result import Halted, StepResult
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed, RowKey, Rows

GATHER_SECONDS = 0.5
"""How long results that nobody waits for are gathered. A crash meanwhile costs their calls again."""
MOST_IN_GROUP = 500
"""Customers per transaction, roughly: it holds the write lock for less than 100 ms."""


class Owner(Protocol):
    """An account's part of a flush that submits changes. Called by the queue's thread."""

    @property
    def account_id(self) -> AccountId:
        """The account."""
        ...

    def may_write(self) -> bool:
        """Returns whether anything may still be written for the account."""
        ...

    def erased(self, db: Database) -> bool:
        """Returns, in a transaction, whether somebody was erased from the account meanwhile."""
        ...

    def write_results(self, db: Database, results: Sequence[StepResult]) -> Rows:
        """Writes results of different places and customers, as if one step had them all; returns which rows."""
        ...

    def write_progress(self, db: Database, results: Sequence[StepResult]) -> None:
        """Writes receipts of results, and the account's progress including them."""
        ...

    def committed(self, results: Sequence[StepResult]) -> None:
        """Called with committed results, at least one."""
        ...

    def not_committed(self, error: Exception) -> Exception:
        """Closes the account's part, and returns the error for its threads to raise."""
        ...


class Done:
    """Ends once, with or without an error. Lighter than a future: there is one for each step."""

    __slots__ = ("_ended", "_error", "_pending")

    def __init__(self) -> None:
        self._ended = False
        self._error: BaseException | None = None
        self._pending = threading.Lock()
        self._pending.acquire()

    def end(self, error: BaseException | None) -> None:
        """Lets those who wait go on; does nothing the second time."""
        if not self._ended:
            self._ended, self._error = True, error
            self._pending.release()

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._ended

    def exception(self, seconds: float = -1) -> BaseException | None:
        """Waits for the end; returns the error, None without one.

        Args:
            seconds: how long to wait; -1 for as long as it takes.

        Raises:
            TimeoutError: it has not ended by then.
        """
        if not self._pending.acquire(timeout=seconds):
            raise TimeoutError
        self._pending.release()
        return self._error

    def result(self) -> None:
        """Waits for the end.

        Raises:
            BaseException: the error.
        """
        if (error := self.exception()) is not None:
            raise error


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What one thread hands in.

    Attributes:
        write: writes ledger or settings, and returns which rows; called more than once.
        size: about how many customers it is about.
        result: what a step did, if that is what is written.
        joins: whether that result may be written by the same statements as others of its account; nobody waits for it
            before :meth:`CommitQueue.hurry`.
        instead: returns what is written instead if that cannot be, such as text that no database takes.
        done: ends once it is committed, or with what prevented it.
    """

    owner: Owner
    write: Callable[[Database], Sequence[RowKey]]
    size: int = 1
    result: StepResult | None = None
    joins: bool = False
    instead: Callable[[Exception], Change] | None = None
    done: Done = field(default_factory=Done)


_Parts = Mapping[Owner, Sequence[Change]]


class CommitQueue:
    """Threads of all accounts submit changes; one thread commits them in order.

    A change is committed in both Kafka and the database, or its account does not rely on it. If one account makes a
    commit fail, the rest is committed again without it.
    """

    def __init__(self, db: Database, changelog: Changelog) -> None:
        """Commits nothing yet.

        Args:
            db: a connection of its own, closed at the end.
        """
        self._db = db
        self._changelog = changelog
        self._waiting = deque[Change]()
        self._handed_in = threading.Condition()
        self._hurries = False
        self._ends = False
        self._thread = threading.Thread(target=self._run, name="commits", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._handed_in:
            self._ends = True
            self._handed_in.notify()
        self._thread.join()
        self._db.close()

    def put(self, change: Change) -> None:
        """Submits a change; :attr:`Change.done` completes once it is committed."""
        with self._handed_in:
            if not self._ends:
                self._waiting.append(change)
                self._hurries |= not change.joins
                if self._hurries or len(self._waiting) == 1:
                    self._handed_in.notify()
                return
        change.done.end(Halted())

    def hurry(self) -> None:
        """Commits what was submitted as soon as possible, because somebody waits for it."""
        with self._handed_in:
            self._hurries = True
            self._handed_in.notify()

    def _run(self) -> None:
        while group := self._next_group():
            try:
                self._carry_out(group)
            except BaseException as error:  # nobody may wait forever
                _end(group, error)

    def _next_group(self) -> list[Change]:
        with self._handed_in:
            self._handed_in.wait_for(lambda: self._waiting or self._ends)
            self._handed_in.wait_for(lambda: self._hurries or self._ends, GATHER_SECONDS)
            group: list[Change] = []
            size = 0
            while self._waiting and size < MOST_IN_GROUP:
                group.append(self._waiting.popleft())
                size += group[-1].size
            self._hurries &= bool(self._waiting)
            return group

    def _carry_out(self, group: Sequence[Change]) -> None:
        parts: dict[Owner, list[Change]] = {}
        for change in group:
            parts.setdefault(change.owner, []).append(change)
        for owner in [owner for owner in parts if not owner.may_write()]:
            _end(parts.pop(owner), Halted())
        if not parts:
            return
        try:
            # Rows of ledger and settings go to Kafka first, then everything to the database.
            erased = self._changelog.commit(self._db, lambda: self._write(parts))
        except Exception as error:
            self._apart(parts, error)
            return
        for owner, changes in parts.items():
            if owner in erased:
                _end(changes, owner.not_committed(Halted()))
            else:
                if results := _results(changes):
                    owner.committed(results)
                _end(changes)

    def _write(self, parts: _Parts) -> Changed[set[Owner]]:
        # Checked in the transaction: otherwise what was read of an erased person would be written again.
        erased = {owner for owner in parts if owner.erased(self._db)}
        rows: Rows = []
        for owner, changes in parts.items():
            if owner not in erased:
                rows += [row for change in changes if not change.joins for row in change.write(self._db)]
                if joined := _results([change for change in changes if change.joins]):
                    rows += owner.write_results(self._db, joined)

        def rest() -> None:
            for owner, changes in parts.items():
                if owner not in erased and (results := _results(changes)):
                    owner.write_progress(self._db, results)

        return Changed(erased, rows, rest)

    def _apart(self, parts: _Parts, error: Exception) -> None:
        ends = self._db.is_ending
        everybody = isinstance(error, DatabaseError) and ends
        for owner, changes in parts.items():
            reason = error if everybody or len(parts) == 1 else self._changelog.failure_of(owner.account_id)
            if reason is None:
                self._carry_out(changes)
            elif isinstance(reason, WorkerError):
                _end(changes, owner.not_committed(reason))
            elif len(changes) > 1:
                for change in changes:
                    self._carry_out([change])
            else:
                self._instead(changes[0], reason)

    def _instead(self, change: Change, error: Exception) -> None:
        if change.instead is None:
            _end([change], error)
            return
        other = change.instead(error)
        self._carry_out([other])
        _end([change], other.done.exception())


def _results(changes: Sequence[Change]) -> list[StepResult]:
    return [change.result for change in changes if change.result is not None]


def _end(changes: Sequence[Change], error: BaseException | None = None) -> None:
    for change in changes:
        change.done.end(error)
