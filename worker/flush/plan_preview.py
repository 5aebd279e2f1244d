"""The plan of an account for people: what would be done list by list, and every call before it is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from worker.accounts.settings import missing
from worker.clock import as_text
from worker.flush.account_flush import AccountFlush, AccountInputs, Prepared, batches, split_adds
from worker.flush.add_strategy import AddStrategy, choose_strategy
from worker.flush.brake import confirmed_of
from worker.flush.departures import kept_out
from worker.flush.list_readings import Page
from worker.flush.member_pages import AccountPage, KnownContacts, page_changes
from worker.mailchimp import calls
from worker.mailchimp.answers import Answer, AnswerClass, ClassifiedAnswer
from worker.mailchimp.calls import Call, Sender
from worker.model import CustomerId, ListId
from worker.plan.planned_calls import PlannedCall, planned_calls, tag_calls
from worker.plan.related_customers import RelatedCustomers
from worker.plan.steps import Add, Found, touched
from worker.plan.summary import PlanSummary
from worker.sqlite.database import Database
from worker.store import accounts, bare_customers, held_counts
from worker.store.accounts import AccountList, AccountSettings
from worker.store.held_counts import HeldCount
from worker.store.ledger import has_left
from worker.store.strangers import former_addresses

IF_MEMBER = "if Mailchimp says that it is a member already"
ONCE_ADDED = "once it is added"
IF_UNCLEAR = "if Mailchimp refuses it without naming a field"


class AccountPlan(AccountFlush):
    """What a flush of one account would do. It writes nothing; making it sends only reads to Mailchimp.

    Attributes:
        problem: why nothing would be done; None if the flush would proceed.
        unanswered: whether the problem is that Mailchimp gave no useful answer, so that nothing could be planned.
        advice: what to do about the problem; None for nothing.
        summary: counts of what would be done.
        notices: what could not be read, and what the brake would hold.
    """

    def __init__(
        self, db: Database, settings: AccountSettings, sender: Sender, inputs: AccountInputs, *, confirmed: bool
    ) -> None:
        """Plans nothing yet.

        Args:
            confirmed: whether an operator would confirm what the last flush held back.
        """
        self.now = inputs.clock()
        self.reads = _Reads(sender)
        super().__init__(db, settings, self.reads, replace(inputs, clock=lambda: self.now), lambda seconds: None)
        self.problem: str | None = None
        self.unanswered = False
        self.advice: str | None = None
        self.summary = PlanSummary()
        self.notices: Sequence[str] = ()
        self._stored_by_others = accounts.stored_by_others(db, settings.account_id)
        self._confirms = confirmed
        self._prepared: Prepared | None = None

    def make(self) -> None:
        """Plans the flush, with the reads that it would make."""
        prepared = self._prepared = self.prepare()
        if prepared is not None:
            for related, plan in self.chunks(prepared):
                self.summary.add(plan, len(related.changed))
            self.notices = self.operator_notices(prepared.brake)

    # Before the first chunk

    def may_continue(self) -> bool:
        """Returns whether the flush would proceed."""
        return self.problem is None

    def any_to_deliver(self) -> bool:
        """Returns True: only accounts with something to deliver are planned."""
        return True

    def confirmed(self) -> Sequence[HeldCount]:
        """Returns what was confirmed with the settings, and what an operator would confirm."""
        chosen = confirmed_of(self.settings)
        if not self._confirms:
            return chosen
        return [*chosen, *held_counts.confirmed_counts(self.db, self.settings.account_id, self.now, self.now)]

    def on_page(self, page: Page) -> None:
        """Records who left a list, or is back. A plan needs nothing else that the ledger lacks."""
        account_id, ours = self.settings.account_id, page.list_id not in self._stored_by_others
        moved = KnownContacts(self.db, account_id).moved(page)
        changes = page_changes(self.db, AccountPage(account_id, page, as_text(self.now), ours, moved, self.unwritten))
        if ours:
            former = former_addresses(self.db, self.inputs.strangers, page.list_id, changes.listed)
            self.former_addresses |= {(page.list_id, address) for address in former}
        self.unwritten.update({entry.membership: entry for entry in changes.departures()})
        ended = [entry.membership for entry in changes.departures() if not has_left(entry)]
        if ended:
            self.reopened |= {customer.customer_id for customer in kept_out(self.db, account_id, ended)}

    def on_list_back(self, list_id: ListId) -> None:
        """Records that a list is no longer gone, and plans all customers, whom a flush would mark as changed."""
        known = self.settings.list_of(list_id) or AccountList(list_id, list_id, False, 0, False, self.now)
        rest = (known_list for known_list in self.settings.lists if known_list.list_id != list_id)
        self.settings = replace(self.settings, lists=(*rest, replace(known, gone_at=None)))
        self.everyone = True

    def on_list_refused(self, list_id: ListId, classified: ClassifiedAnswer) -> None:
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

    def on_fault(self, part: RelatedCustomers, error: Exception) -> None:
        """Omits customers that the flush could not plan either."""

    # Output

    def calls(self) -> Iterator[PlannedCall]:
        """Yields every call in order: reads as reads, and calls that depend on an answer with the condition.

        Reads that the rest of the plan depends on are made during iteration.
        """
        yield from self.reads.made()
        prepared = self._prepared
        if prepared is None:
            return
        strategies: dict[ListId, AddStrategy] = {}
        lists = {stored_list.list_id for stored_list in self.settings.stored}
        for _, plan in self.chunks(prepared):
            for step_group in plan.step_groups:
                free, _ = prepared.brake.admit(step_group)
                for step in free:
                    lists.update(membership.list_id for membership in touched(step))
                    yield from planned_calls(step)
            for batch in batches(plan.adds):
                yield from self._add_calls(batch, prepared.adds, strategies)
        for known in self.settings.lists:
            if known.list_id in lists and not known.gone:
                yield PlannedCall(calls.read_list(known.list_id), "whenever one of its members is not found")

    def _add_calls(
        self, batch: Sequence[Add], adds: Mapping[ListId, int], strategies: dict[ListId, AddStrategy]
    ) -> Iterator[PlannedCall]:
        list_id = batch[0].membership.list_id
        if list_id not in strategies:
            count, above = adds.get(list_id, 0), self.inputs.bulk_add_above
            strategies[list_id] = choose_strategy(self.sender, list_id, count, above)
            yield from self.reads.made()
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
    plan = AccountPlan(db, settings, sender, inputs, confirmed=confirmed)
    if (bare := bare_customers.of_account(db, settings.account_id)) is not None and bare.reading:
        plan.problem = bare.in_words()
    else:
        plan.make()
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
