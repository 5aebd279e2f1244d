"""One try of a step: what it sends and reads, and what must be written when it ends.

A step is retried until it is done or patience runs out. Each try reads and decides again, and writes once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Literal

from worker.fields.field_hashes import FieldHashes, not_sure
from worker.flush.brake import Brake
from worker.flush.delivery import DeliveryRequest
from worker.flush.list_lookup import look_for
from worker.flush.recorder import Recorder
from worker.flush.step_result import Answered, Exchange, Halted, StepResult
from worker.mailchimp import calls
from worker.mailchimp.answers import Answer, AnswerClass, ClassifiedAnswer, Member, member_read
from worker.mailchimp.calls import Call, Sender
from worker.mailchimp.sender import RetryingSender, look_twice
from worker.model import CustomerId, ListId, MembershipKey
from worker.plan.after_refusal import customer_status_after
from worker.plan.identity import add_was_done, as_read, entry_if_left, lost
from worker.plan.outcomes import ANOTHER_ADDRESS, NOTICED_DAILY, RETRIED_AFTER, Outcome
from worker.plan.steps import Target, ids_of
from worker.store.accounts import AccountSettings
from worker.store.ledger import CustomerStatus, LedgerEntry, has_left
from worker.store.receipts import Receipt

NOT_KNOWN = "Sent, but the result is not known"
TRIES_AT_ONCE = 3
"""How often a step starts again without a wait, after a stale write or a refused field."""


@dataclass(frozen=True, slots=True)
class GuardedSender:
    """Sends an account's calls, and stops an attempt once the flush may make no more.

    Attributes:
        retrying: sends calls with the limit of the API key; checks by itself, right before each call, whether the flush
            may still make it.
        recorder: knows whether the account's part ended.
    """

    retrying: RetryingSender
    recorder: Recorder

    def send(self, call: Call, connection: Sender | None = None) -> Answer:
        """Sends a call and waits for its answer.

        Args:
            connection: one that a try has to itself, which sends each call once; None to send it with retries.

        Raises:
            Halted: the call was not sent, because no more calls may be made.
        """
        if self.recorder.has_ended():
            raise Halted
        answer = (connection or self.retrying).send(call)
        if answer.unsent and not self.recorder.may_call():
            raise Halted
        return answer


@dataclass(frozen=True, slots=True)
class StepContext:
    """What the steps of one chunk of an account's customers share. Its threads only read it.

    Attributes:
        settings: as the chunk was planned with them.
        customer_statuses: of the customers of the chunk.
    """

    request: DeliveryRequest
    sender: GuardedSender
    recorder: Recorder
    settings: AccountSettings
    brake: Brake
    customer_statuses: Mapping[CustomerId, CustomerStatus]

    @property
    def hashes(self) -> FieldHashes:
        """Creates and recognises the hashes of sent fields."""
        return self.request.inputs.hashes

    def wait(self, seconds: float) -> None:
        """Waits so many seconds, or less if the flush is asked to stop."""
        self.request.config.stop.wait(seconds)


@dataclass(slots=True)
class _News:
    """What a step group learned about a place since it was planned.

    Attributes:
        entry: what the ledger has there now; None if it is as planned, or nothing.
        before: what the ledger had before the last write.
        write: what became of that write, until its step ends: in doubt if it is unknown whether it was done.
        refused: merge tag to title, of fields that Mailchimp refused; the next try omits them.
    """

    entry: LedgerEntry | None = None
    before: LedgerEntry | None = None
    write: Literal["begun", "taken back", "in doubt"] | None = None
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Intents:
    """What a step group is about to do: each write whose answer could be lost is stored before it is sent.

    Attributes:
        write_ahead: writes entries with intents, and the memberships of customers who had none, in one transaction.
    """

    write_ahead: Callable[[Sequence[LedgerEntry], Sequence[tuple[CustomerId, MembershipKey]]], None]
    _news: defaultdict[MembershipKey, _News] = field(default_factory=partial(defaultdict, _News))

    def entry(self, membership: MembershipKey, planned: LedgerEntry | None) -> LedgerEntry | None:
        """Returns a place's ledger entry, which may be newer than the one that was planned with."""
        return self._news[membership].entry or planned

    def refused(self, membership: MembershipKey) -> Mapping[str, str]:
        """Returns the fields that Mailchimp refused at a place, by merge tag, with the title of the refusal."""
        return self._news[membership].refused

    def refuse(self, membership: MembershipKey, fields: Mapping[str, str]) -> None:
        """Records fields that Mailchimp refused."""
        self._news[membership].refused = {**self._news[membership].refused, **fields}

    def begin(self, intended: LedgerEntry, before: LedgerEntry | None, targets: Iterable[Target]) -> None:
        """Records what is about to be done to a place.

        Args:
            before: the entry to restore if nothing was done; None for none.
            targets: the customers who must be known there if the answer is lost.

        Raises:
            Halted: nothing may be written any more.
        """
        news = self._news[intended.membership]
        self.write_ahead([intended], [(target.customer_id, intended.membership) for target in targets])
        news.entry, news.before, news.write = intended, before, "begun"

    def note(self, seen: LedgerEntry, targets: Iterable[Target]) -> None:
        """Records at once what a read shows about a member: that it left, or what a write is about to change.

        Args:
            seen: the place's new entry, however the step ends.
            targets: the customers who are known there from now on, if they had no membership.

        Raises:
            Halted: nothing may be written any more.
        """
        news = self._news[seen.membership]
        if news.entry is None or _shown_by_a_read(news.entry) != _shown_by_a_read(seen):
            self.write_ahead([seen], [(target.customer_id, seen.membership) for target in targets])
            news.entry = seen

    def take_back(self, membership: MembershipKey) -> None:
        """Records that an answer proved that nothing was done."""
        news = self._news[membership]
        if news.write == "begun":
            news.entry, news.write = news.before, "taken back"

    def doubt(self, membership: MembershipKey, answered_at: datetime | None, seconds: float) -> None:
        """Records that it is unknown whether a write was done."""
        news = self._news[membership]
        if news.entry is not None and news.entry.intent is not None:
            news.entry = replace(news.entry, intent=lost(news.entry.intent, answered_at, seconds))
            news.write = "in doubt"

    def doubt_fields(self, membership: MembershipKey, planned: LedgerEntry | None, fields: Iterable[str]) -> None:
        """Records that it is unknown whether fields were accepted."""
        news, known = self._news[membership], self.entry(membership, planned)
        if known is not None:
            news.entry, news.write = replace(known, fields=not_sure(known.fields, fields)), "in doubt"

    def close(self, result: StepResult) -> None:
        """Adds what was taken back or is in doubt to a step's result at its end, and takes over what that wrote."""
        written = {entry.membership for entry in result.entries}.union(result.dropped, result.undone)
        for membership, news in self._news.items():
            if membership not in written and news.write in ("taken back", "in doubt"):
                if news.entry is not None:
                    result.entries.append(news.entry)
                else:
                    result.undone.append(membership)
            news.write = None
        for entry in result.entries:
            self._news[entry.membership].entry = entry
        for membership in (*result.dropped, *result.undone):
            self._news[membership].entry = None


@dataclass(frozen=True, slots=True)
class Read(Answered):
    """The result of reading a member.

    Attributes:
        member: None with NOT_THERE for a 404, or with the failure.
    """

    member: Member | None
    answered_at: datetime | None


@dataclass(slots=True, kw_only=True)
class Attempt(StepResult):
    """One try of a step.

    Attributes:
        intents: what the step group is about to do.
        connection: for its calls, which depend on each other; None if they do not.
        again: whether to start again at once with new reads.
        in_doubt: receipts whose call was sent and may have been done.
        vacated: places whose member it took off its list, or may have.
        blocked: customers that may not go to their new place, and so stay known at the old one.
        kept_off: those of them who did not leave themselves: their old member is given up all the same.
        looked_for: the answers about lists that were looked for after a 404.
    """

    context: StepContext
    intents: Intents
    connection: Sender | None = None
    again: bool = False
    in_doubt: list[Receipt] = field(default_factory=list)
    vacated: set[MembershipKey] = field(default_factory=set)
    blocked: set[CustomerId] = field(default_factory=set)
    kept_off: set[CustomerId] = field(default_factory=set)
    looked_for: dict[ListId, ClassifiedAnswer] = field(default_factory=dict)

    @classmethod
    def of(cls, context: StepContext, intents: Intents | None = None, connection: Sender | None = None) -> Attempt:
        """Returns a try that has done nothing yet.

        Args:
            intents: of its step group; None if it is part of none.
        """
        return cls(
            run=context.request.run,
            account_id=context.settings.account_id,
            clock=context.request.config.clock,
            context=context,
            intents=intents or Intents(context.recorder.write_ahead),
            connection=connection,
        )

    def send(self, call: Call) -> Answer:
        """Sends a call and waits for its answer.

        Raises:
            Halted: the call was not sent, because no more calls may be made.
        """
        return self.context.sender.send(call, self.connection)

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
        second_look: bool = False,
    ) -> Read:
        """Reads a member, and records at once if it has left, or if an add in doubt turns out to be done.

        This try may fail, and other steps must know. If the member were then deleted, nothing else would show that it
        had been there: its add would count as never done, and its opt-out would not follow.

        Args:
            targets: the customers who are, or should be, there; none for prior memberships, where they are known
                already.
            second_look: as for :meth:`fetch_member`.
        """
        read = self.fetch_member(membership, entry, tags=tags, second_look=second_look)
        known = entry
        if known is None and targets:
            known = LedgerEntry(membership, targets[0].customer.customer_id, "present", "found", self.at())
        if known is not None and read.member is not None:
            left = entry_if_left(known, read.member, read.answered_at)
            if left is not None and (entry is None or not has_left(entry)):
                self.intents.note(replace(left, sent_at=self.at()), targets)
            elif left is None and add_was_done(known, read.member):
                self.intents.note(replace(as_read(known, read.member, read.answered_at), sent_at=self.at()), targets)
        return read

    def fetch_member(
        self, membership: MembershipKey, entry: LedgerEntry | None, *, tags: bool = False, second_look: bool = False
    ) -> Read:
        """Reads a member. One that the ledger knows counts as missing only after two such answers a moment apart.

        Args:
            second_look: whether that is so for one that the ledger does not know, too.
        """
        call = calls.read_tags(membership) if tags else calls.read(membership)

        def read() -> Read:
            answer = self.send(call)
            member, classified = member_read(answer)
            return Read(classified, Exchange.of(call, answer), member, answer.date)

        if second_look or (entry is not None and entry.state != "gone"):
            return look_twice(read, Read.is_missing, self.context.wait)
        return read()

    def lacks_member(self, membership: MembershipKey, classified: ClassifiedAnswer) -> bool:
        """Returns whether an answer means that a list does not have a member, though the list surely exists."""
        if classified.kind is not AnswerClass.NOT_THERE:
            return False
        return self._look_for_list(membership.list_id).kind is AnswerClass.DONE

    def _look_for_list(self, list_id: ListId) -> ClassifiedAnswer:
        # Once a try: it may have failed for hundreds of contacts of the list.
        if list_id not in self.looked_for:
            self.looked_for |= look_for(self, [list_id], self.context.wait)
        return self.looked_for[list_id]

    def set_membership(self, targets: Iterable[Target], membership: MembershipKey) -> None:
        """Records that the customers are known at a membership, and that nothing prevents sending them any more."""
        self.customer_statuses += [CustomerStatus(target.customer_id, membership) for target in targets]

    def note_failure(self, targets: Sequence[Target], membership: MembershipKey, answered: Answered) -> None:
        """Records an answer that settles nothing now, or refuses the contact, with what happens next.

        A 404 may be about the member or the list, so the list is looked for.
        """
        list_gone, then = False, None
        if answered.is_missing() and (of_list := self._look_for_list(membership.list_id)).kind is not AnswerClass.DONE:
            answered, list_gone = replace(answered, classified=of_list), of_list.kind is AnswerClass.NOT_THERE
        kind, title, exchange = answered.classified.kind, answered.classified.title, answered.exchange
        if kind is AnswerClass.ACCOUNT_STOPPED:
            self.closed.account = title
            self.fail(targets)
            outcome, detail = Outcome.ACCOUNT_STOPPED, f"Mailchimp accepts no calls for this account: {title}."
        elif list_gone:
            self.closed.gone_lists.add(membership.list_id)
            self.fail(targets)
            outcome, detail = Outcome.LIST_GONE, "The list no longer exists in Mailchimp."
        elif kind in (AnswerClass.BAD_ADDRESS, AnswerClass.BARRED, AnswerClass.UNCLEAR):
            if kind is not AnswerClass.BARRED:  # the ledger has a departure there now
                self.undone.append(membership)
            outcome, detail, then = self._refused(targets, membership, answered.classified)
        else:
            detail = f"{NOT_KNOWN if exchange.in_doubt else 'Not done'}: {title}."
            self.note_later(targets, membership, answered, detail)
            return
        self.receipt(targets, membership, exchange, outcome=outcome, detail=detail, then=then)

    def note_later(self, targets: Sequence[Target], membership: MembershipKey, answered: Answered, detail: str) -> None:
        """Records an answer that settles nothing now and refuses nobody; the call is made again."""
        kind, exchange, first = answered.classified.kind, answered.exchange, len(self.receipts)
        self.fail(targets)
        self.later = answered.classified.title if kind in (AnswerClass.LATER, AnswerClass.AGAIN) else None
        self.again = self.again or kind is AnswerClass.AGAIN
        self.receipt(targets, membership, exchange, outcome=Outcome.LATER, detail=detail)
        if exchange.in_doubt:
            self.in_doubt += self.receipts[first:]

    def _refused(
        self, targets: Sequence[Target], membership: MembershipKey, classified: ClassifiedAnswer
    ) -> tuple[Outcome, str, str | None]:
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
            return Outcome.REFUSED, f"Mailchimp refused it: {classified.title}.", f"{RETRIED_AFTER}{retry_at}."
        if classified.kind is AnswerClass.BAD_ADDRESS:
            detail = f"Mailchimp refused the address: {classified.title}."
            return Outcome.REFUSED, detail, ANOTHER_ADDRESS
        detail = f"Mailchimp refuses it permanently: {classified.title}."
        return Outcome.SUPPRESSED, detail, NOTICED_DAILY if after[0].lasting else None


@contextmanager
def one_try(context: StepContext, intents: Intents | None = None) -> Iterator[Attempt]:
    """Yields an attempt whose calls have a connection to themselves."""
    with context.sender.retrying.reserve() as connection:
        yield Attempt.of(context, intents, connection)


def _shown_by_a_read(entry: LedgerEntry) -> tuple[object, ...]:
    return entry.state, entry.member_status, entry.contact_id, entry.intent, entry.names_agreed, entry.member_tags
