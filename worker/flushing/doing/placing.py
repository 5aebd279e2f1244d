"""Puts one contact at its place: added, restored or written where it is, but never over a departure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from worker.flushing.deciding import member_calls
from worker.flushing.deciding.identity import as_read, is_new, is_ours, new_intent, origin_of, was_done
from worker.flushing.deciding.steps import Add, Contact, Found, Gate, Recheck, Restore, Update
from worker.flushing.doing.consent import kept_out, pass_gates
from worker.flushing.doing.desk import Desk, Read, settle_at, stumble
from worker.flushing.doing.report import Exchange, Report
from worker.flushing.doing.writing import (
    Written,
    entry_after_changes,
    entry_for,
    left_out,
    settled,
    stays,
    write_after_read,
    write_fields,
)
from worker.flushing.outcomes import Sort
from worker.mailchimp.member import Member
from worker.model import Origin
from worker.staging.ledger import Entry


def add_alone(desk: Desk, step: Add) -> Report:
    """Adds a contact on a list with archived members, where a POST could put somebody back."""
    report = desk.report()
    add_or_find(desk, report, step, step.contact.status_if_new, "Added")
    return report


def update(desk: Desk, step: Update) -> Report:
    """Writes what changed of a member."""
    report = desk.report()
    written = write_fields(desk, step.place, lambda fields: member_calls.update(step.place, fields), step.changes)
    contact = step.contact
    if written.member is not None:
        report.entries.append(entry_after_changes(desk, contact, step.entry, written.member, written))
        detail = f"Updated.{stays(written.member.status)}{left_out(contact, written.refused)}"
        settled(desk, report, contact, written.exchange, "updated", detail, written.member.status)
    elif written.verdict.sort is Sort.NOT_THERE and not desk.list_is_gone(step.place.list_id):
        gone(desk, report, contact, step.entry, written.exchange)
    else:
        stumble(desk, report, contact.shares, contact.place, written.verdict, written.exchange)
    return report


def recheck(desk: Desk, step: Recheck) -> Report:
    """Writes a member that was gone only if it is there again."""
    report = desk.report()
    if pass_gates(desk, report, step.contact, step.gates) is None:
        return report
    read = desk.read_member(step.place, step.entry, step.shares)
    if read.member is not None:
        write_found(desk, report, step.contact, step.entry, read.member, origin_of(step.entry, read.member))
    elif read.verdict.sort is Sort.NOT_THERE and not desk.list_is_gone(step.place.list_id):
        gone(desk, report, step.contact, step.entry, read.exchange)
    else:
        stumble(desk, report, step.shares, step.place, read.verdict, read.exchange)
    return report


def restore(desk: Desk, step: Restore) -> Report:
    """Puts back what this worker archived, with the status from before, unless somebody left meanwhile.

    Looks likewise at a member of which a write has no answer yet, whichever that was.
    """
    report = desk.report()
    contact = step.contact
    if pass_gates(desk, report, contact, step.gates) is None:
        return report
    read = desk.read_member(step.place, step.entry, step.shares)
    if read.member is None and read.verdict.sort is Sort.NOT_THERE and not desk.list_is_gone(step.place.list_id):
        gone(desk, report, contact, step.entry, read.exchange)
    elif read.member is None:
        stumble(desk, report, contact.shares, contact.place, read.verdict, read.exchange)
    else:
        entry = as_read(step.entry, read.member, read.date)
        if is_ours(entry, read.member):
            _put_back(desk, report, replace(step, entry=entry), read.member, read)
        else:
            write_found(desk, report, contact, step.entry, read.member, entry.origin)
    return report


def found(desk: Desk, step: Found) -> Report:
    """Writes the fields of a contact that Mailchimp refused to add because it is a member."""
    report = desk.report()
    contact = step.contact
    written = _write_whole(desk, contact)
    if written.member is not None:
        origin = origin_of(step.entry, written.member)
        _written_found(desk, report, contact, step.entry, written, origin, written.member)
    else:
        _not_written(desk, report, contact, step.entry, written)
    return report


def write_found(
    desk: Desk, report: Report, contact: Contact, entry: Entry | None, member: Member, origin: Origin
) -> None:
    """Writes the fields of a contact that turned out to be a member already, and leaves its status alone.

    Args:
        desk: the account's.
        report: takes the notes.
        contact: what should be there.
        entry: what the ledger said before the member was read.
        member: as it was read.
        origin: whether this worker added it.
    """
    written = _write_whole(desk, contact)
    if written.member is None:
        _not_written(desk, report, contact, entry, written)
        return
    _written_found(desk, report, contact, entry, written, origin, written.member)


def _not_written(desk: Desk, report: Report, contact: Contact, entry: Entry | None, written: Written) -> None:
    if written.verdict.sort is Sort.NOT_THERE and not desk.list_is_gone(contact.place.list_id):
        # It was there a moment ago, and went by itself.
        known = entry or Entry(contact.place, contact.owner, "present", "found", desk.at())
        gone(desk, report, contact, known, written.exchange)
    else:
        stumble(desk, report, contact.shares, contact.place, written.verdict, written.exchange)


def _write_whole(desk: Desk, contact: Contact) -> Written:
    place = contact.place
    return write_fields(desk, place, lambda fields: member_calls.update(place, fields), contact.fields.values)


def _written_found(
    desk: Desk,
    report: Report,
    contact: Contact,
    entry: Entry | None,
    written: Written,
    origin: Origin,
    member: Member,
) -> None:
    report.entries.append(entry_for(desk, contact, entry, member, origin, written))
    lost = entry is not None and entry.intent is not None and was_done(entry, member)
    begun = "It is a member by a call whose answer was lost" if lost else "It was a member already"
    detail = f"{begun}; its fields were written.{stays(member.status)}{left_out(contact, written.refused)}"
    settled(desk, report, contact, written.exchange, "found", detail, member.status)


def add_or_find(
    desk: Desk,
    report: Report,
    step: Add,
    status: str,
    what: str,
    read: Read | None = None,
    asked: Sequence[Gate] = (),
) -> None:
    """Reads a place, and adds the contact where nobody is.

    Args:
        desk: the account's.
        report: takes the notes.
        step: whom to add.
        status: how.
        what: how the receipt begins.
        read: the place, where this try has read it already.
        asked: the gates that this try has passed.
    """
    contact, entry = step.contact, step.entry
    read = read or desk.read_member(step.place, entry, step.shares)
    if read.member is not None:
        write_found(desk, report, contact, entry, read.member, origin_of(entry, read.member))
        return
    if read.verdict.sort is not Sort.NOT_THERE:
        stumble(desk, report, contact.shares, contact.place, read.verdict, read.exchange)
        return
    # Also where a step before this one found it gone.
    if entry is not None and entry.state != "intended" and not desk.list_is_gone(step.place.list_id):
        gone(desk, report, contact, entry, read.exchange)
        return
    if kept_out(desk, report, contact, asked):
        return
    written = write_after_read(
        desk,
        contact,
        lambda fields: member_calls.add_one(contact.place, contact.email, status, fields),
        contact.fields.values,
        Entry(contact.place, contact.owner, "intended", "added", desk.at(), intent=new_intent("add", read.date)),
        None,
    )
    if written.member is None:
        stumble(desk, report, contact.shares, contact.place, written.verdict, written.exchange)
        return
    origin: Origin = "added" if is_new(written.member, read.date) else "found"
    report.entries.append(entry_for(desk, contact, entry, written.member, origin, written))
    outcome = "moved" if what.startswith("Moved") else "added"
    detail = f"{what} as {written.member.status}.{left_out(contact, written.refused)}"
    settled(desk, report, contact, written.exchange, outcome, detail, written.member.status)


def _put_back(desk: Desk, report: Report, step: Restore, seen: Member, read: Read) -> None:
    contact, entry, status = step.contact, step.entry, step.entry.status_before or "unsubscribed"
    if kept_out(desk, report, contact, step.gates):
        return
    written = write_after_read(
        desk,
        contact,
        lambda fields: member_calls.restore(contact.place, contact.email, status, fields),
        contact.fields.values,
        replace(entry, state="present", sent_at=desk.at(), intent=new_intent("restore", read.date, seen)),
        entry,
    )
    if written.member is None:
        stumble(desk, report, contact.shares, contact.place, written.verdict, written.exchange)
        return
    report.entries.append(entry_for(desk, contact, entry, written.member, entry.origin, written))
    detail = f"Put back as {status}, as it was when this worker archived it."
    detail += left_out(contact, written.refused)
    settled(desk, report, contact, written.exchange, "restored", detail, written.member.status)


def gone(desk: Desk, report: Report, contact: Contact, entry: Entry, exchange: Exchange) -> None:
    """Notes a contact whose member Mailchimp no longer has: it is not added again."""
    report.entries.append(replace(entry, state="gone", sent_at=desk.at(), intent=None))
    # Whoever comes from elsewhere stays known, and a member, there.
    arriving = [
        one for one in contact.shares if desk.standing(one.customer.customer_id).place not in (None, contact.place)
    ]
    report.blocked |= {share.customer.customer_id for share in arriving}
    settle_at(report, [share for share in contact.shares if share not in arriving], contact.place)
    detail = "Mailchimp no longer has this member: it was deleted there, or the person changed the address."
    then_ = "Not added again: nobody can tell whether the person left. It is looked for at each change."
    report.write(contact.shares, contact.place, exchange, at=desk.at(), outcome="gone", detail=detail, then=then_)
