"""Writes one member's fields, giving way where Mailchimp refuses a field or answers 404 for a moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.flushing.deciding.fields import hashes, sent_after
from worker.flushing.deciding.steps import Contact
from worker.flushing.doing.desk import Desk, settle_at, sort_whole
from worker.flushing.doing.report import Exchange, Report
from worker.flushing.outcomes import Sort, Verdict
from worker.mailchimp.call import Call
from worker.mailchimp.member import Member, answered_member
from worker.model import CustomerId, Origin
from worker.staging.ledger import Entry

SECOND_LOOK = 1.0
"""Seconds to wait before a 404 is believed. Parallel writes of others to a member can answer bare ones."""


@dataclass(frozen=True, slots=True)
class Written:
    """How writing a member ended.

    Attributes:
        member: the member afterwards; None unless it is done.
        sent: the fields that were sent last.
        refused: merge tag to the title with which Mailchimp refused it.
    """

    member: Member | None
    verdict: Verdict
    exchange: Exchange
    sent: Mapping[str, Any]
    refused: Mapping[str, str]


def write_member(desk: Desk, build: Callable[[Mapping[str, Any]], Call], fields: Mapping[str, Any]) -> Written:
    """Sends what ``build`` makes of the fields, again without each field that Mailchimp refuses.

    Args:
        desk: the account's.
        build: makes the call of fields.
        fields: merge tag to value.

    Returns:
        How it ended; a refused field that was not sent leaves FIELD, which is final for this run.
    """
    fields = dict(fields)
    refused: dict[str, str] = {}
    looked_twice = False
    while True:
        call = build(fields)
        answer = desk.send(call)
        verdict = sort_whole(answer)
        if verdict.sort is Sort.FIELD and any(tag in fields for tag in verdict.fields):
            refused |= {tag: verdict.title for tag in verdict.fields if tag in fields}
            fields = {tag: value for tag, value in fields.items() if tag not in refused}
        elif verdict.sort is Sort.NOT_THERE and call.method == "PATCH" and not looked_twice:
            looked_twice = True
            desk.wait(SECOND_LOOK)
        else:
            return Written(answered_member(answer), verdict, Exchange.of(call, answer), fields, refused)


def entry_for(
    desk: Desk, contact: Contact, before: Entry | None, member: Member, origin: Origin, written: Written | None
) -> Entry:
    """Returns what the ledger says of a member whose fields were just written as a whole."""
    return Entry(
        place=contact.place,
        customer_id=_owner(contact, before, member),
        state="present",
        origin=origin,
        sent_at=desk.at(),
        fields=hashes(written.sent if written is not None else contact.fields.values),
        member_status=member.status,
    )


def entry_after_changes(desk: Desk, contact: Contact, entry: Entry, member: Member, written: Written) -> Entry:
    """Returns what the ledger says of a member after only some of its fields were written."""
    return Entry(
        place=contact.place,
        customer_id=_owner(contact, entry, member),
        state="present",
        origin=entry.origin,
        sent_at=desk.at(),
        fields=sent_after(entry.fields, written.sent),
        member_status=member.status,
    )


def _owner(contact: Contact, before: Entry | None, member: Member) -> CustomerId:
    # An opt-out stays with the customer whose member it was, whoever takes the address on.
    if before is None or member.status in ("subscribed", "pending"):
        return contact.owner
    return before.customer_id


def left_out(contact: Contact, refused: Mapping[str, str]) -> str:
    """Returns a sentence on the fields that were not sent as billmywork has them, empty where there is none."""
    parts = [f"{tag} ({why})" for tag, why in {**contact.fields.left_out, **refused}.items()]
    return f" Not sent: {', '.join(parts)}." if parts else ""


def stays(status: str) -> str:
    """Returns a sentence for a member whose status a write did not touch, empty where that is subscribed or pending."""
    if status in ("subscribed", "pending"):
        return ""
    return f" The member is {status} in Mailchimp and stays so."


def then(status: str) -> str:
    """Returns what happens next to a member of that status."""
    if status == "pending":
        return "It is subscribed when the person confirms Mailchimp's mail."
    if status in ("unsubscribed", "cleaned", "archived"):
        return "Only the person can join again, by the list's form."
    return "Nothing until the customer changes."


def settled(
    desk: Desk, report: Report, contact: Contact, exchange: Exchange, outcome: str, detail: str, status: str
) -> None:
    """Notes that a contact is done: for its owner, and for those who share the address."""
    settle_at(report, contact.shares, contact.place)
    owners = [share for share in contact.shares if share.customer.customer_id == contact.owner]
    others = [share for share in contact.shares if share.customer.customer_id != contact.owner]
    at, after = desk.at(), then(status)
    report.write(owners, contact.place, exchange, at=at, outcome=outcome, detail=detail, then=after)
    shared = f"Shares its address with customer {contact.owner}, whose newer fields the member has. {detail}"
    report.write(others, contact.place, exchange, at=at, outcome="shared", detail=shared, then=after)
