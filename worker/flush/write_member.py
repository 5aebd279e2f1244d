"""What all writes of a member share: the checks that nobody left, the call, and the receipts.

Before a contact is put anywhere, it is checked twice that nobody left: in Mailchimp, where its customers are known
(:func:`check_priors`), and right before the call in the ledger, since other calls of this flush may have found a
departure meanwhile (:func:`departed_meanwhile`). :mod:`worker.plan.consent` judges what was read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from worker.fields.field_hashes import not_sure
from worker.fields.field_values import CUT
from worker.fields.merge_values import ADDRESS, Fields
from worker.flush.attempt import Attempt, Read
from worker.flush.step_result import Exchange
from worker.mailchimp.answers import AnswerClass, Member, member_in
from worker.mailchimp.calls import Call
from worker.model import CustomerId, MembershipKey
from worker.plan.consent import AddDecision, PriorRead, decide, kept_out
from worker.plan.identity import as_gone, as_read, is_unconfirmed
from worker.plan.outcomes import OTHER_STATUS, STATUS_MEANINGS, Outcome
from worker.plan.steps import AfterPriors, Contact, ContactStep, PriorDecision, PriorMembership, Target, ids_of
from worker.store.customer_outcomes import NO_MEMBER
from worker.store.ledger import LedgerEntry, keeps_out

Build = Callable[[Mapping[str, Any]], Call]
"""Builds a call from fields."""
_WHY_NOT_ADDED = {"renamed": "nobody is added for it then", "cleaned": "mail to this address is returned"}
"""By how somebody left; otherwise it is an opt-out."""


@dataclass(frozen=True, slots=True)
class Write:
    """A write that depends on what was just read.

    Attributes:
        intended: the place's entry with the intent.
        before: the place's entry if nothing was done; None for none.
    """

    build: Build
    fields: Mapping[str, Any]
    intended: LedgerEntry
    before: LedgerEntry | None = None


@dataclass(frozen=True, slots=True)
class Written(Read):
    """The result of writing a member: the member afterwards, None unless it was written.

    Attributes:
        sent: the fields that were sent last.
        refused: merge tag to the title of Mailchimp's refusal.
        undone: whether certainly nothing was done.
    """

    sent: Mapping[str, Any]
    refused: Mapping[str, str]
    seconds: float
    undone: bool


# Whether nobody left


def is_known_to_have_left(attempt: Attempt, step: AfterPriors) -> bool:
    """Returns whether members read a moment ago show that a contact may go nowhere, and records it."""
    if step.kept_out_by is None:
        return False
    now = next((prior for prior in step.priors if prior.membership == step.kept_out_by.membership), None)
    if now is None or not keeps_out(now.entry, step.membership):
        return False
    note_departed(attempt, step.contact, now)
    return True


def check_priors(attempt: Attempt, step: AfterPriors) -> AddDecision | None:
    """Reads the old members; returns None after recording why the contact may not be added."""
    if is_known_to_have_left(attempt, step):
        return None
    contact = step.contact
    exchange: Exchange | None = None
    failed = False

    def reads() -> Iterator[PriorRead]:
        nonlocal exchange, failed
        for prior in step.priors:
            if prior.list_gone:
                exchange = None
                yield PriorRead(prior)
                continue
            read = attempt.read_member(prior.membership, prior.entry)
            exchange = read.exchange
            if failed := _read_failed(attempt, contact, prior, read):
                return
            yield PriorRead(prior, read.member, read.answered_at)

    decision = decide(contact.membership, contact.status_if_new, reads(), attempt.at)
    attempt.entries += decision.entries
    attempt.dropped += decision.dropped
    if decision.kept_out_by is not None:
        _note_kept_out(attempt, contact, *decision.kept_out_by, exchange)
        return None
    return None if failed else decision


def _read_failed(attempt: Attempt, contact: Contact, prior: PriorMembership, read: Read) -> bool:
    # Records an answer that does not tell whether somebody left.
    if read.member is not None:
        return False
    if read.classified.kind is not AnswerClass.NOT_THERE:
        attempt.note_failure(contact.targets, prior.membership, read)
        return True
    # Whether somebody left depends on which of the two is gone.
    known = prior.entry is not None and prior.entry.state in ("present", "archived")
    if not known or attempt.lacks_member(prior.membership, read.classified):
        return False
    attempt.note_failure(contact.targets, prior.membership, read)
    return True


def departed_meanwhile(attempt: Attempt, step: ContactStep) -> bool:
    """Returns whether a departure that another step has just found keeps a contact from its place, and records it.

    Call it right before the write.
    """
    read = {prior.membership for prior in step.priors} if isinstance(step, AfterPriors) else set()
    for prior in attempt.context.recorder.departures_of([step.contact]).get(step.membership, ()):
        if prior.membership not in read:
            note_departed(attempt, step.contact, prior)
            return True
    return False


def note_departed(attempt: Attempt, contact: Contact, prior: PriorMembership) -> None:
    """Records that a departure in the ledger keeps a contact from its place."""
    assert prior.entry is not None, "it shows a departure"
    _note_kept_out(attempt, contact, prior, kept_out(prior.entry, here=True), None)


def _note_kept_out(
    attempt: Attempt,
    contact: Contact,
    prior: PriorMembership,
    decision: PriorDecision,
    exchange: Exchange | None,
) -> None:
    why = _WHY_NOT_ADDED.get(decision.left_as or "", "an opt-out goes with the person to every list")
    detail = f"Not put on list {contact.membership.list_id} as {contact.email}: {decision.reason}, and {why}."
    then = _next_after_departure(decision, prior)
    targets = contact.targets
    if prior.membership.list_id != contact.membership.list_id:
        # The receipt names the list that the person left, which the account did not choose.
        targets = tuple(replace(target, list_reason=None) for target in targets)
    attempt.receipt(targets, prior.membership, exchange, outcome=Outcome.LEFT, detail=detail, then=then)
    attempt.blocked |= ids_of(contact.targets)
    giving_up = [target for target in targets if not prior.own or _comes_to_its_address(attempt, target, prior)]
    attempt.kept_off |= ids_of(giving_up)
    for target in contact.targets:
        if target.customer.address == prior.membership.address:
            attempt.memberships.append((target.customer_id, prior.membership))
        elif prior.known and target.customer_id not in prior.known:
            attempt.waits.append((target.customer_id, prior.known[0]))


def _next_after_departure(decision: PriorDecision, prior: PriorMembership) -> str | None:
    # None for what is always next after a departure: only the person can join again.
    if decision.left_as is None or decision.left_as == NO_MEMBER or decision.left_as not in STATUS_MEANINGS:
        return None
    if decision.left_as == "unconfirmed" and prior.entry is not None and prior.entry.member_status != "pending":
        return None  # no form waits for a confirmation
    return STATUS_MEANINGS[decision.left_as].next


def _comes_to_its_address(attempt: Attempt, target: Target, prior: PriorMembership) -> bool:
    # Who had the new address left. The customer itself left nothing, even if the departure is kept under its id.
    old, address = attempt.customer_status(target.customer_id).membership, target.customer.address
    return old is not None and old.address != address == prior.membership.address


# Writing


def write_once(attempt: Attempt, membership: MembershipKey, build: Build, fields: Mapping[str, Any]) -> Written:
    """Sends a write once, without the fields that Mailchimp refused there before.

    Returns:
        The result; AGAIN if a field was refused, so that it can be left out after another read.
    """
    refused = attempt.intents.refused(membership)
    sent = {tag: value for tag, value in fields.items() if tag not in refused}
    call = build(sent)
    answer = attempt.send(call)
    member, classified = member_in(answer)
    if classified.kind is AnswerClass.FIELD and any(tag in sent for tag in classified.fields):
        more = {tag: classified.title for tag in classified.fields if tag in sent}
        attempt.intents.refuse(membership, more)
        classified = replace(classified, kind=AnswerClass.AGAIN)
    exchange = Exchange.of(call, answer)
    return Written(classified, exchange, member, answer.date, sent, refused, answer.seconds, answer.undone)


def write_after_read(attempt: Attempt, contact: Contact, write: Write) -> Written:
    """Records and sends a write that depends on what was just read, once."""
    sent = write.fields.keys() - attempt.intents.refused(contact.membership)
    intended = replace(write.intended, fields=not_sure(write.intended.fields, sent))
    attempt.intents.begin(intended, write.before, contact.targets)
    written = write_once(attempt, contact.membership, write.build, write.fields)
    if written.undone:
        attempt.intents.take_back(contact.membership)
    elif written.member is None:
        attempt.intents.doubt(contact.membership, written.answered_at, written.seconds)
    if written.classified.kind is AnswerClass.BARRED:
        left = write.before or LedgerEntry(contact.membership, contact.owner, "gone", "found", attempt.at())
        attempt.entries.append(as_gone(left, attempt.at()))
    return written


def entry_after_changes(attempt: Attempt, contact: Contact, entry: LedgerEntry, written: Written) -> LedgerEntry:
    """Returns what the ledger says of a member after only some of its fields were written."""
    member = written.member
    assert member is not None, "it was written"
    before = entry if entry.state in ("present", "gone") else replace(entry, state="present")
    now = as_read(before, member, written.answered_at)
    owner = owner_of(contact, entry, member)
    return replace(
        now,
        membership=contact.membership,
        customer_id=owner,
        sent_at=attempt.at(),
        fields=attempt.context.hashes.sent_after(now.fields, written.sent, contact.fields.values),
        names_agreed=now.names_agreed if owner == entry.customer_id else None,
        customer_since=now.customer_since if owner == entry.customer_id else None,
    )


def owner_of(contact: Contact, before: LedgerEntry | None, member: Member) -> CustomerId:
    """Returns a member's customer: an opt-out stays with its customer, even if another takes over the address."""
    if before is None or (member.status in ("subscribed", "pending") and not is_unconfirmed(before, member)):
        return contact.owner
    return before.customer_id


def _note_on_fields(fields: Fields, left_out: Mapping[str, str]) -> str:
    """Returns sentences about fields that were not sent as billmywork has them; empty if there are none."""
    cut = [f"{tag} ({why})" for tag, why in left_out.items() if why.startswith(CUT)]
    not_sent = [f"{tag} ({why})" for tag, why in left_out.items() if not why.startswith(CUT)]
    said = f" Not sent: {', '.join(not_sent)}." if not_sent else ""
    said += f" Shortened: {', '.join(cut)}." if cut else ""
    if fields.state_filled_in is not None and ADDRESS not in left_out:
        said += f" The address has no state, so {fields.state_filled_in} was sent as its state."
    return said


def next_for(status: str) -> str:
    """Returns what happens next to a member of that status."""
    return STATUS_MEANINGS.get(status, OTHER_STATUS).next


def settle_contact(attempt: Attempt, contact: Contact, written: Read, outcome: Outcome, detail: str) -> None:
    """Records that a contact is done, for its owner and for those who share the address.

    Args:
        written: its member, as the write left it.
        detail: the start of the receipt's text; the fields that were left out follow.
    """
    assert written.member is not None, "it was written"
    exchange, after = written.exchange, next_for(written.member.status)
    left_out = {**contact.fields.left_out, **attempt.intents.refused(contact.membership)}
    attempt.left_out.append((contact.membership.list_id, left_out))
    detail += _note_on_fields(contact.fields, left_out)
    attempt.set_membership(contact.targets, contact.membership)
    owners = [target for target in contact.targets if target.customer_id == contact.owner]
    sharers = [target for target in contact.targets if target.customer_id != contact.owner]
    attempt.receipt(owners, contact.membership, exchange, outcome=outcome, detail=detail, then=after)
    if not sharers:
        return
    shared = f"Shares its address with customer {contact.owner}, whose newer fields the member has. {detail}"
    attempt.receipt(sharers, contact.membership, exchange, outcome=Outcome.SHARED, detail=shared, then=after)
