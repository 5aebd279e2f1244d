"""Whether the newest outcome record of each customer says what is so, by the topic and the stand-in alone.

It names the list; the member there is one with an address that the customer ever had, or one that a person gave it.
Nothing tells the worker that a member was deleted for good before it reads that member again, or what becomes of a list
that is not stored: these are excused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.histories.people import Record
from tests.histories.wire import Exchange
from worker.sandbox.audit import StatusChange
from worker.sandbox.member import Member

if TYPE_CHECKING:
    from tests.histories.history import History

ROUNDED = timedelta(seconds=2)
"""Mailchimp tells whole seconds."""


def judge_outcomes(history: History) -> list[str]:
    """Returns which records do not agree with what Mailchimp has."""
    return [wrong for record in history.facts.records.values() for wrong in _judged(history, record)]


def _judged(history: History, record: Record) -> Iterator[str]:
    outcome = history.world.topic.newest_data(record.name)
    if record.state is None:
        if outcome is not None:
            yield f"{record.name} was deleted, and the newest record says {outcome}"
        return
    if outcome is None:
        yield f"nothing tells what became of {record.name}"
        return
    list_id = outcome["list_id"]
    if list_id is not None and (list_id not in history.actors.stored or not history.actors.is_there(list_id)):
        return
    members = _members(history, record, list_id) if list_id is not None else []
    if outcome["member_status"] not in {"none", *(member.status for member in members)}:
        if not _unknowable(history, record, list_id):
            has = {member.email: member.status for member in members} or "no member"
            yield f"the newest record of {record.name} says {_short(outcome)}, and Mailchimp has {has}"
        return
    since, skew = datetime.fromisoformat(outcome["since"]), timedelta(seconds=history.oracle.farthest) + ROUNDED
    matching = [member for member in members if member.status == outcome["member_status"]]
    late = [
        at
        for member in matching
        if (at := _since(history, member)) > since + skew and not _back_unseen(history, member, since)
    ]
    if matching and len(late) == len(matching) and not _unknowable(history, record, list_id):
        yield f"the newest record of {record.name} says {_short(outcome)}, and it is so since {min(late)}"
    if since > history.world.time.now + skew:
        yield f"the newest record of {record.name} says {_short(outcome)}, which is in the future"


def _changes(history: History, member: Member) -> list[StatusChange]:
    # Of that very contact, whatever its address was then.
    changes = (change for change in history.world.standin.audit.changes if change.list_id == member.list_id)
    return [change for change in changes if change.contact_id == member.contact_id]


def _since(history: History, member: Member) -> datetime:
    own = _changes(history, member)
    return own[-1].at if own else member.signed_up


def first_address(email: str) -> str:
    """Returns the address of a member before people gave it others."""
    return re.sub(r"^(own\d+\.)+", "", email.lower())


def _short(outcome: dict[str, Any]) -> str:
    status, reason = outcome["member_status"], f"{outcome['outcome']}: {outcome['reason']}"
    return f"{status} on {outcome['list_id']} since {outcome['since']} ({reason})"


def _members(history: History, record: Record, list_id: str) -> list[Member]:
    # All that may be the customer's.
    members = history.world.standin.find_list(list_id).members.values()
    return [member for member in members if {first_address(member.email), member.email.lower()} & record.addresses]


def _back_unseen(history: History, member: Member, since: datetime) -> bool:
    # It had that status then too, and no answer showed what it was in between.
    own = _changes(history, member)
    between = [change.at for change in own if change.at > since - timedelta(seconds=history.oracle.farthest) - ROUNDED]
    return bool(between) and not any(
        between[0] <= at <= between[-1] and _shows_another_status(read, member) for at, read in history.facts.reads
    )


def _shows_another_status(read: Exchange, member: Member) -> bool:
    if read.call.path.split("/")[2:3] != [member.list_id]:
        return False
    body = read.answer.body or {}
    told = [one for one in body.get("members", [body]) if one.get("email_address", "").lower() == member.email.lower()]
    return any(one.get("status") != member.status for one in told)


def _unknowable(history: History, record: Record, list_id: str) -> bool:
    return any(
        departure.kind in ("deleted", "renamed")
        and departure.spot[0] == list_id
        and departure.spot[1] in record.addresses
        for departure in history.facts.departures
    )
