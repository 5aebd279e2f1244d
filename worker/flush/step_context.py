"""What every step works with: the sender, the account's settings and how an ended step is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from worker.clock import Clock, as_text
from worker.flush import calls
from worker.flush.answers import UNREADABLE, AnswerClass, ClassifiedAnswer, classify, customer_status_after
from worker.flush.identity import departed
from worker.flush.intents import Intents
from worker.flush.step_result import Exchange, StepResult
from worker.flush.steps import Contact, PriorMembership, Target
from worker.mailchimp.call import Answer, Call, Sender
from worker.mailchimp.member import Member, answered_member
from worker.mailchimp.merge_fields import MergeField
from worker.model import CustomerId, ListId, MembershipKey
from worker.store.accounts import AccountSettings
from worker.store.ledger import CustomerStatus, LedgerEntry, has_left

SECOND_LOOK = 1.0
"""Seconds to wait before a 404 is believed. Parallel writes of others to a member can answer stray ones."""
NOT_KNOWN = "Sent, and not known to be done"
TOMORROW = "Tried again by the next flush."


DeparturesOf = Callable[[Sequence[Contact]], Mapping[MembershipKey, Sequence[PriorMembership]]]


class Halted(Exception):
    """The flush must make no further call: it was asked to stop, or the partition is no longer this worker's."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """A sender that asks before each call whether it may still be made."""

    sender: Sender
    may_call: Callable[[], bool]

    def send(self, call: Call) -> Answer:
        """Sends a call and waits for its answer.

        Raises:
            Halted: nothing was sent, because nothing may be sent any more.
        """
        if not self.may_call():
            raise Halted
        answer = self.sender.send(call)
        if answer.unsent and not self.may_call():
            raise Halted
        return answer


class Tries(Protocol):
    """Waits between the tries of a step."""

    def again(self) -> bool:
        """Waits before one more try; returns false when patience is over or it is time to stop."""
        ...


class Pacing(Protocol):
    """How an account's calls are sent in a flush: the patient sender of its API key."""

    def send(self, call: Call) -> Answer:
        """Sends a call, again while it is worth it; for reads on which no write hangs."""
        ...

    def together(self) -> AbstractContextManager[Sender]:
        """Gives a sender for calls that hang on each other; it sends each once."""
        ...

    def tries(self) -> Tries:
        """Returns what waits between the tries of one step."""
        ...


@dataclass(frozen=True, slots=True)
class Read:
    """A member as it was just read.

    Attributes:
        member: None with NOT_THERE for a 404, or with what stands in the way.
        date: Mailchimp's time of the answer.
    """

    member: Member | None
    classified: ClassifiedAnswer
    exchange: Exchange
    date: datetime | None


@dataclass(frozen=True, slots=True)
class StepContext:
    """One account's part of a flush, as its steps see it. Shared by the account's threads; they only read it.

    Attributes:
        sender: sends the calls of one try of a step.
        pacing: what gives each try a connection, and waits between tries.
        intents: writes, before a call, what it is about to do to a place, in case its answer is lost.
        wait: waits so many seconds, or less when the flush is asked to stop.
        may_leave: counts one more member that leaves a list unplanned; false where the brake holds it.
        departures_of: tells where contacts are known to have left, by the ledger as it is now.
        customer_statuses: of the customers of the chunk at hand.
    """

    sender: Guarded
    settings: AccountSettings
    merge_fields: Mapping[ListId, Sequence[MergeField]]
    run: int
    clock: Clock
    pacing: Pacing
    intents: Intents
    wait: Callable[[float], object]
    may_leave: Callable[[ListId], bool]
    departures_of: DeparturesOf
    customer_statuses: Mapping[CustomerId, CustomerStatus]

    def send(self, call: Call) -> Answer:
        """Sends a call and waits for its answer.

        Raises:
            Halted: nothing was sent, because nothing may be sent any more.
        """
        return self.sender.send(call)

    def now(self) -> datetime:
        """Returns the time."""
        return self.clock()

    def at(self) -> str:
        """Returns the time as text."""
        return as_text(self.clock())

    def result(self) -> StepResult:
        """Returns an empty report."""
        return StepResult(self.run, self.settings.account_id)

    def customer_status(self, customer_id: CustomerId) -> CustomerStatus:
        """Returns what stands against a customer, nothing by default."""
        return self.customer_statuses.get(customer_id) or CustomerStatus(customer_id)

    def available(self, list_id: ListId) -> Sequence[MergeField]:
        """Returns a list's merge fields."""
        return self.merge_fields.get(list_id, ())

    def read_member(self, membership: MembershipKey, entry: LedgerEntry | None, targets: Sequence[Target] = ()) -> Read:
        """Reads a member, and writes at once if it has left: this try may fail, and other steps must know it.

        Args:
            membership: where.
            entry: what the ledger says of it.
            targets: the customers who are, or should be, there; of gates none, since they are known there.
        """
        read = self.look_at(membership, entry)
        known = entry
        if known is None and targets:
            known = LedgerEntry(membership, targets[0].customer.customer_id, "present", "found", self.at())
        if known is not None and read.member is not None:
            left = departed(known, read.member, read.date)
            if left is not None and (entry is None or not has_left(entry)):
                self.intents.note(replace(left, sent_at=self.at()), targets)
        return read

    def look_at(self, membership: MembershipKey, entry: LedgerEntry | None) -> Read:
        """Reads a member; one that the ledger knows is missing only if two answers a moment apart say so.

        Args:
            membership: where.
            entry: what the ledger says of it.
        """
        call = calls.read(membership)
        answer = self.send(call)
        if entry is not None and entry.state != "gone" and classify_member(answer).kind is AnswerClass.NOT_THERE:
            self.wait(SECOND_LOOK)
            answer = self.send(call)
        return Read(answered_member(answer), classify_member(answer), Exchange.of(call, answer), answer.date)

    def list_is_gone(self, list_id: ListId) -> bool:
        """Asks Mailchimp whether a list is gone, after a 404 below it."""
        return classify(self.send(calls.read_list(list_id))).kind is AnswerClass.NOT_THERE


def classify_member(answer: Answer) -> ClassifiedAnswer:
    """Sorts an answer that must hold a member: a 2xx without one settles nothing."""
    if answer.ok and answered_member(answer) is None:
        return UNREADABLE
    return classify(answer)


def settle_at(result: StepResult, targets: Iterable[Target], membership: MembershipKey) -> None:
    """Notes that the customers stand at a place and nothing stands against them any more."""
    result.customer_statuses += [CustomerStatus(target.customer.customer_id, membership) for target in targets]


def note_failure(
    context: StepContext,
    result: StepResult,
    targets: Sequence[Target],
    membership: MembershipKey,
    classified: ClassifiedAnswer,
    exchange: Exchange,
    *,
    of_list: bool = False,
) -> None:
    """Notes an answer that settles nothing now, or refuses the contact, with what happens next.

    Args:
        context: the account's.
        result: takes the notes.
        targets: the customers that it meets.
        membership: where.
        classified: how the answer was sorted.
        exchange: the call and the answer.
        of_list: whether a 404 is the list's own; else it may be the member's, and the list is asked for.
    """
    kind, title = classified.kind, classified.title
    if kind is AnswerClass.ACCOUNT_STOPPED:
        result.account_stopped = title
        result.fail(targets)
        told = "account stopped", f"Mailchimp accepts no call of this account: {title}."
        then = "Sent when the account has a working key (account connect) or is resumed (account resume)."
    elif kind is AnswerClass.NOT_THERE and (of_list or context.list_is_gone(membership.list_id)):
        result.gone.add(membership.list_id)
        result.fail(targets)
        told = "list gone", "The list is gone from Mailchimp."
        then = "Sent when the account has stored another list in its place."
    elif kind in (AnswerClass.BAD_ADDRESS, AnswerClass.BARRED, AnswerClass.UNCLEAR):
        result.undone.append(membership)
        told, then = _refused(context, result, targets, membership, classified)
    else:
        result.fail(targets)
        result.later = title if kind in (AnswerClass.LATER, AnswerClass.AGAIN) else None
        result.again = result.again or kind is AnswerClass.AGAIN
        told = "later", f"{NOT_KNOWN if exchange.in_doubt else 'Not done'}: {title}."
        then = TOMORROW
    result.write(targets, membership, exchange, at=context.at(), outcome=told[0], detail=told[1], then=then)


def _refused(
    context: StepContext,
    result: StepResult,
    targets: Sequence[Target],
    membership: MembershipKey,
    classified: ClassifiedAnswer,
) -> tuple[tuple[str, str], str]:
    after = [
        customer_status_after(
            classified, context.customer_status(target.customer.customer_id), membership.address, context.now()
        )
        for target in targets
    ]
    result.customer_statuses += after
    # Nowhere else yet: the old member stays.
    result.blocked |= {target.customer.customer_id for target in targets}
    retry_at = after[0].retry_at
    if retry_at is not None:
        result.fail(targets)
        return ("refused", f"Mailchimp refused it: {classified.title}."), f"Tried again after {retry_at}."
    if classified.kind is AnswerClass.BAD_ADDRESS:
        return (
            "refused",
            f"Mailchimp refused the address: {classified.title}.",
        ), "Sent when the customer has another one."
    then = "Nothing until an operator clears it (resync --clear-suppressed)."
    return ("suppressed", f"Mailchimp refuses it for good: {classified.title}."), then
