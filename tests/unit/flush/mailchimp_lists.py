"""Lists of members as Mailchimp answers them, in tests of how they are read and of what the ledger learns."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from tests.unit.plan import build
from worker.clock import as_moment
from worker.flush.list_readings import Page, read_list
from worker.flush.members_to_read import MembersToRead
from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import Call
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.store import ledger
from worker.store.ledger import LedgerEntry
from worker.store.readings import Reading

ACCOUNT = AccountId("acct-1")
START = datetime(2026, 11, 1, tzinfo=UTC)
DATE = datetime(2026, 11, 22, 10, tzinfo=UTC)
FIRST = Reading("unsubscribed", None)


@dataclass
class Lists:
    """Answers reads of members as Mailchimp does.

    Attributes:
        left: status to the members that have it: address and second of the last change, in that order.
        later_than: whether "since" leaves out the second itself, which the description does not tell.
        most_total: the largest total that it gives, though there may be more members.
        before: called before each answer.
    """

    left: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    later_than: bool = False
    most_total: int = 1_000_000
    before: Callable[[Lists], None] = lambda lists: None
    calls: list[Call] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def send(self, call: Call) -> Answer:
        """Answers one read."""
        self.calls.append(call)
        self.before(self)
        if self.answers:
            return self.answers.pop(0)
        since = call.query.get("since_last_changed")
        least = (as_moment(since) - START).total_seconds() + self.later_than if since else 0
        left = self.left.get(call.query.get("status", "all"), [])
        first = bisect_left(left, least, key=lambda one: one[1])
        offset = first + int(call.query.get("offset", 0))
        told = [
            _told(one, call.query.get("status", "subscribed"))
            for one in islice(left, offset, offset + int(call.query["count"]))
        ]
        return Answer(200, {"members": told, "total_items": min(len(left) - first, self.most_total)}, date=DATE)


def _told(one: tuple[str, int], status: str) -> dict[str, Any]:
    changed = (START + timedelta(seconds=one[1])).isoformat()
    return {"email_address": one[0], "status": status, "last_changed": changed, "contact_id": f"c-{one[0]}"}


def read(lists: Lists, start: Reading = FIRST) -> list[Page]:
    """Reads the master list to its end."""
    found: list[Page] = []
    wanted = MembersToRead(build.MASTER, start, start.since)
    assert read_list(lists, wanted, found.append, lambda seconds: None) is None
    return found


def entry(db: Database, email: str) -> LedgerEntry:
    """What the ledger says of a member of the master list."""
    membership = build.membership(email)
    return {one.membership: one for one in ledger.entries_of(db, ACCOUNT, [membership.address])}[membership]
