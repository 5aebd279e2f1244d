"""What the poll thread knows of its session with the consumer group and the brokers. Other threads query it."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum

SESSION_SECONDS = 45.0
"""How long a member may be silent before the group assigns its partitions to others: librdkafka's default."""
SILENT = 2 / 3
"""Part of the session timeout. After so long without a poll, as in a process that was frozen, no call may start before
the group has confirmed that this worker is still its member."""


class MemberState(Enum):
    """The worker's state in its consumer group."""

    JOINING = "joining"
    """The group has not answered yet."""
    ASSIGNED = "assigned"
    """The group has answered, perhaps with no partition."""
    REVOKED = "revoked"
    """Partitions were revoked or lost; the next assignment is awaited."""
    FENCED = "fenced"
    """The group has fenced this worker. This state is final."""


class GroupSession:
    """The last signs of life of this worker and of Kafka.

    Only the poll thread writes. Each value is replaced as a whole, so any thread may read it without a lock.

    Attributes:
        doubted_at: the end of a silence after which the group has not confirmed this worker yet, in seconds of the
            clock; None without one.
        away_since: when the current outage of all brokers began, in seconds since 1970; None if there is none.
        missing_topic: that the events topic is missing, and what to do; None if it is not.
        others_have_all: while this worker has no partition, whether other workers have all of them; None if Kafka does
            not tell.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, session_seconds: float = SESSION_SECONDS) -> None:
        """Starts a session that was not polled yet.

        Args:
            clock: monotonic, in seconds.
            session_seconds: see SESSION_SECONDS.
        """
        self.clock, self.seconds = clock, session_seconds
        self._polled_at: float | None = None
        self._answered_at = clock()
        self.doubted_at: float | None = None
        self.away_since: float | None = None
        self.missing_topic: str | None = None
        self.others_have_all: bool | None = None

    # Called by the poll thread

    def polled(self) -> None:
        """Records that the consumer was polled."""
        if self._is_silent():
            self.doubted_at = self.clock()
        self._polled_at = self.clock()

    def answered(self) -> None:
        """Records that the group or a partition's broker answered this worker."""
        self._answered_at = self.clock()

    def confirmed(self, asked_at: float) -> None:
        """Records that the group confirmed this worker. An answer to what was asked before a silence shows nothing."""
        if self.doubted_at is not None and asked_at >= self.doubted_at:
            self.doubted_at = None

    def topic_is_missing(self, words: str | None) -> None:
        """Records the broker's answer that the events topic is missing, in words; None if it exists."""
        self.missing_topic = words
        if words is not None:
            self.answered()

    # Queried by any thread

    def is_certain(self) -> bool:
        """Returns whether this worker is polled, and still a member as far as it knows."""
        # In this order: the poll that ends a silence notes the doubt first.
        return self._polled_at is not None and not self._is_silent() and self.doubted_at is None

    def _is_silent(self) -> bool:
        silence = self.seconds_since_poll()
        return silence is not None and silence >= self.seconds * SILENT

    def seconds_since_poll(self) -> float | None:
        """Returns the seconds since the last poll of the consumer; None before the first."""
        return None if self._polled_at is None else self.clock() - self._polled_at

    def seconds_since_answer(self) -> float:
        """Returns the seconds since Kafka last confirmed that it serves this worker, or since the start.

        An assignment, a record, the end of a partition, and an accepted commit confirm it.
        """
        return self.clock() - self._answered_at
