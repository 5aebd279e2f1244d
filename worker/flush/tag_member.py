"""Sets and removes the tags of a member. Never of one that left, and never a tag that this worker did not set."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from worker.fields import member_tags
from worker.fields.member_tags import TagWrite
from worker.flush.attempt import Attempt
from worker.flush.put_member import note_gone
from worker.flush.step_result import Answered, Exchange
from worker.flush.write_member import next_for
from worker.mailchimp import calls
from worker.mailchimp.answers import (
    UNREADABLE,
    AnswerClass,
    Member,
    classify,
    classify_empty,
    tags_added,
    total_items,
)
from worker.plan.identity import as_read, is_unconfirmed
from worker.plan.outcomes import NOTHING_NEXT, Outcome
from worker.plan.steps import Tag
from worker.store.ledger import OUT, LedgerEntry


def tag(attempt: Attempt, step: Tag) -> None:
    """Writes the tags of a contact that is a member, after a read that tells which of them somebody set by hand."""
    entry = step.entry
    if entry is None or entry.state != "present" or entry.member_status in OUT:
        return  # it was not added there, or it left: another receipt says why
    if step.follows and not member_tags.differs(step.contact.tags, entry.member_tags):
        return  # they are the same as last sent
    if step.seen is not None:
        _write(attempt, step, entry, step.seen, step.seen_at)
        return
    read = attempt.read_member(step.membership, entry, step.targets, tags=True)
    if read.member is None and attempt.lacks_member(step.membership, read.classified):
        note_gone(attempt, step, read)
    elif read.member is None:
        _note_failure(attempt, step, read)
    elif read.member.status in OUT or is_unconfirmed(entry, read.member):
        detail = f"The member is {read.member.status} in Mailchimp, so its tags were left alone."
        after = next_for(read.member.status)
        attempt.receipt(step.targets, step.membership, None, outcome=Outcome.LEFT_ALONE, detail=detail, then=after)
    else:
        entry = as_read(entry, read.member, read.answered_at)
        if not member_tags.in_doubt(entry.member_tags):
            _write(attempt, step, entry, read.member, read.answered_at)
        else:
            _write_after_doubt(attempt, step, entry, read.member)


def _write_after_doubt(attempt: Attempt, step: Tag, entry: LedgerEntry, seen: Member) -> None:
    # The answer to a call was lost: Mailchimp's own times show which tags it set.
    call = calls.read_all_tags(step.membership)
    answer = attempt.send(call)
    added = tags_added(answer.body) if answer.ok else None
    if added is None:
        classified = UNREADABLE if answer.ok else classify(answer)
        _note_failure(attempt, step, Answered(classified, Exchange.of(call, answer)))
        return
    known = member_tags.resolved(entry.member_tags, added)
    seen = replace(seen, tags=tuple(added), tags_count=total_items(answer))
    _write(attempt, step, replace(entry, member_tags=known), seen, answer.date)


def _write(attempt: Attempt, step: Tag, entry: LedgerEntry, seen: Member, answered_at: datetime | None) -> None:
    write = member_tags.to_write(step.contact.tags, entry.member_tags, seen, answered_at)
    if not write.changes:
        attempt.entries.append(replace(entry, member_tags=write.after))
        # A status that changed since the previous step is published too: the person may have confirmed meanwhile.
        if not step.follows or (step.entry is not None and step.entry.member_status != entry.member_status):
            detail = "The member has the customer's tags already."
            attempt.receipt(step.targets, step.membership, None, outcome=Outcome.UNCHANGED, detail=detail)
        return
    # If the answer is lost, this shows which tags are this worker's.
    attempt.intents.note(replace(entry, member_tags=write.ahead), step.targets)
    call = calls.tag(step.membership, write.changes.add, write.changes.remove)
    answer = attempt.send(call)
    classified, exchange = classify_empty(answer), Exchange.of(call, answer)
    if classified.kind is not AnswerClass.DONE:
        if answer.undone:
            attempt.entries.append(entry)
        _note_failure(attempt, step, Answered(classified, exchange))
        return
    _report_tagged(attempt, step, entry, write, exchange)


def _report_tagged(attempt: Attempt, step: Tag, entry: LedgerEntry, write: TagWrite, exchange: Exchange) -> None:
    attempt.entries.append(replace(entry, member_tags=write.after))
    attempt.set_membership(step.targets, step.membership)
    detail = member_tags.in_words(write.changes)
    owners = [target for target in step.targets if target.customer_id == step.contact.owner]
    sharers = [target for target in step.targets if target.customer_id != step.contact.owner]
    then = next_for("pending") if entry.member_status == "pending" else NOTHING_NEXT
    attempt.receipt(owners, step.membership, exchange, outcome=Outcome.TAGGED, detail=detail, then=then)
    shared = f"Shares its address with customer {step.contact.owner}, whose tags the member has. {detail}"
    attempt.receipt(sharers, step.membership, exchange, outcome=Outcome.SHARED, detail=shared, then=then)


def _note_failure(attempt: Attempt, step: Tag, answered: Answered) -> None:
    # The member's own result stays as recorded: no answer here refuses the contact.
    classified, exchange = answered.classified, answered.exchange
    if classified.kind in (AnswerClass.ACCOUNT_STOPPED, AnswerClass.NOT_THERE):
        attempt.note_failure(step.targets, step.membership, answered)
        return
    sure = "may not be" if exchange.in_doubt else "are not"
    detail = f"The member is there; its tags {sure} written yet: {classified.title}."
    attempt.note_later(step.targets, step.membership, answered, detail)
