"""Writes one member: its fields, which may be tried again, or what hangs on a read, which is sent once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from worker.clock import as_text
from worker.flushing.deciding.fields import hashes, sent_after
from worker.flushing.deciding.identity import as_read
from worker.flushing.deciding.steps import Contact
from worker.flushing.doing.desk import SECOND_LOOK, Desk, settle_at, sort_whole
from worker.flushing.doing.report import Exchange, Report
from worker.flushing.outcomes import Sort, Verdict
from worker.mailchimp.call import Call
from worker.mailchimp.member import Member, answered_member
from worker.model import CustomerId, Origin, Place
from worker.staging.ledger import Entry


@dataclass(frozen=True, slots=True)
class Written:
    """How writing a member ended.

    Attributes:
        member: the member afterwards; None unless it is done.
        sent: the fields that were sent last.
        refused: merge tag to the title with which Mailchimp refused it.
        date: Mailchimp's time of the answer; None where it told none.
        seconds: how long the call took.
        undone: whether it is sure that nothing was done.
    """

    member: Member | None
    verdict: Verdict
    exchange: Exchange
    sent: Mapping[str, Any]
    refused: Mapping[str, str]
    date: datetime | None
    seconds: float
    undone: bool


Build = Callable[[Mapping[str, Any]], Call]
"""Makes a call of fields."""


def write_fields(desk: Desk, place: Place, build: Build, fields: Mapping[str, Any]) -> Written:
    """Sends a write that hangs on no read, such as one of fields alone: again without each field that is refused.

    Args:
        desk: the account's.
        place: of the member.
        build: makes the call of fields.
        fields: merge tag to value.

    Returns:
        How it ended; a refused field that was not sent leaves FIELD, which is final for this run.
    """
    looked_twice = False
    while True:
        written = write_once(desk, place, build, fields)
        if written.verdict.sort is Sort.AGAIN and written.refused != desk.intents.refused.get(place, {}):
            continue
        if written.verdict.sort is Sort.NOT_THERE and not looked_twice:
            looked_twice = True
            desk.wait(SECOND_LOOK)
            continue
        return written


def write_once(desk: Desk, place: Place, build: Build, fields: Mapping[str, Any]) -> Written:
    """Sends a write one time, without the fields that Mailchimp refused there before.

    Returns:
        How it ended; AGAIN where a field was refused, and may be left out after another look.
    """
    refused = dict(desk.intents.refused.get(place, {}))
    sent = {tag: value for tag, value in fields.items() if tag not in refused}
    call = build(sent)
    answer = desk.send(call)
    verdict = sort_whole(answer)
    if verdict.sort is Sort.FIELD and any(tag in sent for tag in verdict.fields):
        more = {tag: verdict.title for tag in verdict.fields if tag in sent}
        desk.intents.refused[place] = refused | more
        verdict = replace(verdict, sort=Sort.AGAIN)
    exchange = Exchange.of(call, answer)
    return Written(
        answered_member(answer), verdict, exchange, sent, refused, answer.date, answer.seconds, answer.undone
    )


def write_after_read(
    desk: Desk, contact: Contact, build: Build, fields: Mapping[str, Any], intended: Entry, before: Entry | None
) -> Written:
    """Sends a write that hangs on what was just read, one time, and notes it before.

    Args:
        desk: the account's.
        contact: what is written.
        build: makes the call of fields.
        fields: merge tag to value.
        intended: the entry of the contact's place with the intent.
        before: what the ledger says if nothing was done.
    """
    desk.intents.begin(intended, before, contact.shares)
    written = write_once(desk, contact.place, build, fields)
    if written.undone:
        desk.intents.take_back(contact.place)
    elif written.member is None:
        desk.intents.lose(contact.place, written.date, written.seconds)
    return written


def entry_for(
    desk: Desk, contact: Contact, before: Entry | None, member: Member, origin: Origin, written: Written | None
) -> Entry:
    """Returns what the ledger says of a member whose fields were just written as a whole."""
    date = written.date if written is not None else None
    return Entry(
        place=contact.place,
        customer_id=_owner(contact, before, member),
        state="present",
        origin=origin,
        sent_at=desk.at(),
        fields=hashes(written.sent if written is not None else contact.fields.values),
        member_status=member.status,
        contact_id=member.contact_id,
        seen_at=as_text(date) if date is not None else None,
    )


def entry_after_changes(desk: Desk, contact: Contact, entry: Entry, member: Member, written: Written) -> Entry:
    """Returns what the ledger says of a member after only some of its fields were written."""
    return replace(
        as_read(replace(entry, state="present"), member, written.date),
        place=contact.place,
        customer_id=_owner(contact, entry, member),
        sent_at=desk.at(),
        fields=sent_after(entry.fields, written.sent),
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
