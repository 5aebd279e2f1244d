"""Takes members off lists: archives those that no customer wants, unsubscribes where consent was withdrawn."""

from __future__ import annotations

from dataclasses import replace

from worker.flush.attempt import Attempt, Read
from worker.flush.step_result import Answered, Exchange, Halted
from worker.mailchimp import calls
from worker.mailchimp.answers import Answer, AnswerClass, ClassifiedAnswer, Member, classify_empty, member_in
from worker.plan.identity import (
    MAY_HAVE_ARCHIVED,
    as_gone,
    as_read,
    is_its_own,
    is_still_there,
    lost,
    may_be_late,
    may_have_archived,
    new_intent,
    status_after,
    status_before,
    status_before_until,
    was_done,
)
from worker.plan.outcomes import NOTHING_NEXT, ONLY_THE_PERSON, Outcome
from worker.plan.steps import Archive, Unsubscribe, ids_of
from worker.store.ledger import LedgerEntry, has_left

NOT_OURS = "This worker did not add the member, so it stays."
LATE = " A call whose answer was lost did that."
PUT_BACK = " Somebody has put it back since."
JOINED = " The person joined between the worker's read and this call, and can join again."
ARCHIVED = "Archived: no customer belongs on this list with this address any more."
NEVER_CONFIRMED = (
    "Unsubscribed: no customer belongs on this list with this address any more, and Mailchimp refuses to archive a "
    "member "
    "that has not confirmed."
)


def unsubscribe(attempt: Attempt, step: Unsubscribe) -> None:
    """Unsubscribes an address whose customer withdrew consent, if it is subscribed or pending."""
    read = attempt.read_member(step.membership, step.entry, step.targets, second_look=True)
    member, classified, exchange = read.member, read.classified, read.exchange
    if member is None and not attempt.lacks_member(step.membership, classified):
        attempt.note_failure(step.targets, step.membership, read)
    elif member is None:
        if step.entry is not None and step.entry.state == "intended":
            attempt.undone.append(step.membership)
        elif step.entry is not None:
            attempt.entries.append(as_gone(step.entry, attempt.at()))
        _report(
            attempt,
            step,
            exchange,
            Outcome.WITHHELD,
            "Consent is withdrawn, and the contact is not a member of this list.",
        )
    elif member.status in ("subscribed", "pending"):
        _unsubscribe(attempt, step, read)
    else:
        _record(attempt, step, read, member)
        detail = f"Consent is withdrawn; the member was {member.status} already."
        _report(attempt, step, exchange, Outcome.WITHHELD, detail)


def archive(attempt: Attempt, step: Archive) -> None:
    """Archives a member that no customer wants any more, if its status and origin allow it."""
    read = attempt.read_member(step.membership, step.entry, step.targets)
    member, classified, exchange = read.member, read.classified, read.exchange
    if member is None and not attempt.lacks_member(step.membership, classified):
        attempt.note_failure(step.targets, step.membership, read)
        return
    if member is None:
        _report_missing(attempt, step, exchange)
        return
    if step.entry.state == "intended":
        if not was_done(step.entry, member):
            # A different member, there before or joined since; the add was never done.
            attempt.undone.append(step.membership)
            _report(attempt, step, exchange, Outcome.LEFT_ALONE, NOT_OURS)
            return
        if step.entry.intent is not None and step.entry.intent.source is not None:
            attempt.dropped.append(step.entry.intent.source)
    entry = as_read(step.entry, member, read.answered_at)
    if entry.state == "archived":
        attempt.entries.append(replace(entry, sent_at=attempt.at()))
        _report_taken_off(attempt, step, exchange, entry, LATE)
    elif entry.origin == "found" and not (step.customers_moved and is_its_own(entry, attempt.now())):
        _record(attempt, step, read, member)
        _report(attempt, step, exchange, Outcome.LEFT_ALONE, NOT_OURS)
    elif member.status == "subscribed" or (member.status == "unsubscribed" and not step.customers_moved):
        _archive(attempt, step, read, member)
    elif member.status == "pending":
        _unsubscribe(attempt, step, read)
    else:
        _record(attempt, step, read, member)
        by = f", {MAY_HAVE_ARCHIVED}," if may_have_archived(step.entry, member) else ","
        _report(attempt, step, exchange, Outcome.LEFT_ALONE, f"The member is {member.status}{by} and stays so.")


def _archive(attempt: Attempt, step: Archive, read: Read, before: Member) -> None:
    call = calls.archive(step.membership)
    entry = _entry_as_read(attempt, step, read, before)
    # If the answer is lost, the customer must not count as archived by somebody else.
    intended = replace(entry, intent=new_intent("archive", read.answered_at, before))
    attempt.intents.begin(intended, entry, ())
    answer = attempt.send(call)
    exchange, classified = Exchange.of(call, answer), classify_empty(answer)
    if answer.undone:
        attempt.intents.take_back(step.membership)
    else:
        attempt.vacated.add(step.membership)
    if classified.kind is AnswerClass.NOT_ALLOWED:
        _report_changed_first(attempt, step, read, intended, exchange)
        return
    if classified.kind is not AnswerClass.DONE:
        attempt.again = classified.kind is AnswerClass.NOT_THERE
        attempt.note_failure(step.targets, step.membership, Answered(classified, exchange))
        return
    after = _read_after(attempt, step, entry)
    member = after.member if after is not None else None
    if member is not None and is_still_there(before, member):
        classified = ClassifiedAnswer(AnswerClass.LATER, f"Mailchimp confirmed it, but the member is {member.status}")
        attempt.note_failure(step.targets, step.membership, Answered(classified, exchange))
        return
    archived = _archived_entry(entry, read, before, answer, after)
    attempt.entries.append(archived)
    back = member is not None and member.status != "archived"
    _report_taken_off(attempt, step, exchange, archived, PUT_BACK if back else _joined_meanwhile(before, member))


def _report_changed_first(
    attempt: Attempt, step: Archive, read: Read, intended: LedgerEntry, exchange: Exchange
) -> None:
    # This call did nothing, but an earlier one without an answer may have been done after the read.
    late = may_be_late(step.entry, read.answered_at)
    again = attempt.read_member(step.membership, intended if late else replace(intended, intent=None))
    if late and again.member is not None and was_done(intended, again.member):
        entry = replace(as_read(intended, again.member, again.answered_at), sent_at=attempt.at())
        attempt.entries.append(entry)
        attempt.vacated.add(step.membership)
        _report_taken_off(attempt, step, exchange, entry, LATE)
        return
    # Whatever it is now, this worker did not archive it.
    seen = again if again.member is not None else read
    assert seen.member is not None
    _record(attempt, step, seen, seen.member)
    _report(attempt, step, exchange, Outcome.LEFT_ALONE, "Its status has changed, so it stays as it is.")


def _read_after(attempt: Attempt, step: Archive, entry: LedgerEntry) -> Read | None:
    # None if it tells nothing.
    try:
        after = attempt.fetch_member(step.membership, entry)
    except Halted:
        return None
    return after if after.member is not None or after.classified.kind is AnswerClass.NOT_THERE else None


def _archived_entry(entry: LedgerEntry, read: Read, before: Member, done: Answer, after: Read | None) -> LedgerEntry:
    archived = replace(entry, state="archived", member_status="archived")
    if after is None:
        # The next reading resolves what this one did not tell; until then the intent has the archive's time.
        intent = lost(new_intent("archive", read.answered_at, before), done.date, done.seconds)
        return replace(archived, status_before=status_before_until(intent), intent=intent)
    if after.member is None or after.member.status != "archived":
        return replace(archived, status_before="unsubscribed")
    return replace(
        as_read(entry, after.member, after.answered_at),
        state="archived",
        status_before=status_before(before, read.answered_at, after.member),
        last_changed=after.member.last_changed,
    )


def _unsubscribe(attempt: Attempt, step: Archive | Unsubscribe, read: Read) -> None:
    assert read.member is not None
    call = calls.unsubscribe(step.membership)
    entry = _entry_as_read(attempt, step, read, read.member)
    # Without withdrawn consent this is not an opt-out: the worker only takes the member off the list.
    own = isinstance(step, Archive)
    intent = new_intent("archive" if own else "unsubscribe", read.answered_at, read.member)
    attempt.intents.begin(replace(entry, intent=intent), entry, () if own else step.targets)
    answer = attempt.send(call)
    exchange, (member, classified) = Exchange.of(call, answer), member_in(answer)
    if answer.undone:
        attempt.intents.take_back(step.membership)
    else:
        attempt.vacated.add(step.membership)
    if member is None:
        attempt.again = classified.kind is AnswerClass.NOT_THERE
        attempt.note_failure(step.targets, step.membership, Answered(classified, exchange))
        return
    _record(attempt, step, replace(read, answered_at=answer.date), member)
    if isinstance(step, Unsubscribe):
        _report(attempt, step, exchange, Outcome.UNSUBSCRIBED, "Unsubscribed, because consent was withdrawn.")
        return
    attempt.entries[-1] = replace(
        attempt.entries[-1], state="archived", status_before="pending", last_changed=member.last_changed
    )
    _report_taken_off(attempt, step, exchange, attempt.entries[-1], _joined_meanwhile(read.member, member))


def _joined_meanwhile(before: Member, after: Member | None) -> str:
    # Mailchimp has no conditional writes, so this cannot be prevented; but its time of the opt-in shows it.
    return JOINED if after is not None and after.opted_in not in (None, before.opted_in) else ""


def _report_taken_off(
    attempt: Attempt, step: Archive, exchange: Exchange, entry: LedgerEntry, addition: str = ""
) -> None:
    pending = status_after(entry.status_before) == "unsubscribed"
    outcome, detail = (Outcome.UNSUBSCRIBED, NEVER_CONFIRMED) if pending else (Outcome.ARCHIVED, ARCHIVED)
    attempt.receipt(
        step.targets,
        step.membership,
        exchange,
        outcome=outcome,
        detail=f"{detail}{addition}",
        then=ONLY_THE_PERSON if addition == JOINED else NOTHING_NEXT,
    )


def _report_missing(attempt: Attempt, step: Archive, exchange: Exchange) -> None:
    if step.entry.state == "intended":
        attempt.undone.append(step.membership)
        _report(attempt, step, exchange, Outcome.LEFT_ALONE, "An add began here and was never completed.")
    else:
        attempt.entries.append(as_gone(step.entry, attempt.at()))
        _report(attempt, step, exchange, Outcome.GONE, "Mailchimp no longer has this member.")


def _record(attempt: Attempt, step: Archive | Unsubscribe, read: Read, member: Member) -> None:
    entry = _entry_as_read(attempt, step, read, member)
    if entry.state == "archived" and isinstance(step, Unsubscribe):
        # Consent was withdrawn while it was archived, so a restore must not subscribe it.
        off = member.status == "archived"
        known_here = ids_of(step.targets).union(step.same_address)
        if off and not has_left(entry) and entry.customer_id not in known_here:
            # It was archived when its customer got another address, and that customer withdrew nothing.
            entry = replace(entry, customer_id=step.targets[0].customer_id)
        entry = replace(
            entry,
            state="archived" if off else "present",
            status_before="unsubscribed" if off else None,
            last_changed=entry.last_changed if off else None,
        )
    attempt.entries.append(entry)


def _entry_as_read(attempt: Attempt, step: Archive | Unsubscribe, read: Read, member: Member) -> LedgerEntry:
    known = step.entry
    if known is None:
        owner = step.targets[0].customer.customer_id
        known = LedgerEntry(step.membership, owner, "present", "found", attempt.at(), {})
    return replace(as_read(known, member, read.answered_at), sent_at=attempt.at())


def _report(attempt: Attempt, step: Archive | Unsubscribe, exchange: Exchange, outcome: Outcome, detail: str) -> None:
    if isinstance(step, Unsubscribe):
        _note_membership(attempt, step, outcome)
    attempt.receipt(step.targets, step.membership, exchange, outcome=outcome, detail=detail)


def _note_membership(attempt: Attempt, step: Unsubscribe, outcome: Outcome) -> None:
    # If it was a member, its opt-out must follow the customer to another address.
    known = step.entry is not None or outcome is Outcome.UNSUBSCRIBED or bool(attempt.entries)
    known_at = [(target, attempt.customer_status(target.customer_id)) for target in step.targets]
    nowhere = [target for target, status in known_at if status.membership is None]
    if known:
        attempt.set_membership(nowhere, step.membership)
        attempt.customer_statuses += [
            # The ledger keeps the place of an earlier address; the member here may be another customer's.
            replace(status, membership=step.membership)
            for target, status in known_at
            if status.membership is not None
            and target.customer.address == step.membership.address != status.membership.address
        ]
        attempt.memberships += [(customer_id, step.membership) for customer_id in step.same_address]
    else:
        # So that those who share the address are planned again once it is no longer withheld.
        attempt.memberships += [(target.customer_id, step.membership) for target in nowhere]
