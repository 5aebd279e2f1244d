"""Revoked sessions and links of the web pages, kept beside the settings, so that every worker has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from worker.clock import as_moment, as_text
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.sqlite.rows import Rows
from worker.store import settings_notes


@dataclass(frozen=True, slots=True)
class WebAccess:
    """What is revoked, for one account or for the operators.

    Attributes:
        since: sessions and links created earlier are revoked; None if all are valid.
        spent: used links and ended sessions, each with the time when it expires anyway.
    """

    since: datetime | None = None
    spent: Mapping[str, datetime] = field(default_factory=dict)

    def good(self, name: str, created_at: datetime) -> bool:
        """Returns whether a session or link is still valid."""
        return name not in self.spent and (self.since is None or created_at >= self.since)

    def with_spent(self, name: str, expires: datetime, now: datetime) -> WebAccess:
        """Returns it with another used link or ended session, without expired ones."""
        unexpired = {spent_name: until for spent_name, until in self.spent.items() if until > now}
        return replace(self, spent={**unexpired, name: expires})


def find(db: Database, account_id: AccountId | None) -> WebAccess:
    """Returns what is revoked for an account; None for the operators."""
    data = settings_notes.data_of(db, "web_access", account_id or "")
    if data is None:
        return WebAccess()
    since = data["since"]
    return WebAccess(
        as_moment(since) if since is not None else None,
        {name: as_moment(until) for name, until in data["spent"].items()},
    )


def save(db: Database, account_id: AccountId | None, access: WebAccess) -> Rows:
    """Stores what is revoked. Call it in a transaction."""
    data = {
        "since": as_text(access.since) if access.since is not None else None,
        "spent": {name: as_text(until) for name, until in access.spent.items()},
    }
    return settings_notes.put(db, "web_access", account_id or "", data)
