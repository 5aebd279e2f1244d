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

from tests.histories.facts import Record
from tests.histories.wire import Exchange
from worker.sandbox.audit import StatusChange

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
    members = _members(history, record, list_id) if list_id is not None else {}
    statuses = {status for status, _ in members.values()} | {"none"}
    if outcome["member_status"] not in statuses:
        if not _unknowable(history, record, list_id):
            has = members or "no member"
            yield f"the newest record of {record.name} says {_short(outcome)}, and Mailchimp has {has}"
        return
    since, skew = datetime.fromisoformat(outcome["since"]), timedelta(seconds=history.oracle.farthest) + ROUNDED
    late = [
        at
        for email, (status, at) in members.items()
        if status == outcome["member_status"] and at > since + skew and not _back_unseen(history, list_id, email, since)
    ]
    matching = [status for status, _ in members.values() if status == outcome["member_status"]]
    if matching and len(late) == len(matching) and not _unknowable(history, record, list_id):
        yield f"the newest record of {record.name} says {_short(outcome)}, and it is so since {min(late)}"
    if since > history.world.time.now + skew:
        yield f"the newest record of {record.name} says {_short(outcome)}, which is in the future"


def _changes(history: History, list_id: str, email: str) -> list[StatusChange]:
    # Of the status of a member; under its first address, if it has not changed since a person gave it another one.
    on_list = [change for change in history.world.standin.audit.changes if change.list_id == list_id]
    own = [change for change in on_list if change.email.lower() == email.lower()]
    return own or [change for change in on_list if change.email.lower() == first_address(email)]


def first_address(email: str) -> str:
    """Returns the address of a member before people gave it others."""
    return re.sub(r"^(own\d+\.)+", "", email.lower())


def _short(outcome: dict[str, Any]) -> str:
    status, reason = outcome["member_status"], f"{outcome['outcome']}: {outcome['reason']}"
    return f"{status} on {outcome['list_id']} since {outcome['since']} ({reason})"


def _members(history: History, record: Record, list_id: str) -> dict[str, tuple[str, datetime]]:
    # Address to status and since when, of all members that may be the customer's.
    members = {}
    for member in history.world.standin.find_list(list_id).members.values():
        names = {first_address(member.email), member.email.lower()}
        if not names & record.addresses:
            continue
        own = _changes(history, list_id, member.email)
        members[member.email] = (member.status, own[-1].at if own else member.signed_up)
    return members


def _back_unseen(history: History, list_id: str, email: str, since: datetime) -> bool:
    # It had that status then too, and no answer showed what it was in between.
    own = _changes(history, list_id, email)
    between = [change.at for change in own if change.at > since - timedelta(seconds=history.oracle.farthest) - ROUNDED]
    return bool(between) and not any(
        between[0] <= at <= between[-1] and _shows_another_status(read, list_id, email, own[-1].after)
        for at, read in history.facts.reads
    )


def _shows_another_status(read: Exchange, list_id: str, email: str, status: str) -> bool:
    if read.call.path.split("/")[2:3] != [list_id]:
        return False
    body = read.answer.body or {}
    members = [
        member for member in body.get("members", [body]) if member.get("email_address", "").lower() == email.lower()
    ]
    return any(member.get("status") != status for member in members)


def _unknowable(history: History, record: Record, list_id: str) -> bool:
    return any(
        departure.kind in ("deleted", "renamed")
        and departure.spot[0] == list_id
        and departure.spot[1] in record.addresses
        for departure in history.facts.departures
    )
