"""Whether calls for an account may still be made: its settings and assignment are unchanged, and no stop is due."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from worker.clock import Stop
from worker.flush.eligibility import Eligibility
from worker.sqlite.database import Database
from worker.store import accounts
from worker.store.accounts import AccountSettings


class CallPermission:
    """Checked before each call of an account. As a `Stop` it ends the waits of calls that may not be made any more.

    Thread-safe.
    """

    def __init__(
        self, open_database: Callable[[], Database], settings: AccountSettings, stop: Stop, eligibility: Eligibility
    ) -> None:
        """Opens its own connection, so that no call waits for what the flush writes.

        Args:
            settings: as they were when the flush began.
        """
        self._stop = stop
        self._eligibility = eligibility
        self._account_id = settings.account_id
        self._db = open_database()
        self._lock = threading.Lock()
        now = accounts.in_force(self._db, self._account_id)
        self._began = replace(
            now, enabled=settings.enabled, master_list=settings.master_list, stored=settings.stored_ids
        )
        self._version: int | None = None
        self._unchanged = True

    def ours(self) -> bool:
        """Returns whether the account's partition is still assigned to this worker; else nothing may be written."""
        return self._eligibility.may_call(self._account_id)

    def may_continue(self) -> bool:
        """Returns whether the flush may continue."""
        return not self._stop.is_set() and self.ours()

    def unchanged(self) -> bool:
        """Returns whether nobody was erased, and the account is still enabled with the same key and lists.

        An additional stored list counts as a change: customers that belong there must not be settled elsewhere. So does
        a list that another account has stored since: nothing may be written there any more.
        """
        with self._lock:
            # Checked several times per call, while the database is written a few times a second.
            version = self._db.version()
            if version != self._version:
                self._unchanged = accounts.in_force(self._db, self._account_id) == self._began
                self._version = version
            return self._unchanged

    def erased(self, db: Database) -> bool:
        """Returns whether somebody was erased from the account since its flush began, so earlier reads are stale.

        Args:
            db: the connection of the calling thread, possibly within a transaction.
        """
        return accounts.in_force(db, self._account_id).erasures != self._began.erasures

    def may_call(self) -> bool:
        """Returns whether a call may start."""
        return self.may_continue() and self.unchanged()

    def is_set(self) -> bool:
        """Returns whether no more calls may start."""
        return not self.may_call()

    def wait(self, timeout: float) -> bool:
        """Waits until no more calls may start, up to `timeout` seconds; returns whether that is so."""
        return self._stop.wait(timeout) or self.is_set()

    def close(self) -> None:
        """Closes the connection."""
        with self._lock:
            self._db.close()
