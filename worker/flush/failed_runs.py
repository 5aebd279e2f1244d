"""Runs of this process that an error ended, such as a full disk, until the database says so."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from worker.clock import Clock, as_text
from worker.errors import WorkerError
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.store import runs
from worker.store.run_result import INTERNAL_ERROR
from worker.store.runs import AccountRun, Trigger


@dataclass(frozen=True, slots=True)
class FailedRun:
    """A run that an error ended.

    Attributes:
        at: when, as text.
        account_id: the one account that an operator requested; None for all.
        reason: for people.
        ended: the accounts whose parts had ended before.
    """

    run: int
    at: str
    trigger: Trigger
    account_id: AccountId | None
    reason: str
    ended: frozenset[AccountId]


class FailedRuns:
    """Ends runs in the database, also if it cannot be written when they fail. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[int, FailedRun] = {}

    def add(
        self,
        run: int,
        trigger: Trigger,
        account_id: AccountId | None,
        error: BaseException,
        parts: Iterable[AccountRun],
    ) -> None:
        """Remembers a run that an error ended, until :meth:`record` has recorded it.

        Args:
            account_id: the one account that an operator requested; None for all.
            parts: those that had ended before.
        """
        ended = frozenset(part.account_id for part in parts)
        reason = f"{error.message} {error.advice}" if isinstance(error, WorkerError) else INTERNAL_ERROR
        with self._lock:
            self._waiting[run] = FailedRun(run, as_text(self._clock()), trigger, account_id, reason, ended)

    def record(self, db: Database) -> None:
        """Records the end of all of them.

        Args:
            db: outside of a transaction.

        Raises:
            DatabaseError: the database cannot be written; they stay remembered.
        """
        with self._lock:
            for failed in list(self._waiting.values()):
                with db.transaction():
                    account_ids = runs.fail(db, failed.run, failed.at, failed.reason, failed.ended)
                    # A daily flush and a retry are started again by themselves.
                    if failed.trigger == "command" and failed.account_id is None:
                        for account_id in account_ids:
                            runs.account_failed(db, account_id, failed.at, again=False)
                del self._waiting[failed.run]
