"""Detects an outage of the brokers, and decides when to log it. Does no I/O."""

from __future__ import annotations

from dataclasses import dataclass

AGAIN_SECONDS = 60.0
"""How often an ongoing outage is logged."""
SILENT_SECONDS = 60.0
"""Brokers that were silent for this long count as away, whatever librdkafka reports."""
SETTLED_SECONDS = 2.0
"""Only an answer this long after the last report shows that they are back: fetched records may be older."""


@dataclass(slots=True)
class Outage:
    """The current outage, if any.

    Attributes:
        since: when it began, in seconds of the caller's clock; None if there is none.
        reason: librdkafka's last report; None if there was none.
    """

    since: float | None = None
    reason: str | None = None
    _reported_at: float | None = None
    _logged_at: float = 0.0

    def report(self, reason: str, now: float) -> None:
        """Records a report that no broker can be reached."""
        self._reported_at, self.reason = now, reason

    def update(self, answered_at: float, now: float) -> tuple[bool, float] | None:
        """Returns what to log now, if anything: whether the brokers are away, and for how many seconds.

        Args:
            answered_at: when a broker last answered.
        """
        reported_at = self._reported_at
        away = now - answered_at > SILENT_SECONDS
        if reported_at is not None:
            away = away or answered_at < reported_at + SETTLED_SECONDS
        if not away:
            since, self.since, self._reported_at, self.reason = self.since, None, None, None
            return None if since is None else (False, now - since)
        if self.since is not None and now - self._logged_at < AGAIN_SECONDS:
            return None
        if self.since is None:
            self.since = answered_at if reported_at is None else min(reported_at, now)
        self._logged_at = now
        return True, now - self.since
