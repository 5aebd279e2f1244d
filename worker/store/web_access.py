"""Which sessions and links of the web pages are over: kept beside the settings, so that every worker knows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from worker.clock import as_moment, as_text
from worker.model import AccountId
from worker.store import settings_notes
from worker.store.changed_rows import Rows
from worker.store.database import Database

ABOUT = "web_access"
"""Names these rows among the notes beside the settings."""


@dataclass(frozen=True, slots=True)
class WebAccess:
    """What is over, for one account or for the operators.

    Attributes:
        since: sessions and links that were made before are over; None where all are good.
        spent: links that were used and sessions that were ended, each with the time at which it ends anyway.
    """

    since: datetime | None = None
    spent: Mapping[str, datetime] = field(default_factory=dict)

    def good(self, name: str, made_at: datetime) -> bool:
        """Tells whether a session or link may still be used."""
        return name not in self.spent and (self.since is None or made_at >= self.since)

    def with_spent(self, name: str, expires: datetime, now: datetime) -> WebAccess:
        """Returns it with one more that is over, without those that ended anyway."""
        left = {one: until for one, until in self.spent.items() if until > now}
        return replace(self, spent={**left, name: expires})


def find(db: Database, account_id: AccountId | None) -> WebAccess:
    """Returns what is over of an account; with None, of the operators."""
    text = settings_notes.get(db, ABOUT, account_id or "")
    if text is None:
        return WebAccess()
    told = json.loads(text)
    since = told["since"]
    return WebAccess(
        as_moment(since) if since is not None else None,
        {name: as_moment(until) for name, until in told["spent"].items()},
    )


def save(db: Database, account_id: AccountId | None, access: WebAccess) -> Rows:
    """Writes what is over. Belongs in a transaction."""
    told = {
        "since": as_text(access.since) if access.since is not None else None,
        "spent": {name: as_text(until) for name, until in access.spent.items()},
    }
    return settings_notes.put(db, ABOUT, account_id or "", json.dumps(told))
