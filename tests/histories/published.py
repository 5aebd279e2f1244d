"""Whether what is published of each customer is so, once all is quiet: by Mailchimp and the events, not the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.histories.facts import ON_LIST
from tests.histories.outcomes import first_address
from tests.histories.people import Record
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
    outcome = customer_outcomes.find(history.world.db, ACCOUNT, CustomerId(record.name))
    if record.state is None:
        return None if outcome is None else f"it was deleted or erased, and this is: {outcome}"
    if outcome is None:
        return "nothing"
    version = history.world.version(record.name)
    if outcome.version != version:
        return f"version {outcome.version} of {version}: {outcome}"
    if outcome.list_id is None or outcome.member_status == NO_MEMBER:
        return None
    members = _members(history, record, outcome.list_id)
    if outcome.member_status in ON_LIST and record.state["marketing_consent"] is False:
        # Another customer's member says nothing of this one, who wants none; one with another address may be its own.
        members = [
            member
            for member in members
            if record.email in (member.email, first_address(member.email))
            or member.email != first_address(member.email)
        ]
    if any(member.status == outcome.member_status for member in members) or _cannot_know(history, record, outcome):
        return None
    statuses = ", ".join(f"{member.email} {member.status}" for member in members) or "no member"
    return f"{outcome.member_status} on {outcome.list_id}, where there is {statuses}: {outcome}"


def _members(history: History, record: Record, list_id: str) -> list[Member]:
    try:
        mailing_list = history.world.standin.find_list(list_id)
    except KeyError:
        return []
    return [
        member
        for member in mailing_list.members.values()
        if {member.email.lower(), first_address(member.email)} & record.addresses
    ]


def _cannot_know(history: History, record: Record, outcome: CustomerOutcome) -> bool:
    # No answer showed what became of the member since; or the list is gone.
    facts, list_id = history.facts, str(outcome.list_id)
    if list_id in history.oracle.deleted or list_id not in history.actors.stored:
        return True
    spots = {(list_id, address) for address in record.addresses}
    # Who confirmed is in no reading of those who left; there another customer's step may have read her since.
    members = _members(history, record, list_id) if history.actors.tag_chance is not None else []
    confirmed = outcome.member_status == "pending" and any(member.status == "subscribed" for member in members)
    # Who left under an address that the person gave the member is looked for at the first one.
    unseen = [
        (departure.spot[0], first_address(departure.spot[1]))
        for departure in facts.departures
        if departure.shown_at is None
    ]
    unread = any(spot in spots for spot in unseen)
    contacts = [
        contact for contact in facts.contacts.values() if (contact.member.list_id, contact.member.email) in spots
    ]
    # Who joins again by herself is in no reading of those who left.
    return (
        confirmed
        or unread
        or any(contact.last_shown is None or contact.last_shown[1] == outcome.member_status for contact in contacts)
    )
