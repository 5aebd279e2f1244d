"""Takes members off lists: archived where no customer wants them, unsubscribed where consent was withdrawn."""

from __future__ import annotations

from dataclasses import replace

from worker.flushing.deciding import member_calls
from worker.flushing.deciding.gate import was_begun
from worker.flushing.deciding.steps import Archive, Unsubscribe
from worker.flushing.doing.desk import Desk, Halted, settle_at, sort_whole, stumble
from worker.flushing.doing.placing import origin_of
from worker.flushing.doing.report import Exchange, Report
from worker.flushing.outcomes import Sort, sort_answer
from worker.mailchimp.member import Member, answered_member
from worker.staging.ledger import Entry

NOTHING_NEXT = "Nothing until the customer changes."


def unsubscribe(desk: Desk, step: Unsubscribe) -> Report:
    """Unsubscribes an address whose customer withdrew consent, if it is subscribed or pending."""
    report = desk.report()
    member, verdict, exchange = desk.read_member(step.place)
    if member is None and (verdict.sort is not Sort.NOT_THERE or desk.list_is_gone(step.place.list_id)):
        stumble(desk, report, step.shares, step.place, verdict, exchange)
    elif member is None:
        _note(desk, report, step, exchange, "withheld", "Consent is withdrawn; it is no member of this list.")
    elif member.status in ("subscribed", "pending"):
        _unsubscribe(desk, report, step, "unsubscribed", "Unsubscribed, because consent was withdrawn.")
    else:
        _keep(desk, report, step, member)
        detail = f"Consent is withdrawn; the member was {member.status} already."
        _note(desk, report, step, exchange, "withheld", detail)
    return report


def archive(desk: Desk, step: Archive) -> Report:
    """Archives a member that no customer wants any more, as far as its status and its origin permit."""
    report = desk.report()
    member, verdict, exchange = desk.read_member(step.place)
    if member is None and (verdict.sort is not Sort.NOT_THERE or desk.list_is_gone(step.place.list_id)):
        stumble(desk, report, step.shares, step.place, verdict, exchange)
    elif member is None:
        _forget(desk, report, step, exchange)
    elif step.entry.state == "intended" and origin_of(desk, step.entry, member) == "found" and not step.moved:
        _keep(desk, report, step, member)
        _note(desk, report, step, exchange, "left alone", "This worker did not add the member, so it stays.")
    elif member.status == "subscribed" or (member.status == "unsubscribed" and not step.moved):
        _delete(desk, report, step, member)
    elif member.status == "pending" and not step.moved:
        detail = "Unsubscribed: a member that has not confirmed cannot be archived."
        _unsubscribe(desk, report, step, "unsubscribed", detail)
    else:
        _keep(desk, report, step, member)
        _note(desk, report, step, exchange, "left alone", f"The member is {member.status}, and stays so.")
    return report


def _delete(desk: Desk, report: Report, step: Archive, before: Member) -> None:
    call = member_calls.archive(step.place)
    # Should the answer be lost, its customer must not be taken for one whom somebody else archived.
    desk.write_ahead(replace(_entry(desk, step, before.status), state="present", status_before=before.status))
    answer = desk.send(call)
    exchange, verdict = Exchange.of(call, answer), sort_answer(answer)
    if verdict.sort is Sort.NOT_ALLOWED:
        # Somebody was quicker: whatever it is now, it is not archived by this worker.
        _keep(desk, report, step, before)
        _note(desk, report, step, exchange, "left alone", "Its status changed meanwhile, so it stays as it is.")
        return
    if verdict.sort is not Sort.DONE:
        stumble(desk, report, step.shares, step.place, verdict, exchange)
        if verdict.sort is not Sort.LATER:
            report.entries.append(replace(_entry(desk, step, before.status), state="present", status_before=None))
        return
    try:
        after, _, _ = desk.read_member(step.place)
    except Halted:
        after = None
    report.entries.append(
        replace(
            _entry(desk, step, "archived"),
            state="archived",
            status_before=before.status,
            # Without it nobody can tell later that the member was left alone: then it is not put back.
            last_changed=after.last_changed if after is not None and after.status == "archived" else None,
        )
    )
    _note(desk, report, step, exchange, "archived", "Archived: no customer wants this address on this list any more.")


def _unsubscribe(desk: Desk, report: Report, step: Archive | Unsubscribe, outcome: str, detail: str) -> None:
    call = member_calls.unsubscribe(step.place)
    answer = desk.send(call)
    exchange, verdict = Exchange.of(call, answer), sort_whole(answer)
    member = answered_member(answer)
    if member is None:
        stumble(desk, report, step.shares, step.place, verdict, exchange)
        return
    _keep(desk, report, step, member)
    _note(desk, report, step, exchange, outcome, detail)


def _forget(desk: Desk, report: Report, step: Archive, exchange: Exchange) -> None:
    if step.entry.state == "intended":
        report.dropped.append(step.place)
        _note(desk, report, step, exchange, "left alone", "Its add here was begun and never done.")
    else:
        report.entries.append(replace(step.entry, state="gone", sent_at=desk.at()))
        _note(desk, report, step, exchange, "gone", "Mailchimp no longer has this member.")


def _keep(desk: Desk, report: Report, step: Archive | Unsubscribe, member: Member) -> None:
    entry = _entry(desk, step, member.status)
    if entry.state == "archived" and member.status == "archived":
        # Consent was withdrawn while it was archived: whoever puts it back must not subscribe it.
        entry = replace(entry, status_before="unsubscribed")
    elif step.entry is not None and was_begun(step.entry, member):
        # By this worker, it seems; that is enough to be done with it, and not enough to put it back some day.
        entry = replace(entry, state="archived", last_changed=None)
    else:
        entry = replace(entry, state="present", status_before=None)
    report.entries.append(entry)


def _entry(desk: Desk, step: Archive | Unsubscribe, status: str) -> Entry:
    if step.entry is None:
        owner = step.shares[0].customer.customer_id
        return Entry(step.place, owner, "present", "found", desk.at(), {}, status)
    return replace(step.entry, member_status=status, sent_at=desk.at())


def _note(
    desk: Desk, report: Report, step: Archive | Unsubscribe, exchange: Exchange, outcome: str, detail: str
) -> None:
    if isinstance(step, Unsubscribe):
        _stand(desk, report, step, outcome)
        then = "Only the person can join again, by the list's form." if outcome == "unsubscribed" else NOTHING_NEXT
    else:
        then = NOTHING_NEXT
    report.write(step.shares, step.place, exchange, at=desk.at(), outcome=outcome, detail=detail, then=then)


def _stand(desk: Desk, report: Report, step: Unsubscribe, outcome: str) -> None:
    # Where it was a member its opt-out must follow the customer to another address.
    known = step.entry is not None or outcome == "unsubscribed" or bool(report.entries)
    nowhere = [share for share in step.shares if desk.standing(share.customer.customer_id).place is None]
    if known:
        settle_at(report, nowhere, step.place)
    else:
        # So that those who share the address are looked at when it is withheld no more.
        report.places += [(share.customer.customer_id, step.place) for share in nowhere]
