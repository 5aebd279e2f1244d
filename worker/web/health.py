"""Liveness and readiness of a running worker, for probes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from worker.consumer.owned_partitions import OwnedPartitions
from worker.consumer.waiting import why_changelog_unread, why_no_member
from worker.metrics import Metrics

STALE_SECONDS = 120.0
"""What should happen every second but did not for this long is stuck; so is a consumer that Kafka does not answer, and
a topic that can no longer be read."""
FLUSH_STUCK_SECONDS = 1800.0
"""A flush that ended no call and wrote no receipt for this long is stuck. With retries, a call may take minutes."""

Conditions = Mapping[str, str | None]
"""Each condition with what is wrong; None if it holds."""


class Health:
    """The health of a running worker's threads. Updated by the main thread, read by the web server's thread."""

    def __init__(
        self,
        owned_partitions: OwnedPartitions,
        reads: Callable[[], bool],
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Starts healthy.

        Args:
            owned_partitions: knows when the consumer was last polled, and what the group and the changelog reported.
            clock: monotonic, in seconds.
        """
        self._owned_partitions, self._reads = owned_partitions, reads
        self._metrics, self._clock = metrics, clock
        self._began = self._checked_at = clock()
        self._flush_began: float | None = None
        self._unread_since: float | None = None

    def checked(self, *, flushing: bool) -> None:
        """Records that the main thread checked for a due flush, and whether one is running."""
        self._checked_at = self._clock()
        if not flushing:
            self._flush_began = None
        elif self._flush_began is None:
            self._flush_began = self._checked_at

        if not self._owned_partitions.changelog_faults:
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = self._checked_at

    def live(self) -> Conditions:
        """Returns the conditions of liveness; if one fails, the worker must be restarted."""
        return {"poll_loop": self._poll_loop(), "flush_thread": self._flush_thread()}

    def ready(self) -> Conditions:
        """Returns the further conditions of readiness. A worker without partitions can be ready."""
        return {
            "changelog_read": why_changelog_unread(self._owned_partitions) or self._changelog_lost(),
            "group_member": why_no_member(self._owned_partitions, STALE_SECONDS),
        }

    def _poll_loop(self) -> str | None:
        if not self._reads():
            return "The thread that reads Kafka has ended."
        silence = self._owned_partitions.session.seconds_since_poll()
        silence = self._clock() - self._began if silence is None else silence
        return f"Kafka was not polled for {silence:.0f} seconds." if silence >= STALE_SECONDS else None

    def _changelog_lost(self) -> str | None:
        if self._unread_since is None or self._clock() - self._unread_since < STALE_SECONDS:
            return None
        return " ".join(dict.fromkeys(self._owned_partitions.changelog_faults.copy().values())) or None

    def _flush_thread(self) -> str | None:
        now = self._clock()
        if (silence := now - self._checked_at) >= STALE_SECONDS:
            return f"Nothing has checked whether a flush is due for {silence:.0f} seconds."
        if self._flush_began is None:
            return None
        idle = min(now - self._flush_began, self._metrics.seconds_idle())
        return f"A flush did nothing for {idle:.0f} seconds." if idle >= FLUSH_STUCK_SECONDS else None
