"""The log of the stand-in: every change of a member's status with its cause, and every call."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from worker.mailchimp.calls import Call

BY_HAND = "by hand"
CALLS_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A change of one member's status.

    Attributes:
        before: the status before; None if the address was no member.
        after: the status after; "forgotten" if the member was deleted for good.
        cause: the call and the user of its API key, or "by hand".
        hidden: the status that an archived member had before, which Mailchimp does not show.
        contact_id: of the member, whatever its address.
        puts_back: whether a call added somebody who was off the list because of the person, the owner or a bounce.
    """

    at: datetime
    list_id: str
    email: str
    before: str | None
    after: str
    cause: str
    hidden: str | None = None
    contact_id: str = ""
    puts_back: bool = False

    def as_json(self) -> dict[str, Any]:
        """Returns it as JSON data."""
        return asdict(self) | {"at": self.at.isoformat()}


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """One call, with the status of its answer; None if there was no answer."""

    at: datetime
    user: str
    key_hint: str
    call: Call
    status: int | None

    def as_json(self) -> dict[str, Any]:
        """Returns it as JSON data."""
        return {
            "at": self.at.isoformat(),
            "user": self.user,
            "key": f"…{self.key_hint}",
            "method": self.call.method,
            "path": self.call.path,
            "query": dict(self.call.query),
            "body": self.call.body,
            "status": self.status,
        }


@dataclass(slots=True)
class Audit:
    """Status changes and calls, oldest first. Only the newest CALLS_KEPT calls are kept."""

    changes: list[StatusChange] = field(default_factory=list)
    calls: deque[LoggedCall] = field(default_factory=lambda: deque(maxlen=CALLS_KEPT))
    counts: Counter[str] = field(default_factory=Counter)
    """Number of calls since the log was cleared, by method and status of the answer: ``PATCH 200``."""
    most_at_once: Counter[str] = field(default_factory=Counter)
    """The most calls in flight at the same time, by user."""

    def log(self, logged: LoggedCall) -> None:
        """Logs one call."""
        self.calls.append(logged)
        self.counts[f"{logged.call.method} {logged.status or 'none'}"] += 1

    def clear_calls(self) -> None:
        """Clears the log of calls; status changes stay."""
        self.calls.clear()
        self.counts.clear()
        self.most_at_once.clear()

    def writes(self) -> list[LoggedCall]:
        """Returns the calls that were not reads."""
        return [call for call in tuple(self.calls) if not call.call.reads_only]

    def put_back(self) -> list[StatusChange]:
        """Returns the changes that must never happen: a call added somebody who had left."""
        return [change for change in tuple(self.changes) if change.puts_back]

    def as_counts(self) -> Mapping[str, Any]:
        """Returns the counts as JSON data."""
        return {
            "total": self.counts.total(),
            "by_method_and_status": dict(self.counts),
            "most_at_once": dict(self.most_at_once),
            "status_changes": len(self.changes),
            "put_back": len(self.put_back()),
        }
