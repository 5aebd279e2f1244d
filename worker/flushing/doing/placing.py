"""Puts one contact at its place: added, renamed, moved, restored or written where it is, but never over a departure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from worker.clock import as_moment
from worker.flushing.deciding import member_calls
from worker.flushing.deciding.gate import Passage, is_ours, passage, passage_by_ledger
from worker.flushing.deciding.steps import Add, Contact, Found, Gate, Move, Recheck, Restore, Update
from worker.flushing.doing.desk import Desk, settle_at, stumble
from worker.flushing.doing.report import Exchange, Report
from worker.flushing.doing.writing import (
    Written,
    entry_after_changes,
    entry_for,
    left_out,
    settled,
    stays,
    write_member,
)
from worker.flushing.outcomes import Sort
from worker.mailchimp.member import Member
from worker.model import Origin
from worker.staging.ledger import Entry


def add_alone(desk: Desk, step: Add) -> Report:
    """Adds a contact on a list with archived members, where a POST could put somebody back."""
    report = desk.report()
    _add_or_find(desk, report, step, step.contact.status_if_new, "Added")
    return report


def update(desk: Desk, step: Update) -> Report:
    """Writes what changed of a member."""
    report = desk.report()
    written = write_member(desk, lambda fields: member_calls.update(step.place, fields), step.changes)
    contact = step.contact
    if written.member is not None:
        report.entries.append(entry_after_changes(desk, contact, step.entry, written.member, written))
        detail = f"Updated.{stays(written.member.status)}{left_out(contact, written.refused)}"
        settled(desk, report, contact, written.exchange, "updated", detail, written.member.status)
    elif written.verdict.sort is Sort.NOT_THERE and not desk.list_is_gone(step.place.list_id):
        _gone(desk, report, contact, step.entry, written.exchange)
    else:
        stumble(desk, report, contact.shares, contact.place, written.verdict, written.exchange)
    return report


def recheck(desk: Desk, step: Recheck) -> Report:
    """Writes a member that was gone only if it is there again."""
    report = desk.report()
    if _pass_gates(desk, report, step.contact, step.gates) is None:
        return report
    member, verdict, exchange = desk.read_member(step.place)
    if member is not None:
        write_found(desk, report, step.contact, step.entry, member, "found")
    elif verdict.sort is Sort.NOT_THERE and not desk.list_is_gone(step.place.list_id):
        _gone(desk, report, step.contact, step.entry, exchange)
    else:
        stumble(desk, report, step.shares, step.place, verdict, exchange)
    return report


def restore(desk: Desk, step: Restore) -> Report:
    """Puts back what this worker archived, with the status from before, unless somebody left meanwhile."""
    report = desk.report()
    contact = step.contact
    if _pass_gates(desk, report, contact, step.gates) is None:
        return report
    member, verdict, exchange = desk.read_member(step.place)
    if member is None and verdict.sort is Sort.NOT_THERE and not desk.list_is_gone(step.place.list_id):
        _gone(desk, report, contact, step.entry, exchange)
    elif member is None:
        stumble(desk, report, contact.shares, contact.place, verdict, exchange)
    elif not is_ours(step.entry, member):
        write_found(desk, report, contact, step.entry, member, step.entry.origin)
    else:
        _put_back(desk, report, step)
    return report


def move(desk: Desk, step: Move) -> Report:
    """Takes a customer from where it is known to its new place, unless it left there."""
    report = desk.report()
    if _renamed_before(desk, report, step):
        return report
    passed = _pass_gates(desk, report, step.contact, step.gates)
    if passed is None:
        if report.blocked and step.entry is None:
            report.undone.append(step.place)
        return report
    status, old = passed
    if step.rename is not None and old is not None and old.status == "subscribed":
        _rename(desk, report, step)
    else:
        _add_or_find(desk, report, Add(step.contact, step.entry), status, "Moved: added here")
    return report


def found(desk: Desk, step: Found) -> Report:
    """Writes the fields of a contact that Mailchimp refused to add because it is a member."""
    report = desk.report()
    contact = step.contact
    written = write_member(desk, lambda fields: member_calls.update(contact.place, fields), contact.fields.values)
    if written.member is not None:
        origin = origin_of(desk, step.entry, written.member)
        _written_found(desk, report, contact, step.entry, written, origin, written.member)
    else:
        stumble(desk, report, contact.shares, contact.place, written.verdict, written.exchange)
    return report


def write_found(
    desk: Desk, report: Report, contact: Contact, entry: Entry | None, member: Member, origin: Origin
) -> None:
    """Writes the fields of a contact that turned out to be a member already, and leaves its status alone."""
    written = write_member(desk, lambda fields: member_calls.update(contact.place, fields), contact.fields.values)
    if written.member is None:
        stumble(desk, report, contact.shares, contact.place, written.verdict, written.exchange)
        return
    _written_found(desk, report, contact, entry, written, origin, written.member)


def origin_of(desk: Desk, entry: Entry | None, member: Member) -> Origin:
    """Tells whether a member that is there is the work of an add whose answer was lost.

    That is so when the intent to add it, written before the call, is older than the member.

    Args:
        desk: knows when the intents of this flush were written.
        entry: what the ledger said of the place when the flush was planned.
        member: what is there.
    """
    if entry is not None and entry.state != "intended":
        return entry.origin if entry.state == "present" else "found"
    intended_at = as_moment(entry.sent_at if entry is not None else desk.intended_at)
    # Mailchimp tells whole seconds.
    return "added" if member.born is not None and member.born >= intended_at.replace(microsecond=0) else "found"


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
    begun = "It is a member by an add whose answer was lost" if origin == "added" else "It was a member already"
    detail = f"{begun}; its fields were written.{stays(member.status)}{left_out(contact, written.refused)}"
    settled(desk, report, contact, written.exchange, "found", detail, member.status)


def _add_or_find(desk: Desk, report: Report, step: Add, status: str, what: str) -> None:
    contact = step.contact
    member, verdict, exchange = desk.read_member(step.place)
    if member is not None:
        write_found(desk, report, contact, step.entry, member, origin_of(desk, step.entry, member))
        return
    if verdict.sort is not Sort.NOT_THERE:
        stumble(desk, report, contact.shares, contact.place, verdict, exchange)
        return
    if step.entry is not None and step.entry.state == "present" and not desk.list_is_gone(step.place.list_id):
        _gone(desk, report, contact, step.entry, exchange)
        return
    written = write_member(
        desk,
        lambda fields: member_calls.add_one(contact.place, contact.email, status, fields),
        contact.fields.values,
    )
    if written.member is None:
        stumble(desk, report, contact.shares, contact.place, written.verdict, written.exchange)
        return
    report.entries.append(entry_for(desk, contact, step.entry, written.member, "added", written))
    outcome = "moved" if what.startswith("Moved") else "added"
    detail = f"{what} as {written.member.status}.{left_out(contact, written.refused)}"
    settled(desk, report, contact, written.exchange, outcome, detail, written.member.status)


def _put_back(desk: Desk, report: Report, step: Restore) -> None:
    contact, status = step.contact, step.entry.status_before or "unsubscribed"
    written = write_member(
        desk,
        lambda fields: member_calls.restore(contact.place, contact.email, status, fields),
        contact.fields.values,
    )
    if written.member is None:
        stumble(desk, report, contact.shares, contact.place, written.verdict, written.exchange)
        return
    report.entries.append(entry_for(desk, contact, step.entry, written.member, step.entry.origin, written))
    detail = f"Put back as {status}, as it was when this worker archived it."
    detail += left_out(contact, written.refused)
    settled(desk, report, contact, written.exchange, "restored", detail, written.member.status)


def _rename(desk: Desk, report: Report, step: Move) -> None:
    contact, gate = step.contact, step.rename
    assert gate is not None
    assert gate.entry is not None
    taken, verdict, exchange = desk.read_member(contact.place)
    if taken is not None:
        write_found(desk, report, contact, step.entry, taken, "found")
        return
    if verdict.sort is not Sort.NOT_THERE:
        stumble(desk, report, contact.shares, contact.place, verdict, exchange)
        return
    written = write_member(
        desk, lambda fields: member_calls.rename(gate.place, contact.email, fields), step.rename_changes
    )
    if written.member is None:
        stumble(desk, report, contact.shares, contact.place, written.verdict, written.exchange)
        return
    report.dropped.append(gate.place)
    report.entries.append(entry_after_changes(desk, contact, gate.entry, written.member, written))
    detail = f"The member {gate.place.address} got the new address."
    detail += left_out(contact, written.refused)
    settled(desk, report, contact, written.exchange, "renamed", detail, written.member.status)


def _renamed_before(desk: Desk, report: Report, step: Move) -> bool:
    # Where the answer to a rename was lost: the old member is gone and stands at the new place.
    if step.rename is None or step.rename.entry is None or step.entry is None:
        return False
    _, verdict, _ = desk.read_member(step.rename.place)
    if verdict.sort is not Sort.NOT_THERE:
        return False
    member, _, _ = desk.read_member(step.place)
    if member is None:
        return False
    report.dropped.append(step.rename.place)
    write_found(desk, report, step.contact, step.rename.entry, member, step.rename.entry.origin)
    return True


def _pass_gates(
    desk: Desk, report: Report, contact: Contact, gates: Sequence[Gate]
) -> tuple[str, Member | None] | None:
    # Returns the status to add with and the old member, or None after noting why the contact may not pass.
    status, old, found_begun = contact.status_if_new, None, False
    for gate in gates:
        exchange, member = None, None
        if gate.list_gone:
            verdict = passage_by_ledger(gate.place, gate.entry, contact.place, contact.status_if_new)
        else:
            member, sorted_, exchange = desk.read_member(gate.place)
            if member is None and sorted_.sort is not Sort.NOT_THERE:
                stumble(desk, report, contact.shares, gate.place, sorted_, exchange)
                return None
            if member is None and desk.list_is_gone(gate.place.list_id):
                stumble(desk, report, contact.shares, gate.place, sorted_, exchange)
                return None
            old = member
            verdict = passage(gate.place, gate.entry, member, contact.place, contact.status_if_new)
        if gate.entry is not None and gate.entry.state == "intended":
            found_begun = found_begun or verdict.here
            if not verdict.here:
                report.dropped.append(gate.place)
        if verdict.status is None and not (found_begun and not verdict.here):
            if gate.entry is not None and gate.entry.state == "present" and member is not None:
                report.entries.append(replace(gate.entry, member_status=member.status, sent_at=desk.at()))
            _blocked(desk, report, contact, gate, verdict, exchange)
            return None
        status = "pending" if verdict.status == "pending" else status
    return status, old


def _blocked(
    desk: Desk, report: Report, contact: Contact, gate: Gate, verdict: Passage, exchange: Exchange | None
) -> None:
    detail = f"Not put on list {contact.place.list_id} as {contact.email}: {verdict.reason}, and an opt-out follows."
    report.write(
        contact.shares,
        gate.place,
        exchange,
        at=desk.at(),
        outcome="left",
        detail=detail,
        then="Only the person can join again, by the list's form.",
    )
    report.blocked |= {share.customer.customer_id for share in contact.shares}


def _gone(desk: Desk, report: Report, contact: Contact, entry: Entry, exchange: Exchange) -> None:
    report.entries.append(
        Entry(contact.place, entry.customer_id, "gone", entry.origin, desk.at(), entry.fields, entry.member_status)
    )
    # Whoever comes from elsewhere stays known, and a member, there.
    arriving = [
        one for one in contact.shares if desk.standing(one.customer.customer_id).place not in (None, contact.place)
    ]
    report.blocked |= {share.customer.customer_id for share in arriving}
    settle_at(report, [share for share in contact.shares if share not in arriving], contact.place)
    detail = "Mailchimp no longer has this member: it was deleted there, or the person changed the address."
    then_ = "Not added again: nobody can tell whether the person left. It is looked for at each change."
    report.write(contact.shares, contact.place, exchange, at=desk.at(), outcome="gone", detail=detail, then=then_)
