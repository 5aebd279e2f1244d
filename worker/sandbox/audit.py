"""What happened in the stand-in: every status change with its cause, and every call."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
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
        before: None if the address was no member.
        after: "forgotten" where the member was deleted for good.
        cause: the call and whose key it came with, or "by hand".
        hidden: of a member that was archived, its status before that.
        puts_back: whether a call puts somebody on the list whom a person, the owner or a bounce took off it.
    """

    at: datetime
    list_id: str
    email: str
    before: str | None
    after: str
    cause: str
    hidden: str | None = None
    puts_back: bool = False

    def as_json(self) -> dict[str, Any]:
        """Returns it for an answer."""
        return asdict(self) | {"at": self.at.isoformat()}


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """One call and the status of its answer; None if there was none."""

    at: datetime
    user: str
    key_hint: str
    call: Call
    status: int | None

    def as_json(self) -> dict[str, Any]:
        """Returns it for an answer."""
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
    """The records, oldest first; of calls the newest so many."""

    changes: list[StatusChange] = field(default_factory=list)
    calls: deque[LoggedCall] = field(default_factory=lambda: deque(maxlen=CALLS_KEPT))
    counts: Counter[str] = field(default_factory=Counter)
    """How many calls there were since the log was cleared, by method and answer's status: ``PATCH 200``."""
    most_at_once: Counter[str] = field(default_factory=Counter)
    """User to the most calls that were in flight at once."""

    def log(self, logged: LoggedCall) -> None:
        """Keeps one call."""
        self.calls.append(logged)
        self.counts[f"{logged.call.method} {logged.status or 'none'}"] += 1

    def clear_calls(self) -> None:
        """Forgets all calls; status changes stay."""
        self.calls.clear()
        self.counts.clear()
        self.most_at_once.clear()

    def writes(self) -> list[LoggedCall]:
        """Returns the calls that were not reads."""
        return [call for call in tuple(self.calls) if not call.call.reads_only]

    def put_back(self) -> list[StatusChange]:
        """Returns what must never happen: changes by calls that put somebody back who had left."""
        return [change for change in tuple(self.changes) if change.puts_back]

    def as_counts(self) -> Mapping[str, Any]:
        """Returns the counts for an answer."""
        return {
            "total": self.counts.total(),
            "by_method_and_status": dict(self.counts),
            "most_at_once": dict(self.most_at_once),
            "status_changes": len(self.changes),
            "put_back": len(self.put_back()),
        }
