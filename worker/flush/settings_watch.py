"""Whether an account's settings are still those that it is flushed with: asked before each call."""

from __future__ import annotations

import threading
from collections.abc import Callable

from worker.store import accounts
from worker.store.accounts import AccountSettings, InForce
from worker.store.database import Database


class SettingsWatch:
    """Compares an account's settings with those at the beginning of its flush. Threads share it."""

    def __init__(self, open_database: Callable[[], Database], settings: AccountSettings) -> None:
        """Opens a connection of its own, so that no call waits for what the flush writes.

        Args:
            open_database: opens it.
            settings: the account's, as its flush began.
        """
        self._db = open_database()
        self._account_id = settings.account_id
        self._lock = threading.Lock()
        now = accounts.in_force(self._db, self._account_id)
        stored = frozenset(one.list_id for one in settings.stored)
        key = now.api_key if now is not None else None
        of_others = now.of_others if now is not None else frozenset()
        self._began = InForce(settings.enabled, key, settings.master_list, stored, of_others)

    def hold(self) -> bool:
        """Tells whether it is still enabled, with the key, the master list and the stored lists of the beginning.

        One list more counts as well: who belongs there must not be settled elsewhere. So does a list of the account
        that another account has stored since: nothing may be written there any more.
        """
        with self._lock:
            return accounts.in_force(self._db, self._account_id) == self._began

    def close(self) -> None:
        """Closes the connection."""
        with self._lock:
            self._db.close()
