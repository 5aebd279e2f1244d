"""Whether calls for an account may still be made: it is as it was, it is this worker's, and the flush need not end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from worker.flush.eligibility import Eligibility
from worker.mailchimp.rate_limit import Stop
from worker.model import AccountId
from worker.store import accounts, erasure
from worker.store.accounts import AccountSettings, InForce
from worker.store.database import Database


class SettingsWatch:
    """Compares an account with what it was at the beginning of its flush. Threads share it."""

    def __init__(self, open_database: Callable[[], Database], settings: AccountSettings) -> None:
        """Opens a connection of its own, so that no call waits for what the flush writes.

        Args:
            settings: the account's, as its flush began.
        """
        self._db = open_database()
        self._account_id = settings.account_id
        self._lock = threading.Lock()
        self._erased = erasure.number_of(self._db, self._account_id)
        now = accounts.in_force(self._db, self._account_id)
        stored = frozenset(one.list_id for one in settings.stored)
        key = now.api_key if now is not None else None
        of_others = now.of_others if now is not None else frozenset()
        self._began = InForce(settings.enabled, key, settings.master_list, stored, of_others)
        self._version: int | None = None
        self._holds = True

    def hold(self) -> bool:
        """Returns whether nobody was erased, and it is still enabled, with the key and the lists of the beginning.

        One stored list more counts as well: who belongs there must not be settled elsewhere. So does a list of the
        account that another account has stored since: nothing may be written there any more.
        """
        with self._lock:
            # Asked several times a call, and written to a few times a second.
            version = self._db.version()
            if version != self._version:
                self._holds = not self.erased(self._db) and accounts.in_force(self._db, self._account_id) == self._began
                self._version = version
            return self._holds

    def erased(self, db: Database) -> bool:
        """Returns whether somebody was erased from it since the beginning, so that what was read then counts no more.

        Args:
            db: the connection of the thread that asks, also within a transaction.
        """
        return erasure.number_of(db, self._account_id) != self._erased

    def close(self) -> None:
        """Closes the connection."""
        with self._lock:
            self._db.close()


@dataclass(frozen=True, slots=True)
class CallPermission:
    """Asked before each call of an account. As a stop it ends the waiting of calls that may not be made any more.

    Attributes:
        watch: the account's settings, and who was erased.
    """

    stop: Stop
    eligibility: Eligibility
    account_id: AccountId
    watch: SettingsWatch

    def ours(self) -> bool:
        """Returns whether the account's partition is this worker's: else nothing may be written down."""
        return self.eligibility.may_call(self.account_id)

    def lasts(self) -> bool:
        """Returns whether the flush need not end."""
        return not self.stop.is_set() and self.ours()

    def may_call(self) -> bool:
        """Returns whether a call may be begun."""
        return self.lasts() and self.watch.hold()

    def is_set(self) -> bool:
        """Returns whether no call may be begun any more."""
        return not self.may_call()

    def wait(self, timeout: float) -> bool:
        """Waits until no call may be begun, for so many seconds at most; returns whether that is so."""
        return self.stop.wait(timeout) or self.is_set()
