"""The plan of an account for people: what would be done list by list, and every call before it is made."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from worker.accounts.settings import missing
from worker.clock import as_text
from worker.flush import brake
from worker.flush.account_flush import AccountFlush, AccountInputs, Prepared, batches, split_adds
from worker.flush.add_strategy import AddStrategy, choose_strategy
from worker.flush.departures import kept_out
from worker.flush.learning import AccountPage, KnownContacts, learnt
from worker.flush.list_readings import Page
from worker.mailchimp import calls
from worker.mailchimp.answers import Answer, AnswerClass, ClassifiedAnswer
from worker.mailchimp.calls import Call, Sender
from worker.model import CustomerId, ListId, MembershipKey
from worker.plan.planned_calls import PlannedCall, planned_calls, tag_calls
from worker.plan.related_customers import RelatedCustomers
from worker.plan.steps import Add, Found, touched
from worker.plan.summary import PlanSummary
from worker.sqlite.database import Database
from worker.store import accounts, bare_customers, held_counts
from worker.store.accounts import AccountList, AccountSettings
from worker.store.ledger import LedgerEntry, has_left

IF_MEMBER = "if Mailchimp says that it is a member already"
ONCE_ADDED = "once it is added"
IF_UNCLEAR = "if Mailchimp refuses it without naming a field"


@dataclass(slots=True)
class AccountPlan:
    """What a flush of one account would do. It writes nothing; making it sends only reads to Mailchimp.

    Attributes:
        settings: the account's, with lists marked as gone that Mailchimp does not have.
        learnt: departures, as a flush would write them.
        let_in: customers whom a flush would mark as changed: a departure that kept them out has ended.
        every: whether a flush would mark all customers as changed: a list is back.
        problem: why nothing would be done; None if the flush would proceed.
        unanswered: whether the problem is that Mailchimp gave no useful answer, so that nothing could be planned.
        advice: what to do about the problem; None for nothing.
        summary: counts of what would be done.
        notices: what could not be read, and what the brake would hold.
    """

    db: Database
    settings: AccountSettings
    sender: _Reads
    inputs: AccountInputs
    now: datetime
    of_others: Collection[ListId]
    problem: str | None = None
    unanswered: bool = False
    advice: str | None = None
    summary: PlanSummary = field(default_factory=PlanSummary)
    notices: Sequence[str] = ()
    learnt: dict[MembershipKey, LedgerEntry] = field(default_factory=dict)
    let_in: set[CustomerId] = field(default_factory=set)
    every: bool = False
    _flush: AccountFlush | None = None
    _prepared: Prepared | None = None

    # Results of the reads before the first write

    def may_go_on(self) -> bool:
        """Returns whether the flush would proceed."""
        return self.problem is None

    def keep(self, page: Page) -> None:
        """Records who left a list, or is back. A plan needs nothing else that the ledger lacks."""
        account_id, strangers = self.settings.account_id, page.list_id not in self.of_others
        moved = KnownContacts(self.db, account_id).moved(page)
        read = AccountPage(account_id, page, as_text(self.now), strangers, moved, self.learnt)
        result = learnt(self.db, read)
        self.learnt.update({entry.membership: entry for entry in result.departures()})
        ended = [entry.membership for entry in result.departures() if not has_left(entry)]
        if ended:
            self.let_in |= {customer.customer_id for customer in kept_out(self.db, account_id, ended)}

    def list_back(self, list_id: ListId) -> None:
        """Records that a list is no longer gone, and plans all customers, whom a flush would mark as changed."""
        known = self.settings.list_of(list_id) or AccountList(list_id, list_id, False, 0, False, self.now)
        rest = (known_list for known_list in self.settings.lists if known_list.list_id != list_id)
        self.settings = replace(self.settings, lists=(*rest, replace(known, gone_at=None)))
        self.every = True

    def list_refused(self, list_id: ListId, classified: ClassifiedAnswer) -> None:
        """Records that a list is gone, or that the flush would not proceed."""
        if classified.kind is AnswerClass.NOT_THERE:
            known = (
                replace(known_list, gone_at=self.now) if known_list.list_id == list_id else known_list
                for known_list in self.settings.lists
            )
            self.settings = replace(self.settings, lists=tuple(known))
            if lacking := missing(self.settings):
                self.problem, self.advice = lacking[0].message, lacking[0].advice
        elif classified.kind is AnswerClass.ACCOUNT_STOPPED:
            self.problem = f"Mailchimp accepts no calls for this account: {classified.title}."
        else:
            self.unanswered, self.problem = True, f"Mailchimp gave no useful answer: {classified.title}."

    def faulty(self, part: RelatedCustomers, error: Exception) -> None:
        """Omits customers that the flush could not plan either."""

    # Output

    def calls(self) -> Iterator[PlannedCall]:
        """Yields every call in order: reads as reads, and calls that depend on an answer with the condition.

        Reads that the rest of the plan depends on are made during iteration.
        """
        yield from self.sender.made()
        if self._flush is None or self._prepared is None:
            return
        strategies: dict[ListId, AddStrategy] = {}
        lists = {stored_list.list_id for stored_list in self.settings.stored}
        for _, plan in self._flush.chunks(self._prepared):
            for step_group in plan.step_groups:
                free, _ = self._prepared.brake.admit(step_group)
                for step in free:
                    lists.update(membership.list_id for membership in touched(step))
                    yield from planned_calls(step)
            for batch in batches(plan.adds):
                yield from self._add_calls(batch, strategies)
        for known in self.settings.lists:
            if known.list_id in lists and not known.gone:
                yield PlannedCall(calls.read_list(known.list_id), "whenever one of its members is not found")

    def _add_calls(self, batch: Sequence[Add], strategies: dict[ListId, AddStrategy]) -> Iterator[PlannedCall]:
        list_id = batch[0].membership.list_id
        if list_id not in strategies:
            adds = self._prepared.adds.get(list_id, 0) if self._prepared is not None else 0
            strategies[list_id] = choose_strategy(self.sender, list_id, adds, self.inputs.bulk_add_above)
            yield from self.sender.made()
        strategy = strategies[list_id]
        if strategy.refusal is not None:
            return
        own_calls, rest = split_adds(batch, strategy)
        for add in own_calls:
            yield from planned_calls(add)
        together = [add for add in rest if not strategy.is_archived(add)]
        if together:
            look = strategy.recheck(list_id)
            assert look is not None, "otherwise they are added one by one"
            yield PlannedCall(look)
            whom = tuple(customer_id for add in together for customer_id in _ids(add))
            yield PlannedCall(calls.add_all(list_id, [add.as_contact() for add in together]), customers=whom)
        for add in together:
            for result in tag_calls(add.contact, when=ONCE_ADDED):
                if not result.call.reads_only:
                    yield replace(result, when=ONCE_ADDED, address=add.membership.address, customers=_ids(add))
        for add in together:
            for planned in planned_calls(Found(add.contact, None)):
                yield replace(planned, when=IF_MEMBER)
            for alone in planned_calls(add):
                yield replace(alone, when=f"{IF_UNCLEAR}, and {alone.when}" if alone.when else IF_UNCLEAR)


def _ids(add: Add) -> tuple[CustomerId, ...]:
    return tuple(target.customer_id for target in add.targets)


def plan_account(
    db: Database,
    settings: AccountSettings,
    sender: Sender,
    inputs: AccountInputs,
    *,
    confirmed: bool,
) -> AccountPlan:
    """Plans a flush of one account. Read-only.

    Args:
        settings: complete ones.
        confirmed: whether an operator would confirm what the last flush held back.
    """
    reads, now, account_id = _Reads(sender), inputs.clock(), settings.account_id
    plan = AccountPlan(db, settings, reads, inputs, now, accounts.stored_by_others(db, account_id))
    if (bare := bare_customers.of_account(db, account_id)) is not None and bare.reading:
        plan.problem = bare.in_words()
        return plan
    flush = AccountFlush(db, reads, plan, replace(inputs, clock=lambda: now), lambda seconds: None)
    since = as_text(now - held_counts.CONFIRM_WITHIN)
    chosen = brake.confirmed_of(settings)
    shown = held_counts.shown_since(db, account_id, since) if confirmed else []
    prepared = flush.prepare(lambda: [*chosen, *shown])
    if prepared is not None:
        plan._flush, plan._prepared, plan.summary = flush, prepared, flush.count(prepared)
        plan.notices = flush.notices(prepared.brake)
    return plan


class _Reads:
    """Records the reads that planning makes, since a flush makes them too."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._made: list[Call] = []

    def send(self, call: Call) -> Answer:
        assert call.reads_only, "a plan only reads"
        self._made.append(call)
        return self._sender.send(call)

    def made(self) -> Iterator[PlannedCall]:
        reads, self._made = self._made, []
        return (PlannedCall(call) for call in reads)
