"""When the brokers cannot be reached: what to say of it, and when. Pure but for its state."""

from __future__ import annotations

from dataclasses import dataclass

AGAIN_SECONDS = 60.0
"""How often it is said while it lasts."""
SILENT_SECONDS = 60.0
"""Without any answer for so long the brokers count as away, whatever librdkafka reports."""
SETTLED_SECONDS = 2.0
"""Only an answer so long after the last report shows that they are back: records at hand are no sign of it."""


@dataclass(slots=True)
class Outage:
    """Knows since when the brokers are away.

    Attributes:
        since: when it began, in seconds of the caller's clock; None where there is none.
        reason: what librdkafka last reported; None where it reported nothing.
    """

    since: float | None = None
    reason: str | None = None
    _reported_at: float | None = None
    _told_at: float = 0.0

    def report(self, reason: str, now: float) -> None:
        """Takes a report that no broker can be reached."""
        self._reported_at, self.reason = now, reason

    def look(self, heard_at: float, now: float) -> tuple[bool, float] | None:
        """Returns what is to be said now, if anything: whether the brokers are away, and for how many seconds.

        Args:
            heard_at: when a broker last answered.
        """
        reported_at = self._reported_at
        away = now - heard_at > SILENT_SECONDS
        if reported_at is not None:
            away = away or heard_at < reported_at + SETTLED_SECONDS
        if not away:
            since, self.since, self._reported_at, self.reason = self.since, None, None, None
            return None if since is None else (False, now - since)
        if self.since is not None and now - self._told_at < AGAIN_SECONDS:
            return None
        if self.since is None:
            self.since = heard_at if reported_at is None else min(reported_at, now)
        self._told_at = now
        return True, now - self.since
