"""What events say of attributes and tags, what people did to tags by hand, and what the worker may do then."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.histories.wire import Change, Exchange
from worker.sandbox.member import Member

NAMES = ("vip", "Gold", "new")
BY_HAND = (*NAMES, "met in person")
PLANS = ("Gold", "Silver")
FIELDS = {"PLAN": "plan", "INVOICES": "invoices"}
"""Merge tag to attribute."""
NEAR = timedelta(minutes=4)
"""Within this time of a call that sets it, a tag that somebody sets by hand looks like that call's."""
Contact = tuple[str, str]
"""A list, and the id of a contact of it."""


def of(member: Member) -> Contact:
    """Returns which contact a member is."""
    return member.list_id, member.contact_id


def attributes(chance: random.Random) -> dict[str, Any]:
    """Returns the attributes and tags of an event."""
    values: dict[str, Any] = {}
    if chance.random() < 0.7:
        values["plan"] = chance.choice(("Gold", "silver", "Bronze"))
    if chance.random() < 0.5:
        values["invoices"] = chance.choice((0, 7, 1.5, "12", "none"))
    tags = chance.sample(NAMES, chance.randint(0, len(NAMES)))
    return {"attributes": values, "tags": [tag.upper() if chance.random() < 0.2 else tag for tag in tags]}


def expected_fields(state: dict[str, Any]) -> dict[str, Any]:
    """Returns what the merge fields must hold, by the contract of the event and the forms of the fields alone."""
    values = state.get("attributes") or {}
    plan = next((choice for choice in PLANS if choice.lower() == str(values.get("plan", "")).lower()), "")
    invoices = {0: 0, 7: 7, 1.5: 1.5, "12": 12}.get(values.get("invoices"), "")
    return {"PLAN": plan, "INVOICES": invoices}


@dataclass
class HandTags:
    """Tags that people set and removed in Mailchimp, and calls of the worker that set them.

    Attributes:
        since: of each contact the tags that somebody set by hand and that are there still, with when.
        ever: the same, whatever became of them.
        removed: tags that somebody removed by hand.
        claims: calls that set a tag, whatever became of them.
    """

    since: dict[Contact, dict[str, datetime]] = field(default_factory=lambda: defaultdict(dict))
    ever: dict[Contact, set[str]] = field(default_factory=lambda: defaultdict(set))
    removed: dict[Contact, set[str]] = field(default_factory=lambda: defaultdict(set))
    claims: list[tuple[str, datetime]] = field(default_factory=list)

    def set_by_hand(self, member: Member, name: str, at: datetime, *, active: bool) -> None:
        """Notes one act that changed something."""
        key, contact = name.casefold(), of(member)
        if active:
            self.since[contact][key] = at
            self.ever[contact].add(key)
        else:
            self.since[contact].pop(key, None)
            self.removed[contact].add(key)

    def called(self, exchange: Exchange) -> None:
        """Notes a call about tags."""
        if not exchange.call.path.endswith("/tags") or exchange.call.reads_only:
            return
        tags = (exchange.call.body or {}).get("tags", ())
        self.claims += [(tag["name"].casefold(), exchange.at) for tag in tags if tag["status"] == "active"]
        for change in exchange.changes:
            for name in _gone(change):
                self.since[of(change.member)].pop(name, None)

    def wrong(self, exchange: Exchange) -> list[str]:
        """Returns what a call about tags takes away that somebody set by hand."""
        broken = []
        for change in exchange.changes if exchange.call.path.endswith("/tags") else ():
            by_hand = self.since[of(change.member)]
            for name in _gone(change) & by_hand.keys():
                if not any(tag == name and abs(at - by_hand[name]) <= NEAR for tag, at in self.claims):
                    broken.append(
                        f"the tag {name} is removed, which somebody set by hand at {by_hand[name]:%d %H:%M:%S}"
                    )
        return broken


def _gone(change: Change) -> set[str]:
    was, after = change.before, change.after
    if was is None or after is None:
        return set()
    return {tag.casefold() for tag in was.tags} - {tag.casefold() for tag in after.tags}
