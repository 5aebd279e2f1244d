"""The plan of an account as people read it: what would be done list by list, and every call before it is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from worker.accounts.settings import missing
from worker.clock import Clock, as_moment, as_text
from worker.flush import calls, departures
from worker.flush.add_strategy import AddStrategy, choose_strategy
from worker.flush.answers import AnswerClass
from worker.flush.brake import CONFIRM_WITHIN, Brake, held_of
from worker.flush.departures import Departures, Page, read_at
from worker.flush.plan_summary import PlanSummary
from worker.flush.planning import plans, read_fields, summary_of
from worker.flush.related_customers import chunks
from worker.flush.steps import Add, Found, PlannedCall, batches
from worker.flush.terms import Terms
from worker.mailchimp.call import Answer, Call, Sender
from worker.model import ListId, MembershipKey
from worker.store import held_back, ledger, lists
from worker.store.accounts import AccountSettings
from worker.store.database import Database
from worker.store.forgotten import Departed
from worker.store.ledger import LedgerEntry

IF_MEMBER = "if Mailchimp says that it is a member already"
IF_UNCLEAR = "if Mailchimp refuses it without naming a field"


@dataclass(slots=True)
class AccountPlan:
    """What a flush of one account would do. It writes nothing; making it sends only reads to Mailchimp.

    Attributes:
        problem: why nothing would be done; None where the flush would go ahead.
        summary: what would be done, counted.
        notices: what could not be read, and what the brake would hold.
    """

    db: Database
    settings: AccountSettings
    sender: _Recorder
    bulk_add_above: int
    confirmed: bool
    now: str
    problem: str | None = None
    summary: PlanSummary = field(default_factory=PlanSummary)
    notices: Sequence[str] = ()
    _terms: Terms | None = None
    _brake: Brake | None = None

    def _summarise(self, sender: Sender, terms: Terms) -> bool:
        # As a flush does it: who left is read before anybody is counted as moved. False where nothing would be done.
        learnt: dict[MembershipKey, LedgerEntry] = {}

        def keep(page: Page) -> None:
            strangers = page.list_id not in terms.of_others
            account_id = self.settings.account_id
            found = departures.learnt(self.db, account_id, page, self.now, strangers=strangers, known=learnt)
            learnt.update({one.membership: one for one in found})

        reading = Departures(self.db, sender, keep, lambda seconds: None)
        self._terms = terms
        self.summary = summary_of(self.db, terms, lambda: True)
        while wanted := self.summary.sources - reading.done:
            for list_id, classified in reading.read(self.settings, wanted).items():
                if classified.kind is AnswerClass.NOT_THERE:
                    self.settings = with_gone(self.settings, list_id, as_moment(self.now))
                elif classified.kind is AnswerClass.ACCOUNT_STOPPED:
                    self.problem = f"Mailchimp accepts no call of this account: {classified.title}."
                    self._terms = None
                    return False
            if lacking := missing(self.settings):
                self.problem, self._terms = lacking[0].what, None
                return False
            terms = replace(terms, settings=self.settings, not_read=reading.not_read(), learnt=learnt)
            self._terms = terms
            self.summary = summary_of(self.db, terms, lambda: True)
        self.notices = reading.notices()
        return True

    def calls(self) -> Iterator[PlannedCall]:
        """Gives every call in order: reads as reads, and what hangs on an answer with the condition.

        Reads on which the rest of the plan hangs are made while this is asked.
        """
        yield from self.sender.made()
        if self._terms is None or self._brake is None:
            return
        strategies: dict[ListId, AddStrategy] = {}
        for near in chunks(self.db, self.settings.account_id):
            for _, plan in plans(self.db, self._terms, near):
                for step_group in plan.step_groups:
                    free, _ = self._brake.admit(step_group)
                    for step in free:
                        yield from step.calls()
                for batch in batches(plan.adds):
                    yield from self._add_calls(batch, strategies)
        for one in self.settings.stored:
            if not one.gone:
                yield PlannedCall(calls.read_list(one.list_id), "each time a member of it is not found")

    def _add_calls(self, batch: Sequence[Add], strategies: dict[ListId, AddStrategy]) -> Iterator[PlannedCall]:
        list_id = batch[0].membership.list_id
        if list_id not in strategies:
            strategies[list_id] = choose_strategy(self.sender, list_id, self.summary.adds[list_id], self.bulk_add_above)
            yield from self.sender.made()
        strategy = strategies[list_id]
        if strategy.refusal is not None:
            return
        for add in batch:
            if not strategy.together or add.entry is not None:
                yield from add.calls()
        together = (
            [add for add in batch if add.entry is None and not strategy.leaves_out(add)] if strategy.together else []
        )
        if together:
            look = strategy.look(list_id)
            assert look is not None, "without it they go contact by contact"
            yield PlannedCall(look)
            yield PlannedCall(calls.add_all(list_id, [add.as_contact() for add in together]))
        for add in together:
            for found in Found(add.contact, None).calls():
                yield PlannedCall(found.call, IF_MEMBER)
            for alone in add.calls():
                yield PlannedCall(alone.call, f"{IF_UNCLEAR}, and {alone.when}" if alone.when else IF_UNCLEAR)


def plan_account(
    db: Database,
    settings: AccountSettings,
    sender: Sender,
    *,
    bulk_add_above: int,
    confirmed: bool,
    clock: Clock,
    departed: Departed,
) -> AccountPlan:
    """Plans a flush of one account; only reads.

    Args:
        db: the staging database.
        settings: the account's, which lack nothing.
        sender: sends the reads.
        bulk_add_above: see the flush's orders.
        confirmed: whether an operator would confirm what the last flush held back.
        clock: tells the time.
        departed: who left lists of the account and was erased since.
    """
    recorder, now = _Recorder(sender), clock()
    plan = AccountPlan(db, settings, recorder, bulk_add_above, confirmed, as_text(now))
    read = read_fields(recorder, settings)
    for list_id, classified in read.refused.items():
        if classified.kind is not AnswerClass.NOT_THERE:
            plan.problem = f"Mailchimp gave no useful answer: {classified.title}."
            return plan
        plan.settings = with_gone(plan.settings, list_id, now)
    if lacking := missing(plan.settings):
        plan.problem = lacking[0].what
        return plan
    others = lists.stored_by_others(db, settings.account_id)
    terms = Terms(plan.settings, read.found, plan.now, departed, others)
    if not plan._summarise(recorder, terms):
        return plan
    shown = held_back.shown_since(db, settings.account_id, as_text(now - CONFIRM_WITHIN)) if confirmed else ()
    present = ledger.present_count(db, settings.account_id)
    plan._brake = Brake(
        plan.summary.departures, present, held_of(shown, "departures"), plan.summary.moves, held_of(shown, "moves")
    )
    plan.notices = [*plan._brake.notices(settings.account_id, read_at(plan.settings)), *plan.notices]
    return plan


def with_gone(settings: AccountSettings, list_id: ListId, at: datetime) -> AccountSettings:
    """Returns the settings with a list gone from Mailchimp."""
    known = (replace(one, gone_at=at) if one.list_id == list_id else one for one in settings.lists)
    return replace(settings, lists=tuple(known))


class _Recorder:
    """Notes the reads that planning makes, since a flush makes them too."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._made: list[Call] = []

    def send(self, call: Call) -> Answer:
        assert call.reads_only, "a plan only reads"
        self._made.append(call)
        return self._sender.send(call)

    def made(self) -> Iterator[PlannedCall]:
        made, self._made = self._made, []
        return (PlannedCall(call) for call in made)
