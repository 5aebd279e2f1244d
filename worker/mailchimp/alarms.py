"""Rings for what is not over in time: one thread for all calls of a client, since starting one costs like a call."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Alarm:
    """Rings once unless it is cancelled before."""

    ring: Callable[[], None]
    due: float
    cancelled: bool = False

    def cancel(self) -> None:
        """Lets it not ring; it may just do so."""
        self.cancelled = True


class Alarms:
    """Alarms that all ring after the same time. Threads share it."""

    def __init__(self, seconds: float) -> None:
        """Starts no thread yet.

        Args:
            seconds: until an alarm rings.
        """
        self._seconds = seconds
        self._set = deque[Alarm]()
        self._changed = threading.Condition()
        self._idle = False
        self._thread: threading.Thread | None = None

    def set(self, ring: Callable[[], None]) -> Alarm:
        """Sets an alarm and returns it."""
        alarm = Alarm(ring, time.monotonic() + self._seconds)
        with self._changed:
            while self._set and self._set[0].cancelled:
                self._set.popleft()
            self._set.append(alarm)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="alarms", daemon=True)
                self._thread.start()
            elif self._idle:  # else it waits for an earlier one, maybe cancelled since, and looks on from there
                self._changed.notify()
        return alarm

    def close(self) -> None:
        """Ends the thread; what is set rings no more."""
        with self._changed:
            self._thread = None
            self._set.clear()
            self._changed.notify()

    def _watch(self) -> None:
        while True:
            with self._changed:
                if self._thread is not threading.current_thread():
                    return
                wait = self._set[0].due - time.monotonic() if self._set else None
                if wait is None or wait > 0:
                    self._idle = wait is None
                    self._changed.wait(wait)
                    continue
                alarm = self._set.popleft()
            if not alarm.cancelled:
                alarm.ring()
