"""Refreshes of accounts' lists from Mailchimp, each in a thread: one may take two minutes, and nobody waits for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from worker.accounts.lists import Refreshed
from worker.errors import WorkerError
from worker.model import AccountId
from worker.web.errors import Busy

log = logging.getLogger("worker.web")

MOST_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Refresh:
    """One refresh of an account's lists.

    Attributes:
        ended_at: None while it is running.
        problem: what went wrong; None if nothing did, or while it is running.
        refreshed: what it found; None while it is running, or if something went wrong.
    """

    began_at: datetime
    ended_at: datetime | None = None
    problem: WorkerError | None = None
    refreshed: Refreshed | None = None

    @property
    def running(self) -> bool:
        """Whether it is still running."""
        return self.ended_at is None


class Refreshes:
    """The last refresh of each account since the worker started. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[AccountId, Refresh] = {}

    def of(self, account_id: AccountId) -> Refresh | None:
        """Returns the account's last refresh; None if there was none since the worker started."""
        with self._lock:
            return self._of.get(account_id)

    def start(self, account_id: AccountId, clock: Callable[[], datetime], read: Callable[[], Refreshed]) -> Refresh:
        """Starts a refresh, unless the account has one running; returns it.

        Raises:
            Busy: too many refreshes of other accounts are running.
        """
        with self._lock:
            latest = self._of.get(account_id)
            if latest is not None and latest.running:
                return latest
            if sum(refresh.running for refresh in self._of.values()) >= MOST_AT_ONCE:
                raise Busy("The lists of several other accounts are being read now.", "Try again in a minute.")
            refresh = self._of[account_id] = Refresh(clock())
        args = (account_id, refresh, clock, read)
        threading.Thread(target=self._run, args=args, name="refresh", daemon=True).start()
        return refresh

    def _run(
        self, account_id: AccountId, began: Refresh, clock: Callable[[], datetime], read: Callable[[], Refreshed]
    ) -> None:
        problem: WorkerError | None = None
        refreshed = None
        try:
            refreshed = read()
        except WorkerError as error:
            problem = error
        except Exception:
            log.exception("reading the lists of an account met an internal error; see the traceback below")
            problem = WorkerError("The worker met an internal error.", "Try again. If it stays, see its log.")
        with self._lock:
            self._of[account_id] = replace(began, ended_at=clock(), problem=problem, refreshed=refreshed)
