"""Counters and durations of this process. ``worker.web.collector`` exports them."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from copy import deepcopy

CALL_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
WRITE_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 20.0)
FLUSH_BOUNDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0)


class Histogram:
    """How many durations were at most each bound, in seconds."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.total = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, seconds: float) -> None:
        """Counts a duration."""
        self._counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def cumulated(self) -> list[tuple[float, int]]:
        """Returns each bound, infinity last, with the number of durations up to it."""
        cumulated, total = [], 0
        for bound, bucket_count in zip((*self.bounds, float("inf")), self._counts, strict=True):
            total += bucket_count
            cumulated.append((bound, total))
        return cumulated


class Metrics:
    """Counts for one process. Thread-safe; read it by :meth:`snapshot`.

    Attributes:
        events: read events, by result.
        calls: to Mailchimp, by kind and answer.
        contacts: written receipts, by outcome.
        flushes: ended flushes, by result.
        call_seconds: durations of calls, by kind.
        flush_seconds: durations of flushes.
        refused: rejected records of ledger and settings, by topic.
        changelog_write_seconds: durations of writes to ledger and settings in Kafka.
        active_at: when the last call ended or receipt was written, by the clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.events: Counter[str] = Counter()
        self.calls: Counter[tuple[str, str]] = Counter()
        self.contacts: Counter[str] = Counter()
        self.flushes: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.call_seconds: defaultdict[str, Histogram] = defaultdict(lambda: Histogram(CALL_BOUNDS))
        self.flush_seconds = Histogram(FLUSH_BOUNDS)
        self.changelog_write_seconds = Histogram(WRITE_BOUNDS)
        self.active_at = clock()

    def events_read(self, results: Mapping[str, int]) -> None:
        """Counts events, by result, once they are staged."""
        with self._lock:
            self.events.update(results)

    def called(self, kind: str, answer: str, seconds: float) -> None:
        """Counts a call to Mailchimp that ended."""
        with self._lock:
            self.calls[kind, answer] += 1
            self.call_seconds[kind].observe(seconds)
            self.active_at = self._clock()

    def contacts_recorded(self, outcomes: Mapping[str, int]) -> None:
        """Counts receipts, by outcome, once they are written."""
        with self._lock:
            self.contacts.update(outcomes)
            self.active_at = self._clock()

    def flushed(self, ended: str, seconds: float) -> None:
        """Counts a flush that ended."""
        with self._lock:
            self.flushes[ended] += 1
            self.flush_seconds.observe(seconds)

    def changelog_written(self, seconds: float) -> None:
        """Counts a write to the ledger or the settings in Kafka."""
        with self._lock:
            self.changelog_write_seconds.observe(seconds)

    def changelog_refused(self, topic: str, count: int) -> None:
        """Counts rejected records of ledger or settings."""
        with self._lock:
            self.refused[topic] += count

    def seconds_idle(self) -> float:
        """Returns the seconds since the last call ended or receipt was written, or since the start."""
        return self._clock() - self.active_at

    def snapshot(self) -> Metrics:
        """Returns a consistent copy."""
        snapshot = Metrics(self._clock)
        with self._lock:
            counted = {name: value for name, value in vars(self).items() if name not in ("_clock", "_lock")}
            vars(snapshot).update(deepcopy(counted))
        return snapshot
