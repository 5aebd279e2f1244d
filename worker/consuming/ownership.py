"""Which partitions are this worker's, and how far each was read: told by the poll thread, asked by the flush."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

SESSION_SECONDS = 45.0
"""Without a sign of life for so long the group gives the partitions to another worker: librdkafka's default."""
SILENT, IN_DOUBT = 2 / 3, 1 / 8
"""Parts of that: without a poll for the first no call is begun, nor for the second after the next poll. A process that
was frozen for so long finds out within that time whether it lost its partitions meanwhile."""


@dataclass(slots=True)
class _Partition:
    start: int
    end: int
    next_offset: int
    caught_up: bool = False


class Ownership:
    """What the consumer group gave this worker. Threads share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, session_seconds: float = SESSION_SECONDS) -> None:
        self._clock = clock
        self._session_seconds = session_seconds
        self._in_doubt_until = 0.0
        self._lock = threading.Condition()
        self._partitions: dict[int, _Partition] = {}
        self._assigned = False
        self._polled_at: float | None = None

    # Told by the poll thread

    def polled(self) -> None:
        """Notes that the consumer was polled."""
        now = self._clock()
        if self._polled_at is not None and now - self._polled_at >= self._session_seconds * SILENT:
            self._in_doubt_until = now + self._session_seconds * IN_DOUBT
        self._polled_at = now

    def given(self, spans: Mapping[int, tuple[int, int]]) -> None:
        """Notes partitions that were assigned, with where reading begins and the end of each log at that moment."""
        with self._lock:
            self._assigned = True
            for partition, (start, end) in spans.items():
                self._partitions[partition] = _Partition(start, end, start, caught_up=start >= end)
            self._lock.notify_all()

    def taken(self, partitions: Collection[int]) -> None:
        """Notes partitions that were revoked or lost: from now on no call is begun for them."""
        with self._lock:
            self._assigned = False
            for partition in partitions:
                self._partitions.pop(partition, None)

    def read_to(self, partition: int, next_offset: int, *, at_end: bool) -> None:
        """Notes how far a partition was read and staged.

        Args:
            partition: which.
            next_offset: the offset to read next.
            at_end: whether the broker said that this is the end of its log.
        """
        with self._lock:
            known = self._partitions.get(partition)
            if known is None:
                return
            known.next_offset = next_offset
            known.caught_up = known.caught_up or at_end or next_offset >= known.end
            self._lock.notify_all()

    # Asked by the flush

    def caught_up(self) -> frozenset[int]:
        """Returns the partitions that are this worker's and were read to where they ended when they were assigned."""
        with self._lock:
            return frozenset(number for number, one in self._partitions.items() if one.caught_up)

    def owned(self) -> frozenset[int]:
        """Returns the partitions that are this worker's."""
        with self._lock:
            return frozenset(self._partitions)

    def backlog(self) -> tuple[int, int]:
        """Returns how many of the records that were there at assignment were read, and how many there were."""
        with self._lock:
            parts = self._partitions.values()
            total = sum(one.end - one.start for one in parts)
            return sum(min(one.next_offset, one.end) - one.start for one in parts), total

    def may_call(self, partitions: Collection[int]) -> bool:
        """Tells whether a call may be begun for customers of these partitions."""
        if self._polled_at is None:
            return False
        now = self._clock()
        if now - self._polled_at >= self._session_seconds * SILENT or now < self._in_doubt_until:
            return False
        return self.owned().issuperset(partitions)

    def seconds_since_poll(self) -> float | None:
        """Returns how long ago the consumer was polled; None if never."""
        return None if self._polled_at is None else self._clock() - self._polled_at

    def wait_until_read(self, timeout: float) -> bool:
        """Waits until the group has assigned partitions and all of them are caught up.

        Returns:
            Whether they are.
        """
        with self._lock:
            return self._lock.wait_for(self._is_read, timeout)

    def wait_for_records(self, count: int, timeout: float) -> bool:
        """Waits until so many records were read and staged since the partitions were assigned.

        Returns:
            Whether they were.
        """
        with self._lock:
            return self._lock.wait_for(
                lambda: sum(one.next_offset - one.start for one in self._partitions.values()) >= count, timeout
            )

    def _is_read(self) -> bool:
        return self._assigned and all(one.caught_up for one in self._partitions.values())
