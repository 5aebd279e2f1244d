"""One try of a step: what it sends and reads, and what must be written when it ends.

A step is retried until it is done or patience runs out. Each try reads and decides again, and writes once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from worker.clock import Clock
from worker.fields.field_hashes import FieldHashes
from worker.flush.answers import SECOND_LOOK, UNREADABLE, AnswerClass, ClassifiedAnswer, classify, customer_status_after
from worker.flush.brake import Brake
from worker.flush.intents import Intents, WriteAhead
from worker.flush.list_lookup import look_for
from worker.flush.step_result import Exchange, Halted, StepResult
from worker.mailchimp import calls
from worker.mailchimp.call import Answer, Call, Sender
from worker.mailchimp.member import Member, answered_member
from worker.mailchimp.retry import RetryingSender
from worker.model import CustomerId, ListId, MembershipKey
from worker.plan.identity import add_was_done, as_read, departed
from worker.plan.outcomes import NOTICED_DAILY, Outcome
from worker.plan.steps import Contact, PriorMembership, Target, ids_of
from worker.store.accounts import AccountSettings
from worker.store.ledger import CustomerStatus, LedgerEntry, has_left

NOT_KNOWN = "Sent, but the result is not known"
TRIES_AT_ONCE = 3
"""How often a step starts again without a wait, after a stale write or a refused field."""


@dataclass(frozen=True, slots=True)
class GuardedSender:
    """Stops an attempt once the flush may make no more calls.

    Attributes:
        sender: checks by itself, right before each call, whether the flush may still make it.
        ended: whether the account's part ended early.
        may_call: checked when a call was not sent: whether others may be.
    """

    sender: Sender
    ended: Callable[[], bool]
    may_call: Callable[[], bool]

    def send(self, call: Call) -> Answer:
        """Sends a call and waits for its answer.

        Raises:
            Halted: the call was not sent, because no more calls may be made.
        """
        if self.ended():
            raise Halted
        answer = self.sender.send(call)
        if answer.unsent and not self.may_call():
            raise Halted
        return answer


@dataclass(frozen=True, slots=True)
class StepContext:
    """What the steps of one account's flush share. Its threads only read it.

    Attributes:
        sender: sends the calls of one try of a step.
        retrying: reserves a connection for each try, and waits between tries.
        write_ahead: stores what calls are about to do, in case their answers are lost.
        wait: waits so many seconds, or less if the flush is asked to stop.
        brake: counts the members that leave each list.
        departures_of: returns where contacts are known to have left, by the current ledger.
        customer_statuses: of the customers of the current chunk.
        hashes: of sent fields.
    """

    sender: GuardedSender
    settings: AccountSettings
    run: int
    clock: Clock
    retrying: RetryingSender
    write_ahead: WriteAhead
    wait: Callable[[float], object]
    brake: Brake
    departures_of: Callable[[Sequence[Contact]], Mapping[MembershipKey, Sequence[PriorMembership]]]
    customer_statuses: Mapping[CustomerId, CustomerStatus]
    hashes: FieldHashes


@dataclass(frozen=True, slots=True)
class Read:
    """The result of reading a member.

    Attributes:
        member: None with NOT_THERE for a 404, or with the failure.
        date: Mailchimp's time of the answer.
    """

    member: Member | None
    classified: ClassifiedAnswer
    exchange: Exchange
    date: datetime | None


@dataclass(slots=True, kw_only=True)
class Attempt(StepResult):
    """One try of a step.

    Attributes:
        sender: sends its calls; raises Halted if no more may be made.
        intents: what the step group is about to do.
        looked_for: the answers about lists that were looked for after a 404.
    """

    context: StepContext
    sender: GuardedSender
    intents: Intents
    looked_for: dict[ListId, ClassifiedAnswer] = field(default_factory=dict)

    @classmethod
    def of(cls, context: StepContext, intents: Intents | None = None, sender: GuardedSender | None = None) -> Attempt:
        """Returns a try that has done nothing yet.

        Args:
            intents: of its step group; None if it is part of none.
            sender: None for that of the account.
        """
        return cls(
            run=context.run,
            account_id=context.settings.account_id,
            clock=context.clock,
            context=context,
            sender=sender or context.sender,
            intents=intents or Intents(context.write_ahead),
        )

    def customer_status(self, customer_id: CustomerId) -> CustomerStatus:
        """Returns a customer's status, empty by default."""
        return self.context.customer_statuses.get(customer_id) or CustomerStatus(customer_id)

    def read_member(
        self,
        membership: MembershipKey,
        entry: LedgerEntry | None,
        targets: Sequence[Target] = (),
        *,
        tags: bool = False,
    ) -> Read:
        """Reads a member, and records at once if it has left, or if an add in doubt turns out to be done.

        This try may fail, and other steps must know. If the member were then deleted, nothing else would show that it
        had been
        there: its add would count as never done, and its opt-out would not follow.

        Args:
            targets: the customers who are, or should be, there; none for prior memberships, where they are known
                already.
        """
        read = self.look_at(membership, entry, calls.read_tags(membership) if tags else None)
        known = entry
        if known is None and targets:
            known = LedgerEntry(membership, targets[0].customer.customer_id, "present", "found", self.at())
        if known is not None and read.member is not None:
            left = departed(known, read.member, read.date)
            if left is not None and (entry is None or not has_left(entry)):
                self.intents.note(replace(left, sent_at=self.at()), targets)
            elif left is None and add_was_done(known, read.member):
                self.intents.note(replace(as_read(known, read.member, read.date), sent_at=self.at()), targets)
        return read

    def look_at(self, membership: MembershipKey, entry: LedgerEntry | None, call: Call | None = None) -> Read:
        """Reads a member. One that the ledger knows counts as missing only after two such answers a moment apart.

        Args:
            call: the read; None for the one without tags.
        """
        call = call or calls.read(membership)
        answer = self.sender.send(call)
        member, classified = member_in(answer)
        if entry is not None and entry.state != "gone" and classified.kind is AnswerClass.NOT_THERE:
            self.context.wait(SECOND_LOOK)
            answer = self.sender.send(call)
            member, classified = member_in(answer)
        return Read(member, classified, Exchange.of(call, answer), answer.date)

    def lacks_member(self, membership: MembershipKey, classified: ClassifiedAnswer) -> bool:
        """Returns whether an answer means that a list does not have a member, though the list surely exists."""
        if classified.kind is not AnswerClass.NOT_THERE:
            return False
        return self._look_for_list(membership.list_id).kind is AnswerClass.DONE

    def _look_for_list(self, list_id: ListId) -> ClassifiedAnswer:
        # Once a try: it may have failed for hundreds of contacts of the list.
        if list_id not in self.looked_for:
            self.looked_for |= look_for(self.sender, [list_id], self.context.wait)
        return self.looked_for[list_id]

    def settle_at(self, targets: Iterable[Target], membership: MembershipKey) -> None:
        """Records that the customers are known at a membership, and that nothing prevents sending them any more."""
        self.customer_statuses += [CustomerStatus(target.customer_id, membership) for target in targets]

    def note_failure(
        self,
        targets: Sequence[Target],
        membership: MembershipKey,
        classified: ClassifiedAnswer,
        exchange: Exchange,
    ) -> None:
        """Records an answer that settles nothing now, or refuses the contact, with what happens next.

        A 404 may be about the member or the list, so the list is looked for.
        """
        of_list = self._look_for_list(membership.list_id) if classified.kind is AnswerClass.NOT_THERE else None
        exists = of_list is not None and of_list.kind is AnswerClass.DONE
        classified = classified if of_list is None or exists else of_list
        kind, title, then = classified.kind, classified.title, None
        if kind is AnswerClass.ACCOUNT_STOPPED:
            self.account_stopped = title
            self.fail(targets)
            verdict = Outcome.ACCOUNT_STOPPED, f"Mailchimp accepts no calls for this account: {title}."
        elif kind is AnswerClass.NOT_THERE and not exists:
            self.gone_lists.add(membership.list_id)
            self.fail(targets)
            verdict = Outcome.LIST_GONE, "The list no longer exists in Mailchimp."
        elif kind in (AnswerClass.BAD_ADDRESS, AnswerClass.BARRED, AnswerClass.UNCLEAR):
            if kind is not AnswerClass.BARRED:  # the ledger has a departure there now
                self.undone.append(membership)
            verdict, then = self._refused(targets, membership, classified)
        else:
            self.fail(targets)
            self.later = title if kind in (AnswerClass.LATER, AnswerClass.AGAIN) else None
            self.again = self.again or kind is AnswerClass.AGAIN
            verdict = Outcome.LATER, f"{NOT_KNOWN if exchange.in_doubt else 'Not done'}: {title}."
        first = len(self.receipts)
        self.receipt(targets, membership, exchange, outcome=verdict[0], detail=verdict[1], then=then)
        if verdict[0] is Outcome.LATER and exchange.in_doubt:
            self.in_doubt += self.receipts[first:]

    def _refused(
        self,
        targets: Sequence[Target],
        membership: MembershipKey,
        classified: ClassifiedAnswer,
    ) -> tuple[tuple[Outcome, str], str | None]:
        after = [
            customer_status_after(classified, self.customer_status(target.customer_id), membership, self.now())
            for target in targets
        ]
        self.customer_statuses += after
        # It is not on another list yet, so the old member stays.
        self.blocked |= ids_of(targets)
        retry_at = after[0].retry_at
        if retry_at is not None:
            self.fail(targets)
            self.wait_until(retry_at, targets)
            return (Outcome.REFUSED, f"Mailchimp refused it: {classified.title}."), f"Tried again after {retry_at}."
        if classified.kind is AnswerClass.BAD_ADDRESS:
            return (
                Outcome.REFUSED,
                f"Mailchimp refused the address: {classified.title}.",
            ), "Sent when the customer has another address."
        detail = f"Mailchimp refuses it permanently: {classified.title}."
        return (Outcome.SUPPRESSED, detail), NOTICED_DAILY if after[0].lasting else None


@contextmanager
def one_try(context: StepContext, intents: Intents | None = None) -> Iterator[Attempt]:
    """Yields an attempt whose calls have a connection to themselves."""
    with context.retrying.reserve() as sender:
        yield Attempt.of(context, intents, GuardedSender(sender, context.sender.ended, context.sender.may_call))


def member_in(answer: Answer) -> tuple[Member | None, ClassifiedAnswer]:
    """Returns the member in an answer that must hold one, and sorts it: a 2xx without one settles nothing."""
    member = answered_member(answer)
    return member, UNREADABLE if answer.ok and member is None else classify(answer)
