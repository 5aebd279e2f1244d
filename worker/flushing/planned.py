"""The plan of an account as people read it: what would be done list by list, and every call before it is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from worker.accounts.settings import missing
from worker.clock import Clock, as_text
from worker.flushing.deciding import member_calls
from worker.flushing.deciding.steps import Add, PlannedCall, batches, found_call
from worker.flushing.deciding.survey import Survey
from worker.flushing.doing.archived import Way, way_to_add
from worker.flushing.doing.brake import CONFIRM_WITHIN, Brake, held_of
from worker.flushing.neighbourhood import chunks
from worker.flushing.outcomes import Sort
from worker.flushing.plan import Terms
from worker.flushing.reading import plans, read_fields, survey_of
from worker.mailchimp.call import Answer, Call, Sender
from worker.model import ListId
from worker.staging import held_back, ledger, lists
from worker.staging.accounts import AccountSettings
from worker.staging.database import Database
from worker.staging.forgotten import Departed

IF_MEMBER = "if Mailchimp says that it is a member already"
IF_UNCLEAR = "if Mailchimp refuses it without naming a field"


@dataclass(slots=True)
class AccountPlan:
    """What a flush of one account would do. It writes nothing; making it sends only reads to Mailchimp.

    Attributes:
        problem: why nothing would be done; None where the flush would go ahead.
        survey: what would be done, counted.
        notices: what the brake would hold.
    """

    db: Database
    settings: AccountSettings
    sender: _Recorder
    put_at_most: int
    confirmed: bool
    now: str
    problem: str | None = None
    survey: Survey = field(default_factory=Survey)
    notices: Sequence[str] = ()
    _terms: Terms | None = None
    _brake: Brake | None = None

    def calls(self) -> Iterator[PlannedCall]:
        """Gives every call in order: reads as reads, and what hangs on an answer with the condition.

        Reads on which the rest of the plan hangs are made while this is asked.
        """
        yield from self.sender.made()
        if self._terms is None or self._brake is None:
            return
        ways: dict[ListId, Way] = {}
        for near in chunks(self.db, self.settings.account_id):
            for _, plan in plans(self.db, self._terms, near):
                for lane in plan.lanes:
                    free, _ = self._brake.admit(lane)
                    for step in free:
                        yield from step.calls()
                for batch in batches(plan.adds):
                    yield from self._add_calls(batch, ways)
        for one in self.settings.stored:
            if not one.gone:
                yield PlannedCall(member_calls.read_list(one.list_id), "each time a member of it is not found")

    def _add_calls(self, batch: Sequence[Add], ways: dict[ListId, Way]) -> Iterator[PlannedCall]:
        list_id = batch[0].place.list_id
        if list_id not in ways:
            ways[list_id] = way_to_add(self.sender, list_id, self.survey.adds[list_id], self.put_at_most)
            yield from self.sender.made()
        way = ways[list_id]
        if way.refusal is not None:
            return
        for add in batch:
            if not way.together or add.entry is not None:
                yield from add.calls()
        together = [add for add in batch if add.entry is None and not way.leaves_out(add)] if way.together else []
        if together:
            look = way.look(list_id)
            assert look is not None, "without it they go contact by contact"
            yield PlannedCall(look)
            yield PlannedCall(member_calls.add_all(list_id, [add.as_contact() for add in together]))
        for add in together:
            yield PlannedCall(found_call(add.contact), IF_MEMBER)
            for alone in add.calls():
                yield PlannedCall(alone.call, f"{IF_UNCLEAR}, and {alone.when}" if alone.when else IF_UNCLEAR)


def plan_account(
    db: Database,
    settings: AccountSettings,
    sender: Sender,
    *,
    put_at_most: int,
    confirmed: bool,
    clock: Clock,
    departed: Departed,
) -> AccountPlan:
    """Plans a flush of one account; only reads.

    Args:
        db: the staging database.
        settings: the account's, which lack nothing.
        sender: sends the reads.
        put_at_most: see the flush's orders.
        confirmed: whether an operator would confirm what the last flush held back.
        clock: tells the time.
        departed: who left lists of the account and was erased since.
    """
    recorder, now = _Recorder(sender), clock()
    plan = AccountPlan(db, settings, recorder, put_at_most, confirmed, as_text(now))
    read = read_fields(recorder, settings)
    for list_id, verdict in read.refused.items():
        if verdict.sort is not Sort.NOT_THERE:
            plan.problem = f"Mailchimp gave no useful answer: {verdict.title}."
            return plan
        gone = (replace(one, gone_at=now) if one.list_id == list_id else one for one in plan.settings.lists)
        plan.settings = replace(plan.settings, lists=tuple(gone))
    if lacking := missing(plan.settings):
        plan.problem = lacking[0].what
        return plan
    others = lists.stored_by_others(db, settings.account_id)
    plan._terms = Terms(plan.settings, read.found, plan.now, departed, others)
    plan.survey = survey_of(db, plan._terms, lambda: True)
    shown = held_back.shown_since(db, settings.account_id, as_text(now - CONFIRM_WITHIN)) if confirmed else ()
    present = ledger.present_count(db, settings.account_id)
    plan._brake = Brake(
        plan.survey.departures, present, held_of(shown, "departures"), plan.survey.moves, held_of(shown, "moves")
    )
    plan.notices = plan._brake.notices(settings.account_id)
    return plan


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
