"""Whether what is published of each customer is so, once all is quiet: by Mailchimp and the events, not the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.histories.facts import THERE, Record
from tests.histories.outcomes import first_address
from tests.histories.world import ACCOUNT
from worker.model import CustomerId
from worker.sandbox.member import Member
from worker.store import customer_outcomes
from worker.store.customer_outcomes import NO_MEMBER, CustomerOutcome

if TYPE_CHECKING:
    from tests.histories.history import History


def judge_published(history: History) -> list[str]:
    """Returns what is published and is not so, or is not published and should be."""
    broken = []
    for record in history.facts.records.values():
        if record.states and (wrong := _wrong(history, record)) is not None:
            broken.append(f"published of {record.name}: {wrong}")
    return broken


def _wrong(history: History, record: Record) -> str | None:
    told = customer_outcomes.find(history.world.db, ACCOUNT, CustomerId(record.name))
    if record.state is None:
        return None if told is None else f"it was deleted or erased, and this is: {told}"
    if told is None:
        return "nothing"
    version = history.world.version(record.name)
    if told.version != version:
        return f"version {told.version} of {version}: {told}"
    if told.list_id is None or told.member_status == NO_MEMBER:
        return None
    members = _members(history, record, told.list_id)
    if told.member_status in THERE and record.state["marketing_consent"] is False:
        # Another customer's member says nothing of this one, who wants none; one with another address may be its own.
        members = [
            one
            for one in members
            if record.email in (one.email, first_address(one.email)) or one.email != first_address(one.email)
        ]
    if any(one.status == told.member_status for one in members) or _cannot_know(history, record, told):
        return None
    found = ", ".join(f"{one.email} {one.status}" for one in members) or "no member"
    return f"{told.member_status} on {told.list_id}, where there is {found}: {told}"


def _members(history: History, record: Record, list_id: str) -> list[Member]:
    try:
        there = history.world.standin.find_list(list_id)
    except KeyError:
        return []
    return [one for one in there.members.values() if {one.email.lower(), first_address(one.email)} & record.addresses]


def _cannot_know(history: History, record: Record, told: CustomerOutcome) -> bool:
    # No answer showed what became of the member since; or the list is gone.
    facts, list_id = history.facts, str(told.list_id)
    if list_id in history.oracle.deleted or list_id not in history.actors.stored:
        return True
    spots = {(list_id, address) for address in record.addresses}
    # Who confirmed is in no reading of those who left; there another customer's step may have read her since.
    members = _members(history, record, list_id) if history.actors.more is not None else []
    confirmed = told.member_status == "pending" and any(one.status == "subscribed" for one in members)
    # Who left under an address that the person gave the member is looked for at the first one.
    left = [(one.spot[0], first_address(one.spot[1])) for one in facts.departures if one.told is None]
    unread = any(spot in spots for spot in left)
    contacts = [one for one in facts.contacts.values() if (one.member.list_id, one.member.email) in spots]
    # Who joins again by herself is in no reading of those who left.
    return confirmed or unread or any(one.told is None or one.told[1] == told.member_status for one in contacts)
