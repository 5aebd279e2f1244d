"""What happened in the stand-in: every status change with its cause, and every call."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from worker.mailchimp.call import Call

BY_HAND = "by hand"
CALLS_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class StatusChange:
    """One member's change of status.

    Attributes:
        before: None where the address was no member; "forgotten" after a permanent deletion is its after.
        cause: the call, or "by hand".
    """

    at: datetime
    list_id: str
    email: str
    before: str | None
    after: str
    cause: str

    def as_json(self) -> dict[str, Any]:
        """Returns it for an answer."""
        return asdict(self) | {"at": self.at.isoformat()}


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """One call and the status of its answer; None where the connection was cut."""

    at: datetime
    key_hint: str
    call: Call
    status: int | None

    def as_json(self) -> dict[str, Any]:
        """Returns it for an answer."""
        return {
            "at": self.at.isoformat(),
            "key": f"…{self.key_hint}",
            "method": self.call.method,
            "path": self.call.path,
            "query": dict(self.call.query),
            "body": self.call.body,
            "status": self.status,
        }


@dataclass(slots=True)
class Audit:
    """The records, oldest first; of calls the newest so many."""

    changes: list[StatusChange] = field(default_factory=list)
    calls: deque[LoggedCall] = field(default_factory=lambda: deque(maxlen=CALLS_KEPT))
    most_at_once: Counter[str] = field(default_factory=Counter)
    """API key to the most calls that were in flight at once."""

    def writes(self) -> list[LoggedCall]:
        """Returns the calls that were not reads."""
        return [one for one in self.calls if not one.call.reads_only]
