"""Timers for calls that take too long. One thread runs all timers of a client: starting one costs as much as a call."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Timer:
    """Calls a function once when it is due, unless it is cancelled first."""

    on_expiry: Callable[[], None]
    due: float
    cancelled: bool = False

    def cancel(self) -> None:
        """Cancels the timer. It may be expiring at this moment."""
        self.cancelled = True


class Timers:
    """Timers that all have the same length. Thread-safe."""

    def __init__(self, seconds: float) -> None:
        """Starts no thread yet.

        Args:
            seconds: until a timer expires.
        """
        self._seconds = seconds
        self._running = deque[Timer]()
        self._changed = threading.Condition()
        self._idle = False
        self._thread: threading.Thread | None = None

    def start(self, on_expiry: Callable[[], None]) -> Timer:
        """Starts a timer and returns it."""
        timer = Timer(on_expiry, time.monotonic() + self._seconds)
        with self._changed:
            while self._running and self._running[0].cancelled:
                self._running.popleft()
            self._running.append(timer)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="timers", daemon=True)
                self._thread.start()
            elif self._idle:  # else the thread already waits for an earlier timer
                self._changed.notify()
        return timer

    def close(self) -> None:
        """Ends the thread; timers that are running never expire."""
        with self._changed:
            self._thread = None
            self._running.clear()
            self._changed.notify()

    def _watch(self) -> None:
        while True:
            with self._changed:
                if self._thread is not threading.current_thread():
                    return
                wait = self._running[0].due - time.monotonic() if self._running else None
                if wait is None or wait > 0:
                    self._idle = wait is None
                    self._changed.wait(wait)
                    continue
                timer = self._running.popleft()
            if not timer.cancelled:
                timer.on_expiry()
