"""Takes members off lists: archived where no customer wants them, unsubscribed where consent was withdrawn."""

from __future__ import annotations

from dataclasses import replace

from worker.flushing.deciding import member_calls
from worker.flushing.deciding.identity import as_read, lost, new_intent, status_before, status_before_until, was_done
from worker.flushing.deciding.steps import Archive, Unsubscribe
from worker.flushing.doing.desk import Desk, Halted, Read, settle_at, sort_whole, stumble
from worker.flushing.doing.report import Exchange, Report
from worker.flushing.outcomes import Sort, sort_answer
from worker.mailchimp.call import Answer
from worker.mailchimp.member import Member, answered_member
from worker.staging.ledger import Entry

NOTHING_NEXT = "Nothing until the customer changes."
NOT_OURS = "This worker did not add the member, so it stays."
ARCHIVED = "Archived: no customer wants this address on this list any more."


def unsubscribe(desk: Desk, step: Unsubscribe) -> Report:
    """Unsubscribes an address whose customer withdrew consent, if it is subscribed or pending."""
    report = desk.report()
    read = desk.read_member(step.place, step.entry, step.shares)
    member, verdict, exchange = read.member, read.verdict, read.exchange
    if member is None and (verdict.sort is not Sort.NOT_THERE or desk.list_is_gone(step.place.list_id)):
        stumble(desk, report, step.shares, step.place, verdict, exchange)
    elif member is None:
        if step.entry is not None and step.entry.state == "intended":
            report.undone.append(step.place)
        _note(desk, report, step, exchange, "withheld", "Consent is withdrawn; it is no member of this list.")
    elif member.status in ("subscribed", "pending"):
        _unsubscribe(desk, report, step, read, "unsubscribed", "Unsubscribed, because consent was withdrawn.")
    else:
        _keep(desk, report, step, read, member)
        detail = f"Consent is withdrawn; the member was {member.status} already."
        _note(desk, report, step, exchange, "withheld", detail)
    return report


def archive(desk: Desk, step: Archive) -> Report:
    """Archives a member that no customer wants any more, as far as its status and its origin permit."""
    report = desk.report()
    read = desk.read_member(step.place, step.entry, step.shares)
    member, verdict, exchange = read.member, read.verdict, read.exchange
    if member is None and (verdict.sort is not Sort.NOT_THERE or desk.list_is_gone(step.place.list_id)):
        stumble(desk, report, step.shares, step.place, verdict, exchange)
        return report
    if member is None:
        _forget(desk, report, step, exchange)
        return report
    if step.entry.state == "intended":
        if not was_done(step.entry, member):
            # Somebody else, who was there before or joined since; the add was never done.
            report.undone.append(step.place)
            _note(desk, report, step, exchange, "left alone", NOT_OURS)
            return report
        if step.entry.intent is not None and step.entry.intent.source is not None:
            report.dropped.append(step.entry.intent.source)
    entry = as_read(step.entry, member, read.date)
    if entry.state == "archived":
        report.entries.append(replace(entry, sent_at=desk.at()))
        _note(desk, report, step, exchange, "archived", f"{ARCHIVED} It is by a call whose answer was lost.")
    elif entry.origin == "found" and not (step.moved and step.entry.origin == "found"):
        _keep(desk, report, step, read, member)
        _note(desk, report, step, exchange, "left alone", NOT_OURS)
    elif member.status == "subscribed" or (member.status == "unsubscribed" and not step.moved):
        _delete(desk, report, step, read, member)
    elif member.status == "pending" and not step.moved:
        detail = "Unsubscribed: a member that has not confirmed cannot be archived."
        _unsubscribe(desk, report, step, read, "unsubscribed", detail)
    else:
        _keep(desk, report, step, read, member)
        _note(desk, report, step, exchange, "left alone", f"The member is {member.status}, and stays so.")
    return report


def _delete(desk: Desk, report: Report, step: Archive, read: Read, before: Member) -> None:
    call = member_calls.archive(step.place)
    entry = _entry(desk, step, read, before)
    # Should the answer be lost, its customer must not be taken for one whom somebody else archived.
    desk.intents.begin(replace(entry, intent=new_intent("archive", read.date, before)), entry, ())
    answer = desk.send(call)
    exchange, verdict = Exchange.of(call, answer), sort_answer(answer)
    if answer.undone:
        desk.intents.take_back(step.place)
    if verdict.sort is Sort.NOT_ALLOWED:
        # Somebody was quicker: whatever it is now, it is not archived by this worker.
        again = desk.read_member(step.place, entry)
        _keep(desk, report, step, again if again.member is not None else read, again.member or before)
        _note(desk, report, step, exchange, "left alone", "Its status changed meanwhile, so it stays as it is.")
        return
    if verdict.sort is not Sort.DONE:
        report.again = verdict.sort is Sort.NOT_THERE
        stumble(desk, report, step.shares, step.place, verdict, exchange)
        return
    report.entries.append(_archived(desk, step, entry, read, before, answer))
    _note(desk, report, step, exchange, "archived", ARCHIVED)


def _archived(desk: Desk, step: Archive, entry: Entry, read: Read, before: Member, done: Answer) -> Entry:
    # What a second read does not tell is found out by the next one: until then the intent says when it was archived.
    archived = replace(entry, state="archived", member_status="archived")
    intent = lost(new_intent("archive", read.date, before), done.date, done.seconds)
    pending = replace(archived, status_before=status_before_until(intent), intent=intent)
    try:
        after = desk.look_at(step.place, entry)
    except Halted:
        return pending
    if after.member is None and after.verdict.sort is not Sort.NOT_THERE:
        return pending
    if after.member is None or after.member.status != "archived":
        return replace(archived, status_before="unsubscribed")
    return replace(
        as_read(entry, after.member, after.date),
        state="archived",
        status_before=status_before(before, read.date, after.member),
        last_changed=after.member.last_changed,
    )


def _unsubscribe(
    desk: Desk, report: Report, step: Archive | Unsubscribe, read: Read, outcome: str, detail: str
) -> None:
    assert read.member is not None
    call = member_calls.unsubscribe(step.place)
    entry = _entry(desk, step, read, read.member)
    desk.intents.begin(replace(entry, intent=new_intent("unsubscribe", read.date, read.member)), entry, step.shares)
    answer = desk.send(call)
    exchange, verdict = Exchange.of(call, answer), sort_whole(answer)
    if answer.undone:
        desk.intents.take_back(step.place)
    member = answered_member(answer)
    if member is None:
        report.again = verdict.sort is Sort.NOT_THERE
        stumble(desk, report, step.shares, step.place, verdict, exchange)
        return
    _keep(desk, report, step, replace(read, date=answer.date), member)
    _note(desk, report, step, exchange, outcome, detail)


def _forget(desk: Desk, report: Report, step: Archive, exchange: Exchange) -> None:
    if step.entry.state == "intended":
        report.undone.append(step.place)
        _note(desk, report, step, exchange, "left alone", "Its add here was begun and never done.")
    else:
        report.entries.append(replace(step.entry, state="gone", sent_at=desk.at(), intent=None))
        _note(desk, report, step, exchange, "gone", "Mailchimp no longer has this member.")


def _keep(desk: Desk, report: Report, step: Archive | Unsubscribe, read: Read, member: Member) -> None:
    entry = _entry(desk, step, read, member)
    if entry.state == "archived" and isinstance(step, Unsubscribe):
        # Consent was withdrawn while it was archived: whoever puts it back must not subscribe it.
        entry = replace(entry, status_before="unsubscribed")
    report.entries.append(entry)


def _entry(desk: Desk, step: Archive | Unsubscribe, read: Read, member: Member) -> Entry:
    # What the ledger should say of the member as it was read.
    known = step.entry
    if known is None:
        owner = step.shares[0].customer.customer_id
        known = Entry(step.place, owner, "present", "found", desk.at(), {})
    return replace(as_read(known, member, read.date), sent_at=desk.at())


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
        report.places += [(one, step.place) for one in step.sharers]
    else:
        # So that those who share the address are looked at when it is withheld no more.
        report.places += [(share.customer.customer_id, step.place) for share in nowhere]
