"""Moves a customer from where it is known to its new place: by changing its member's address, or as another member."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from worker.flush.attempt import Attempt, Read
from worker.flush.put_member import add_or_find, note_found, write_found
from worker.flush.write_member import (
    Write,
    check_priors,
    departed_meanwhile,
    entry_after_changes,
    is_known_to_have_left,
    settle_contact,
    write_after_read,
)
from worker.mailchimp import calls
from worker.mailchimp.answers import AnswerClass, ClassifiedAnswer
from worker.plan.consent import PriorRead
from worker.plan.identity import is_its_own, new_intent, was_done
from worker.plan.outcomes import Outcome
from worker.plan.steps import Move, PriorMembership
from worker.store.ledger import LedgerEntry


def move(attempt: Attempt, step: Move) -> None:
    """Moves a customer to its new place, unless it left the old one."""
    if is_known_to_have_left(attempt, step):
        return
    # The new place first: the old one, which nobody may have left, is read last, right before the write.
    destination = attempt.read_member(step.membership, step.entry, step.targets)
    if destination.member is None and destination.classified.kind is not AnswerClass.NOT_THERE:
        attempt.note_failure(step.targets, step.membership, destination)
        return
    if _was_renamed(attempt, step, destination):
        return
    if destination.member is not None:
        note_found(attempt, step, destination)
    decision = check_priors(attempt, step)
    if decision is None:
        return
    old, renamed = decision.old, decision.renamed
    if renamed is not None and _is_subscribed(renamed) and _renamed_from(step, renamed.prior) == step.membership:
        # Its entry here means the member that now has the other address.
        back = replace(step, entry=None, rename_changes=step.contact.fields.values)
        _rename(attempt, back, renamed, destination)
        return
    if step.rename is not None and old is not None and _is_subscribed(old):
        entry = old.prior.entry
        if entry is not None and entry.state == "present" and is_its_own(entry, attempt.now()):
            _rename(attempt, step, old, destination)
            return
    add_or_find(attempt, step, decision, destination)


def _renamed_from(step: Move, prior: PriorMembership) -> object:
    planned = next((step_prior.entry for step_prior in step.priors if step_prior.membership == prior.membership), None)
    return planned.intent.source if planned is not None and planned.intent is not None else None


def _is_subscribed(read: PriorRead) -> bool:
    return read.prior.entry is not None and read.member is not None and read.member.status == "subscribed"


def _rename(attempt: Attempt, step: Move, old: PriorRead, destination: Read) -> None:
    contact, prior, entry = step.contact, old.prior, old.prior.entry
    assert entry is not None
    if destination.member is not None:
        write_found(attempt, step, destination)
        return
    if departed_meanwhile(attempt, step):
        return
    intent = replace(new_intent("rename", old.answered_at, old.member), source=prior.membership)
    # Still its own customer's, in case the answer is lost.
    intended = replace(
        LedgerEntry(contact.membership, contact.owner, "intended", entry.origin, attempt.at(), intent=intent),
        names_agreed=entry.names_agreed if entry.customer_id == contact.owner else None,
        customer_since=entry.customer_since if entry.customer_id == contact.owner else None,
        member_tags=entry.member_tags,
        fields=entry.fields,
    )
    rename = partial(calls.rename, prior.membership, contact.email)
    written = write_after_read(attempt, contact, Write(rename, step.rename_changes, intended))
    if written.member is None:
        if written.undone and _was_taken_off(attempt, prior):
            # Its status is refused, not the address: somebody changed it first, so decide again.
            attempt.again = True
            again = ClassifiedAnswer(AnswerClass.LATER, "the member changed while it was looked at")
            attempt.note_failure(contact.targets, contact.membership, replace(written, classified=again))
            return
        attempt.note_failure(contact.targets, contact.membership, written)
        return
    attempt.dropped.append(prior.membership)
    attempt.entries.append(entry_after_changes(attempt, contact, entry, written))
    detail = f"The member {prior.membership.address} got the new address."
    settle_contact(attempt, contact, written, Outcome.RENAMED, detail)


def _was_taken_off(attempt: Attempt, prior: PriorMembership) -> bool:
    # Whether the old member was taken off its list between the read and the rename.
    old = attempt.read_member(prior.membership, prior.entry)
    return old.classified.kind is AnswerClass.NOT_THERE or (
        old.member is not None and old.member.status != "subscribed"
    )


def _was_renamed(attempt: Attempt, step: Move, read: Read) -> bool:
    # If the answer to a rename was lost, the member at the new place is the one from the old place.
    entry = step.entry
    if entry is None or entry.intent is None or entry.intent.source is None:
        return False
    if read.member is None or not was_done(entry, read.member):
        return False
    attempt.dropped.append(entry.intent.source)
    write_found(attempt, step, read)
    return True
