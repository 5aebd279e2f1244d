"""Counts failed attempts to sign in with a token or link, and refuses clients that fail too often."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from worker.web.errors import TooManyTries

MOST_TRIES = 10
"""Failed attempts of one client within :data:`WITHIN_SECONDS`."""
WITHIN_SECONDS = 60.0
MOST_ADDRESSES = 1000
"""Clients that are remembered; the least recent are dropped first."""


class FailedLogins:
    """Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failed: dict[str, deque[float]] = {}

    def check(self, address: str) -> None:
        """Checks that a client has not failed too often.

        Raises:
            TooManyTries: it has.
        """
        with self._lock:
            if len(self._recent(address)) >= MOST_TRIES:
                raise TooManyTries("Too many failed attempts came from your address.", "Wait a minute, then try again.")

    def failed(self, address: str) -> None:
        """Records a failed attempt."""
        with self._lock:
            recent = self._recent(address)
            recent.append(self._clock())
            self._failed.pop(address, None)
            self._failed[address] = recent
            while len(self._failed) > MOST_ADDRESSES:
                del self._failed[next(iter(self._failed))]

    def _recent(self, address: str) -> deque[float]:
        recent = self._failed.get(address, deque())
        while recent and recent[0] <= self._clock() - WITHIN_SECONDS:
            recent.popleft()
        return recent
