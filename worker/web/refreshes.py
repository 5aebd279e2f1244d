"""Readings of accounts' lists from Mailchimp, each in a thread: one may take two minutes, and nobody waits for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from worker.accounts.lists import Refreshed
from worker.errors import WorkerError
from worker.model import AccountId, ListId
from worker.web.problems import Busy

log = logging.getLogger("worker.web")

MOST_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Refresh:
    """A reading of an account's lists.

    Attributes:
        began_at: when somebody asked for it.
        ended_at: None while it is under way.
        problem: what went wrong; None where it went well, or is under way.
        new: lists that were not known before.
        gone: stored lists that Mailchimp no longer has, found so then.
        back: stored lists that are there again.
    """

    began_at: datetime
    ended_at: datetime | None = None
    problem: WorkerError | None = None
    new: tuple[ListId, ...] = ()
    gone: tuple[ListId, ...] = ()
    back: tuple[ListId, ...] = ()

    @property
    def running(self) -> bool:
        """Whether it is under way."""
        return self.ended_at is None


class Refreshes:
    """The last reading of each account since the worker began. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[AccountId, Refresh] = {}

    def of(self, account_id: AccountId) -> Refresh | None:
        """Returns the account's last reading; None where there was none since the worker began."""
        with self._lock:
            return self._of.get(account_id)

    def start(self, account_id: AccountId, clock: Callable[[], datetime], read: Callable[[], Refreshed]) -> Refresh:
        """Starts a reading, unless one of the account is under way; returns it.

        Raises:
            Busy: too many of other accounts are under way.
        """
        with self._lock:
            known = self._of.get(account_id)
            if known is not None and known.running:
                return known
            if sum(one.running for one in self._of.values()) >= MOST_AT_ONCE:
                raise Busy("The lists of several other accounts are being read now.", "Try again in a minute.")
            made = self._of[account_id] = Refresh(clock())
        args = (account_id, made, clock, read)
        threading.Thread(target=self._run, args=args, name="refresh", daemon=True).start()
        return made

    def _run(
        self, account_id: AccountId, began: Refresh, clock: Callable[[], datetime], read: Callable[[], Refreshed]
    ) -> None:
        problem: WorkerError | None = None
        found = None
        try:
            found = read()
        except WorkerError as error:
            problem = error
        except Exception:
            log.exception("reading the lists of an account met an internal error; see the traceback below")
            problem = WorkerError("The worker met an internal error.", "Try again. If it stays, see its log.")
        ended = replace(began, ended_at=clock(), problem=problem)
        if found is not None:
            new, gone, back = (tuple(one.list_id for one in some) for some in (found.new, found.gone, found.back))
            ended = replace(ended, new=new, gone=gone, back=back)
        with self._lock:
            self._of[account_id] = ended
