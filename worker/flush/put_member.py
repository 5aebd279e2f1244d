"""Puts one contact at its place: adds, restores or updates it, but never over a departure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from worker.clock import text_or_none
from worker.flush.attempt import Attempt, Read
from worker.flush.step_result import Answered
from worker.flush.write_member import (
    Write,
    Written,
    check_priors,
    departed_meanwhile,
    entry_after_changes,
    owner_of,
    settle_contact,
    write_after_read,
    write_once,
)
from worker.mailchimp import calls
from worker.mailchimp.answers import AnswerClass, ClassifiedAnswer, Member
from worker.mailchimp.sender import look_twice
from worker.model import Origin
from worker.plan.consent import AddDecision
from worker.plan.identity import (
    MAY_HAVE_ARCHIVED,
    agreed_when_found,
    as_gone,
    as_read,
    as_unconfirmed,
    fields_of,
    is_first_sight,
    is_new,
    is_ours,
    is_same_member,
    is_unconfirmed,
    may_have_archived,
    new_intent,
    origin_of,
    tags_of,
    was_done,
)
from worker.plan.names import has_names
from worker.plan.outcomes import Outcome
from worker.plan.steps import Add, ContactStep, Found, Move, Recheck, Restore, Update, ids_of, is_hashed
from worker.store.ledger import LedgerEntry


def update(attempt: Attempt, step: Update) -> None:
    """Writes the changes of a member."""
    written = _write_fields(attempt, step, step.changes)
    if written.member is not None:
        attempt.entries.append(entry_after_changes(attempt, step.contact, step.entry, written))
        detail = f"Updated.{_status_note(written.member.status)}"
        settle_contact(attempt, step.contact, written, Outcome.UPDATED, detail)
    else:
        _note_not_written(attempt, step, written)


def recheck(attempt: Attempt, step: Recheck) -> None:
    """Writes a member that was gone, or may be by what a hash shows, if it is there."""
    if check_priors(attempt, step) is None:
        return
    hashed = is_hashed(step.entry)
    read = attempt.read_member(step.membership, None if hashed else step.entry, step.targets, second_look=hashed)
    if read.member is None:
        _note_missing(attempt, step, read)
    elif hashed:
        unconfirmed = is_unconfirmed(step.entry, read.member)
        known = replace(step.entry, sent_at=attempt.at()) if unconfirmed else None
        write_found(attempt, Found(step.contact, known), read)
    else:
        write_found(attempt, step, read)


def restore(attempt: Attempt, step: Restore) -> None:
    """Puts back what this worker archived, with its former status, unless somebody left meanwhile.

    Also resolves a write to a member that has no answer yet.
    """
    if check_priors(attempt, step) is None:
        return
    read = attempt.read_member(step.membership, step.entry, step.targets)
    if read.member is None:
        _note_missing(attempt, step, read)
        return
    entry = as_read(step.entry, read.member, read.answered_at)
    if is_ours(entry, read.member):
        _restore_archived(attempt, replace(step, entry=entry), read.member, read)
    else:
        write_found(attempt, step, read)


def write_existing(attempt: Attempt, step: Found) -> None:
    """Writes the fields of a contact that Mailchimp refused to add because it is a member."""
    contact, entry = step.contact, step.entry
    if has_names(contact.fields.values):
        read = attempt.read_member(step.membership, entry, step.targets)
        if read.member is not None:
            write_found(attempt, step, read)
            return
        if read.classified.kind is not AnswerClass.NOT_THERE:
            attempt.note_failure(contact.targets, contact.membership, read)
            return
    elif entry is None:
        # Recorded first, however the write ends.
        added = LedgerEntry(contact.membership, contact.owner, "present", "found", attempt.at(), names_agreed=False)
        attempt.intents.note(added, contact.targets)
    written = _write_fields(attempt, step, contact.fields.values)
    if written.member is not None:
        _report_found(attempt, step, written, origin_of(entry, written.member))
    else:
        _note_not_written(attempt, step, written)


def write_found(attempt: Attempt, step: ContactStep, read: Read) -> None:
    """Writes the fields of a contact that turned out to be a member already; its status is left unchanged.

    Args:
        step: with the entry of the place before the member was read.
    """
    contact, seen = step.contact, read.member
    assert seen is not None, "it was found"
    origin = origin_of(step.entry, seen)
    agreed = origin == "found" and agreed_when_found(step.entry, seen, contact.owner, contact.fields.values)
    step = replace(step, entry=note_found(attempt, step, read))
    written = _write_fields(attempt, step, _whole_fields(attempt, step, seen))
    if written.member is None:
        _note_not_written(attempt, step, written)
        return
    _report_found(attempt, step, written, origin)
    since = None if step.entry is None or is_same_member(step.entry, seen) else attempt.at()
    attempt.entries[-1] = replace(attempt.entries[-1], names_agreed=agreed, customer_since=since)


def note_found(attempt: Attempt, step: ContactStep, read: Read) -> LedgerEntry | None:
    """Records a member that was found, and returns its new entry.

    This happens however the step ends: a write gives the member the customer's names, and once it is deleted or
    renamed, nothing else shows that it was there and left.

    Args:
        step: with the entry of the place before the member was read.
    """
    contact, entry, seen = step.contact, step.entry, read.member
    if seen is None or origin_of(entry, seen) != "found":
        return entry
    begun = entry is not None and entry.state == "intended" and entry.intent is not None and entry.intent.kind == "add"
    if not (begun or is_first_sight(entry, seen)):
        return entry
    if entry is not None and is_unconfirmed(entry, seen):
        return as_read(entry, seen, read.answered_at)
    entry = LedgerEntry(
        contact.membership,
        owner_of(contact, entry, seen),
        "present",
        "found",
        attempt.at(),
        member_status=seen.status,
        contact_id=seen.contact_id,
        seen_at=text_or_none(read.answered_at),
        names_agreed=agreed_when_found(entry, seen, contact.owner, contact.fields.values),
        member_tags=tags_of(entry, seen),
    )
    attempt.intents.note(entry, contact.targets)
    return entry


def _note_not_written(attempt: Attempt, step: ContactStep, written: Written) -> None:
    if attempt.lacks_member(step.membership, written.classified):
        # It was there a moment ago, and is gone without our doing.
        note_gone(attempt, step, written)
        return
    if written.exchange.in_doubt:
        attempt.intents.doubt_fields(step.membership, step.entry, written.sent)
    attempt.note_failure(step.targets, step.membership, written)


def _report_found(attempt: Attempt, step: ContactStep, written: Written, origin: Origin) -> None:
    entry, member = step.entry, written.member
    assert member is not None, "it was written"
    attempt.entries.append(_entry_for(attempt, step, written, origin))
    lost = entry is not None and entry.intent is not None and was_done(entry, member)
    begun = "A call whose answer was lost had added it" if lost else "It was a member already"
    by = f" It was taken off the list {MAY_HAVE_ARCHIVED}." if may_have_archived(entry, member) else ""
    detail = f"{begun}; its fields were written.{_status_note(member.status)}{by}"
    settle_contact(attempt, step.contact, written, Outcome.FOUND, detail)


def add_or_find(attempt: Attempt, step: Add | Move, decision: AddDecision, read: Read | None = None) -> None:
    """Reads a place, and adds the contact if it is empty.

    Args:
        decision: by its prior memberships.
        read: of the place, if this try has read it already.
    """
    contact, entry = step.contact, step.entry
    read = read or attempt.read_member(step.membership, entry, step.targets)
    if read.member is not None:
        write_found(attempt, step, read)
        return
    if read.classified.kind is not AnswerClass.NOT_THERE:
        attempt.note_failure(contact.targets, contact.membership, read)
        return
    if entry is not None and entry.state != "intended":
        # Even if an earlier step found it gone.
        _note_missing(attempt, step, read)
        return
    if departed_meanwhile(attempt, step):
        return
    intent = new_intent("add", read.answered_at, status=decision.status)
    intended = LedgerEntry(contact.membership, contact.owner, "intended", "added", attempt.at(), intent=intent)
    build = partial(calls.add_one, contact.membership, contact.email, decision.status)
    written = write_after_read(attempt, contact, Write(build, contact.fields.values, intended))
    if written.member is None:
        attempt.note_failure(contact.targets, contact.membership, written)
        return
    if not is_new(written.member, read.answered_at):
        # It joined after the read, or Mailchimp did not show it then.
        _report_found(attempt, step, written, "found")
        return
    attempt.entries.append(_entry_for(attempt, step, written, "added"))
    added, outcome = ("Moved: added here", Outcome.MOVED) if isinstance(step, Move) else ("Added", Outcome.ADDED)
    pending = decision.pending_at
    why = f", because the member {pending.address} on list {pending.list_id} is pending" if pending is not None else ""
    settle_contact(attempt, contact, written, outcome, f"{added} as {written.member.status}{why}.")


def _restore_archived(attempt: Attempt, step: Restore, seen: Member, read: Read) -> None:
    contact, entry, status = step.contact, step.entry, step.entry.status_before or "unsubscribed"
    if departed_meanwhile(attempt, step):
        return
    intent = new_intent("restore", read.answered_at, seen)
    intended = replace(entry, state="present", sent_at=attempt.at(), intent=intent)
    build = partial(calls.restore, contact.membership, contact.email, status)
    write = Write(build, _whole_fields(attempt, step, seen), intended, entry)
    written = write_after_read(attempt, contact, write)
    if written.member is None:
        attempt.note_failure(contact.targets, contact.membership, written)
        return
    attempt.entries.append(_entry_for(attempt, step, written, entry.origin))
    detail = f"Put back as {status}, as it was before this worker took it off the list."
    settle_contact(attempt, contact, written, Outcome.RESTORED, detail)


def _note_missing(attempt: Attempt, step: ContactStep, read: Read) -> None:
    if attempt.lacks_member(step.membership, read.classified):
        note_gone(attempt, step, read)
    else:
        attempt.note_failure(step.targets, step.membership, read)


def note_gone(attempt: Attempt, step: ContactStep, answered: Answered) -> None:
    """Records a contact whose member Mailchimp no longer has: it is not added again."""
    targets, membership, at = step.targets, step.membership, attempt.at()
    known = step.entry or LedgerEntry(membership, step.contact.owner, "present", "found", at)
    attempt.entries.append(as_gone(known, at))
    statuses = (attempt.customer_status(target.customer_id) for target in targets)
    refusal = next(
        (status.refusal for status in statuses if status.lasting and status.refuses(membership.address)), None
    )
    if refusal is not None:
        barred = ClassifiedAnswer(AnswerClass.BARRED, refusal)
        attempt.note_failure(targets, membership, replace(answered, classified=barred))
        return
    # A customer that would move here stays known, and a member, at its old place.
    arriving = [
        target for target in targets if attempt.customer_status(target.customer_id).membership not in (None, membership)
    ]
    attempt.blocked |= ids_of(arriving)
    attempt.set_membership([target for target in targets if target not in arriving], membership)
    detail = "Mailchimp no longer has this member: it was deleted there, or the person changed the address."
    attempt.receipt(targets, membership, answered.exchange, outcome=Outcome.GONE, detail=detail)


# Fields that are written, and the entry afterwards


def _write_fields(attempt: Attempt, step: ContactStep, fields: Mapping[str, Any]) -> Written:
    """Writes fields alone, which depends on no read, repeating the call without refused fields.

    Customers who come from elsewhere are known by this member from then on, unless certainly nothing was written.

    Returns:
        The result; a refused field that was not sent leaves FIELD, which is final for this run.
    """
    membership, write_ahead = step.membership, attempt.context.recorder.write_ahead
    known = [(target.customer_id, attempt.customer_status(target.customer_id).membership) for target in step.targets]
    arriving = [(customer_id, former) for customer_id, former in known if former not in (None, membership)]
    if arriving:
        # Recorded first: if the answer is lost, the member may have its names already, and leave with them.
        write_ahead((), [(customer_id, membership) for customer_id, _ in arriving], moving=True)

    def write() -> Written:
        while True:
            written = write_once(attempt, membership, partial(calls.update, membership), fields)
            if written.classified.kind is not AnswerClass.AGAIN or written.refused == attempt.intents.refused(
                membership
            ):
                return written

    written = look_twice(write, Written.is_missing, attempt.context.wait)
    if arriving and written.member is None and not written.exchange.in_doubt:
        write_ahead((), arriving, moving=True)
    return written


def _whole_fields(attempt: Attempt, step: ContactStep, seen: Member) -> dict[str, Any]:
    """Returns all fields that a member gets: the contact's, and "" for what this worker filled and it no longer has."""
    return step.contact.fields.to_send(_sent_before(attempt, step, seen))


def _sent_before(attempt: Attempt, step: ContactStep, member: Member) -> Mapping[str, str]:
    # An earlier step may have filled fields since the flush was planned.
    return fields_of(attempt.intents.entry(step.membership, step.entry), member)


def _entry_for(attempt: Attempt, step: ContactStep, written: Written, origin: Origin) -> LedgerEntry:
    """Returns the entry of a member whose fields were just written as a whole."""
    contact, before, member = step.contact, step.entry, written.member
    assert member is not None, "it was written"
    owner = owner_of(contact, before, member)
    known = _sent_before(attempt, step, member)
    entry = LedgerEntry(
        membership=contact.membership,
        customer_id=owner,
        state="present",
        origin=origin,
        sent_at=attempt.at(),
        fields=attempt.context.hashes.sent_after(known, written.sent, contact.fields.values),
        member_status=member.status,
        contact_id=member.contact_id,
        seen_at=text_or_none(written.answered_at),
        names_agreed=before.names_agreed if before is not None and before.customer_id == owner else None,
        member_tags=tags_of(before, member),
    )
    waits = origin == "found" and before is not None and is_unconfirmed(before, member)
    return as_unconfirmed(entry) if waits else entry


def _status_note(status: str) -> str:
    """Returns a sentence about a status that a write did not change; empty if it is subscribed or pending."""
    if status in ("subscribed", "pending"):
        return ""
    return f" The member is {status} in Mailchimp and stays so."
