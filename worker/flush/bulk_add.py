"""Adds contacts in batches, and finds out which of them Mailchimp refuses, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from worker.clock import text_or_none
from worker.fields.field_hashes import not_sure
from worker.flush.add_strategy import AddStrategy
from worker.flush.attempt import TRIES_AT_ONCE, Attempt, Read, StepContext, one_try
from worker.flush.step_result import Answered, Exchange, Halted, StepResult
from worker.flush.write_member import next_for, note_departed, settle_contact
from worker.mailchimp import calls
from worker.mailchimp.answers import (
    Answer,
    AnswerClass,
    ClassifiedAnswer,
    Member,
    classify,
    member_of,
    sort_contact_error,
)
from worker.mailchimp.calls import Call
from worker.mailchimp.sender import Tries
from worker.model import AddressKey, MembershipKey, address_key
from worker.plan.identity import lost, new_intent
from worker.plan.outcomes import Outcome
from worker.plan.steps import Add, Found, Step, Tag
from worker.store.ledger import LedgerEntry

SAME_TITLE_IN_A_ROW = 5
"""After this many contacts in a row were refused with one title and none was accepted, the list is at fault."""

Commit = Callable[[StepResult], None]


def leave_archived(context: StepContext, adds: Sequence[Add]) -> StepResult:
    """Records contacts that are archived in Mailchimp: they are members, and a POST would put them back."""
    attempt = Attempt.of(context)
    detail = "It is archived in Mailchimp, but not by this worker, so it stays archived."
    at, after = attempt.at(), next_for("archived")
    for add in adds:
        contact = add.contact
        attempt.entries.append(LedgerEntry(contact.membership, contact.owner, "present", "found", at, {}, "archived"))
        attempt.set_membership(contact.targets, contact.membership)
        attempt.receipt(contact.targets, contact.membership, None, outcome=Outcome.LEFT, detail=detail, then=after)
        attempt.settle(contact.targets)
    return attempt


def _by_address(body: Mapping[str, Any], *names: str) -> dict[AddressKey | None, Mapping[str, Any]]:
    parts = [body[name] for name in names if isinstance(body.get(name), list)]
    items = [item for part in parts for item in part if isinstance(item, dict)]
    return {address_key(address): item for item in items if isinstance(address := item.get("email_address"), str)}


def _added_entry(attempt: Attempt, add: Add, member: Member, answered_at: datetime | None) -> LedgerEntry:
    contact, values = add.contact, add.contact.fields.values
    return LedgerEntry(
        membership=contact.membership,
        customer_id=contact.owner,
        state="present",
        origin="added",
        sent_at=attempt.at(),
        fields=attempt.context.hashes.sent_after({}, values, values),
        member_status=member.status,
        contact_id=member.contact_id,
        seen_at=text_or_none(answered_at),
    )


@dataclass(frozen=True, slots=True)
class _Posted:
    """One POST, or the failed read before it."""

    adds: Sequence[Add]
    call: Call
    answer: Answer
    classified: ClassifiedAnswer
    call_text: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "call_text", str(self.call))

    def exchange(self, add: Add, said: Mapping[str, Any] | None) -> Exchange:
        """Returns one contact's part of it, with what was answered about the contact."""
        answer = self.answer
        if answer.failure is not None:
            said = {"failure": answer.failure}
        in_doubt = not self.call.reads_only and not answer.undone
        return Exchange(self.call_text, add.as_contact(), answer.status, said, in_doubt)

    def refusal(self, add: Add) -> Answered:
        """Returns what it means for one contact that the whole call was refused."""
        return Answered(self.classified, self.exchange(add, self.answer.body))


@dataclass(slots=True)
class Batch:
    """Adds contacts to one list in batches, and finds those that make Mailchimp refuse a whole call.

    Attributes:
        commit: writes each result at once.
        strategy: for this list.
        alone: steps for contacts that need a call of their own: existing members, or those refused without a title.
        refused: contacts that were refused when each was sent alone: all wait, because the list may be at fault.
        any_taken: whether Mailchimp accepted any POST.
        intended: the ledger entry of each place since a POST with it was sent.
        unsent: places whose intent is stored, but which certainly no POST has filled.
        in_doubt: the POST that may have filled a place, though its answer does not tell.
    """

    context: StepContext
    commit: Commit
    strategy: AddStrategy
    alone: list[Step] = field(default_factory=list)
    refused: list[tuple[Add, Answered]] = field(default_factory=list)
    any_taken: bool = False
    intended: dict[MembershipKey, LedgerEntry] = field(default_factory=dict)
    unsent: set[MembershipKey] = field(default_factory=set)
    in_doubt: dict[MembershipKey, _Posted] = field(default_factory=dict)

    def add(self, adds: Sequence[Add]) -> list[Step]:
        """Adds contacts with one POST, and with smaller ones if that is refused as a whole.

        Args:
            adds: at most 500, without ledger entries.

        Returns:
            Steps for those that need a call of their own.

        Raises:
            Halted: no more calls may be made; intents of what was not sent are taken back.
        """
        try:
            return self._add(adds)
        except Halted:
            # So that the next flush need not read each contact to find out whether it was added.
            attempt = Attempt.of(self.context)
            self._take_back(attempt, self.unsent)
            self.commit(attempt)
            raise

    def _add(self, adds: Sequence[Add]) -> list[Step]:
        stack = [adds]
        while stack:
            posted = self._post(stack.pop())
            if posted is None:
                continue
            part, kind = posted.adds, posted.classified.kind
            if kind is AnswerClass.DONE:
                self._sort_contacts(posted)
            elif kind in (AnswerClass.LATER, AnswerClass.AGAIN, AnswerClass.ACCOUNT_STOPPED, AnswerClass.NOT_THERE):
                self.commit(self._all_failed(posted))
            elif len(adds) == 1:
                self.alone.append(part[0])
            elif len(part) > 1:
                stack += [part[len(part) // 2 :], part[: len(part) // 2]]
            else:
                self.refused.append((part[0], posted.refusal(part[0])))
                if self._list_at_fault():
                    self._pause([*(add for add, _ in self.refused), *(add for rest in stack for add in rest)])
                    return self.alone
        attempt = Attempt.of(self.context)
        for add, refusal in self.refused:
            attempt.note_failure(add.targets, add.membership, refusal)
            attempt.settle(add.targets)
        if self.refused:
            self.commit(attempt)
        return self.alone

    def _post(self, adds: Sequence[Add]) -> _Posted | None:
        # Retries until there is a useful answer; checks again before each try who was archived meanwhile.
        tries, at_once = Tries(self.context.sender.retrying), 0
        while True:
            with one_try(self.context) as attempt:
                posted = self._once(attempt, adds)
            if posted is None:
                return None
            adds = posted.adds
            if posted.classified.kind is AnswerClass.AGAIN and at_once < TRIES_AT_ONCE:
                at_once += 1
            elif posted.classified.kind not in (AnswerClass.LATER, AnswerClass.AGAIN) or not tries.again():
                return posted

    def _once(self, attempt: Attempt, adds: Sequence[Add]) -> _Posted | None:
        list_id = adds[0].membership.list_id
        look = self.strategy.recheck(list_id)
        looked = attempt.send(look) if look is not None else None
        if look is None or looked is None or not self.strategy.together:
            self.alone += adds
            return None
        strategy = self.strategy.after(looked)
        if strategy.refusal is not None:
            return _Posted(adds, look, looked, strategy.refusal.classified)
        if not strategy.together:
            self.alone += adds
            return None
        if left := [add for add in adds if strategy.is_archived(add)]:
            self.commit(leave_archived(self.context, left))
        rest = self._not_kept_out([add for add in adds if not strategy.is_archived(add)])
        if not rest:
            return None
        self._intend(rest, looked.date, attempt.at())
        call = calls.add_all(list_id, [add.as_contact() for add in rest])
        answer = attempt.send(call)
        if not answer.undone:
            self.unsent -= {add.membership for add in rest}
        posted = _Posted(rest, call, answer, classify(answer))
        if not answer.undone and not answer.ok:
            self._doubt(posted)
        return posted

    def _not_kept_out(self, adds: Sequence[Add]) -> Sequence[Add]:
        # Another call of this flush may have just learned of a departure.
        left = self.context.recorder.departures_of([add.contact for add in adds])
        if not left:
            return adds
        attempt = Attempt.of(self.context)
        for add in adds:
            if add.membership in left:
                note_departed(attempt, add.contact, left[add.membership][0])
                self._take_back(attempt, [add.membership])
                attempt.settle(add.targets)
        self.commit(attempt)
        return [add for add in adds if add.membership not in left]

    def _doubt(self, posted: _Posted) -> None:
        answer = posted.answer
        for add in posted.adds:
            self.in_doubt[add.membership] = posted
            entry = self.intended[add.membership]
            assert entry.intent is not None
            self.intended[add.membership] = replace(entry, intent=lost(entry.intent, answer.date, answer.seconds))

    def _intend(self, adds: Sequence[Add], date: datetime | None, at: str) -> None:
        self.unsent |= {add.membership for add in adds}
        for membership in {add.membership for add in adds} & self.in_doubt.keys():
            entry = self.intended[membership]
            assert entry.intent is not None
            self.intended[membership] = replace(entry, intent=replace(entry.intent, until=None))
        # Intents of an earlier try are stored already. Written again, they could make the read too old once more.
        if new := [add for add in adds if add.membership not in self.intended]:
            statuses = {add.contact.status_if_new for add in new}
            intents = {status: new_intent("add", date, status=status) for status in statuses}
            for add in new:
                intent, fields = intents[add.contact.status_if_new], not_sure({}, add.contact.fields.values)
                self.intended[add.membership] = LedgerEntry(
                    add.membership, add.contact.owner, "intended", "added", at, fields, intent=intent
                )
            memberships = [(target.customer_id, add.membership) for add in new for target in add.targets]
            self.context.recorder.write_ahead([self.intended[add.membership] for add in new], memberships)

    def _take_back(self, attempt: Attempt, memberships: Iterable[MembershipKey]) -> None:
        attempt.undone += [membership for membership in memberships if membership not in self.in_doubt]

    def _all_failed(self, posted: _Posted) -> StepResult:
        attempt = Attempt.of(self.context)
        for add in posted.adds:
            sent, last = self.in_doubt.get(add.membership, posted), posted
            if last.classified.kind in (AnswerClass.LATER, AnswerClass.AGAIN):
                # A later try that failed does not prove that an earlier POST was not done.
                last = sent
            for failed in [sent, last] if sent is not last else [last]:
                attempt.note_failure(add.targets, add.membership, failed.refusal(add))
        attempt.entries += [self.intended[add.membership] for add in posted.adds if add.membership in self.in_doubt]
        self._take_back(attempt, [add.membership for add in posted.adds])
        return attempt

    def _sort_contacts(self, posted: _Posted) -> None:
        body = posted.answer.body or {}
        self.any_taken = True
        members, errors = _by_address(body, "new_members", "updated_members"), _by_address(body, "errors")
        attempt = Attempt.of(self.context)
        for add in posted.adds:
            address = add.membership.address
            member = member_of(members.get(address))
            if member is not None:
                try:
                    attempt.entries.append(_added_entry(attempt, add, member, posted.answer.date))
                    exchange = posted.exchange(add, members[address])
                    self._added(attempt, add, Read(posted.classified, exchange, member, posted.answer.date))
                except Exception as error:
                    attempt.note_fault(add.targets, add.membership, error)
            elif address in errors:
                self._refused(attempt, posted, add, errors[address])
            else:
                unread = ClassifiedAnswer(AnswerClass.LATER, "Mailchimp's answer does not name this contact")
                attempt.note_failure(add.targets, add.membership, Answered(unread, posted.exchange(add, None)))
        attempt.settle(target for add in posted.adds for target in add.targets)
        self.commit(attempt)

    def _added(self, attempt: Attempt, add: Add, added: Read) -> None:
        contact, member, seen_at = add.contact, added.member, added.answered_at
        assert member is not None, "it was added"
        settle_contact(attempt, contact, added, Outcome.ADDED, f"Added as {member.status}.")
        if contact.tags:
            seen = member if member.tags is not None else None
            self.alone.append(Tag(contact, attempt.entries[-1], follows=True, seen=seen, seen_at=seen_at))
            attempt.fail(add.targets)

    def _refused(self, attempt: Attempt, posted: _Posted, add: Add, error: Mapping[str, Any]) -> None:
        classified = sort_contact_error(error)
        if classified.kind is AnswerClass.EXISTS:
            # Not added by this POST; perhaps by an earlier try, as its intent shows.
            tried = self.intended[add.membership] if add.membership in self.in_doubt else None
            self.alone.append(Found(add.contact, tried))
            if tried is None:
                # Recorded whatever the read says: once the member is deleted, nothing else shows that it left.
                contact = add.contact
                attempt.entries.append(LedgerEntry(contact.membership, contact.owner, "present", "found", attempt.at()))
        elif classified.kind is not AnswerClass.BAD_ADDRESS:
            self.alone.append(add)
            self._take_back(attempt, [add.membership])
        else:
            attempt.note_failure(add.targets, add.membership, Answered(classified, posted.exchange(add, error)))
            return
        attempt.fail(add.targets)

    def _list_at_fault(self) -> bool:
        last = {refusal.classified.title for _, refusal in self.refused[-SAME_TITLE_IN_A_ROW:]}
        return not self.any_taken and len(self.refused) >= SAME_TITLE_IN_A_ROW and len(last) == 1

    def _pause(self, adds: Sequence[Add]) -> None:
        attempt, title = Attempt.of(self.context), self.refused[-1][1].classified.title
        attempt.closed.paused_lists[adds[0].membership.list_id] = title
        exchanges = {add.membership: refusal.exchange for add, refusal in self.refused}
        self._take_back(attempt, [add.membership for add in adds])
        for add in adds:
            attempt.fail(add.targets)
            attempt.receipt(
                add.targets,
                add.membership,
                exchanges.get(add.membership),
                outcome=Outcome.LIST_PAUSED,
                detail=f"The list refuses every contact: {title}. It is paused; no customer is suppressed for it.",
            )
        self.commit(attempt)
