"""One account's flush up to its last step: list fields, members, departures for the brake, then chunk by chunk.

:mod:`worker.flush.execute` carries a flush out, and :mod:`worker.flush.plan_preview` only shows it. Both share this
code, so that the plan that was shown is the one that is carried out.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from worker.clock import Clock, Wait, as_text
from worker.fields.field_hashes import FieldHashes
from worker.fields.field_mapping import mapping_of
from worker.fields.merge_values import ListFields
from worker.flush.add_strategy import AddStrategy
from worker.flush.brake import Brake, Expected
from worker.flush.list_lookup import look_for, maybe_back
from worker.flush.list_readings import Depth, ListReadings, Page, read_fields
from worker.mailchimp import calls
from worker.mailchimp.answers import AnswerClass, ClassifiedAnswer
from worker.mailchimp.calls import Sender
from worker.model import CustomerId, ListId, MembershipKey
from worker.plan import candidates
from worker.plan.inputs import PlanInputs
from worker.plan.plan import make_plan
from worker.plan.related_customers import CHUNK, RelatedCustomers, Selection, apart, chunks, with_strangers
from worker.plan.steps import Add, Plan
from worker.sqlite.database import Database
from worker.store import accounts, customers, ledger, strangers
from worker.store.accounts import AccountSettings
from worker.store.forgotten import Departed
from worker.store.held_counts import HeldCount
from worker.store.ledger import LedgerEntry
from worker.store.strangers import AddressHashes

_PLANNING = threading.Lock()
"""One account at a time: one interpreter plans no faster side by side, and the first one's calls begin earlier."""


@dataclass(frozen=True, slots=True)
class AccountInputs:
    """What a flush of an account depends on beside its settings, customers and ledger, carried out or only shown.

    Attributes:
        departed: people who had left lists of the account and were erased since.
        hashes: recognise what was sent.
        strangers: hashes of people who left lists though no customer has their address.
        state_if_missing: sent as the state of an address without one; if empty, such an address is not sent.
        bulk_add_above: up to this many contacts are added one by one to a list with archived members, more in batches.
    """

    clock: Clock
    departed: Departed
    hashes: FieldHashes
    strangers: AddressHashes
    state_if_missing: str
    bulk_add_above: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is known before the first chunk.

    Attributes:
        adds: contacts that would be added to each list, at most.
        brake: counts departures, and holds excessive ones.
        plans: of an account whose customers fit one chunk; None for a larger one, which is planned chunk by chunk.
    """

    inputs: PlanInputs
    adds: Mapping[ListId, int]
    brake: Brake
    plans: Sequence[tuple[RelatedCustomers, Plan]] | None


class AccountFlush(ABC):
    """One account's flush, up to the first write. A subclass carries it out or shows it.

    Attributes:
        settings: the account's, updated with what was read about its lists.
        sender: sends the reads before the first write.
        unwritten: entries that were read but are not in the ledger, because nothing may be written.
        former_addresses: hashes of addresses whose contacts left under others, if nothing may be written.
        reopened: customers to plan though they count as unchanged: a departure that kept them out has ended.
        everyone: whether to plan all customers as if they had changed, because a list is back and nothing may be
            written.
    """

    def __init__(
        self, db: Database, settings: AccountSettings, sender: Sender, inputs: AccountInputs, wait: Wait
    ) -> None:
        """Starts with nothing read."""
        self.db = db
        self.settings = settings
        self.sender = sender
        self.inputs = inputs
        self.wait = wait
        self.readings = ListReadings(db, inputs.strangers, sender, self.on_page, wait)
        self.unwritten: dict[MembershipKey, LedgerEntry] = {}
        self.former_addresses: set[tuple[ListId, int]] = set()
        self.reopened: set[CustomerId] = set()
        self.everyone = False

    @abstractmethod
    def may_continue(self) -> bool:
        """Returns whether to read or do anything more."""

    @abstractmethod
    def any_to_deliver(self) -> bool:
        """Returns whether there are customers to deliver now; otherwise only members are read."""

    @abstractmethod
    def confirmed(self) -> Sequence[HeldCount]:
        """Returns what an operator confirmed. Called once, right before the first chunk."""

    @abstractmethod
    def on_page(self, page: Page) -> None:
        """Handles a page of a list's members."""

    @abstractmethod
    def on_list_back(self, list_id: ListId) -> None:
        """Handles a list that was gone and answers again: all customers of the account are planned with it."""

    @abstractmethod
    def on_list_refused(self, list_id: ListId, classified: ClassifiedAnswer) -> None:
        """Handles a list that could not be read. The flush continues only if it is gone and another one exists."""

    @abstractmethod
    def on_fault(self, part: RelatedCustomers, error: Exception) -> None:
        """Handles customers that cannot be planned because of an internal error."""

    def prepare(self, *, every_list: bool = False) -> Prepared | None:
        """Reads what the plan depends on, and counts who would leave lists.

        Args:
            every_list: whether to read the members of each stored list; otherwise only departures from lists that
                customers move off, and from the other stored lists if contacts are added.

        Returns:
            None if there is nothing to do.
        """
        back = self._look_for_gone_lists()
        inputs = self._read_inputs() if self.any_to_deliver() else None
        stored = [stored_list for stored_list in self.settings.stored if not stored_list.gone]
        if every_list:
            self._read_lists({stored_list.list_id for stored_list in stored}, Depth.ALL_MEMBERS)
        else:
            self._read_lists({stored_list.list_id for stored_list in stored if stored_list.departures_lost})
        self._read_lists(back)
        if self.any_to_deliver():  # now perhaps: a person who is back may let others in
            inputs = inputs or self._read_inputs()
        if inputs is None:
            return None
        # Before anybody is added to a list, departures of the other stored lists are read, and before anybody moves off
        # a list, its own. Everything is planned with them. Most often, newcomers alone show which: one plan is enough.
        former = self._unknown_former_lists()
        if (self._stored_lists() | former) - self.readings.done:
            newcomers = candidates.new_by_list(self.db, self.settings)
            self._read_lists(self._lists_beside(newcomers, former), Depth.DEPARTURES_TO_CONFIRM)
        while self.may_continue():
            inputs = replace(
                inputs,
                settings=self.settings,
                not_read=self.readings.not_read(),
                read_now=self.readings.read_now,
                unwritten=self.unwritten,
                former_addresses=self.former_addresses,
            )
            planned = self._plan_if_one_chunk(inputs)
            expected = self._expected(inputs, planned)
            counted = planned is not None or self.everyone
            new = expected.adds if counted else candidates.new_by_list(self.db, inputs.settings)
            sources = expected.sources - self.readings.done
            beside = self._lists_beside(expected.destinations.union(new), former) - self.readings.done - sources
            if not (sources or beside):
                present = ledger.present_count(self.db, inputs.settings.account_id)
                return Prepared(inputs, new, Brake(expected, present, self.confirmed(), inputs.not_read), planned)
            self._read_lists(sources)
            self._read_lists(beside, Depth.DEPARTURES_TO_CONFIRM)
        return None

    def chunks(self, prepared: Prepared) -> Iterator[tuple[RelatedCustomers, Plan]]:
        """Yields the account's changed customers in chunks, each with its plan."""
        delivered = set[CustomerId]()
        if prepared.plans is not None and self.may_continue():
            yield from prepared.plans
            delivered = {customer_id for part, _ in prepared.plans for customer_id in part.changed}
        # Includes customers that changed meanwhile.
        selection = Selection(self.everyone, skip=delivered, also=self.reopened)
        reading = chunks(self.db, self.settings.account_id, selection)
        while self.may_continue() and (related := next(reading, None)) is not None:
            yield from plan_chunk(self.db, prepared.inputs, related, self.on_fault)

    def operator_notices(self, brake: Brake | None) -> list[str]:
        """Returns what an operator should know: what the brake holds, and lists whose departures could not be read."""
        held_back = brake.notices(self.settings) if brake is not None else []
        return [*held_back, *self.readings.notices()] if self.readings.refused else held_back

    def _look_for_gone_lists(self) -> set[ListId]:
        """Looks for the lists that are marked as gone; returns those that are back."""
        wanted = maybe_back(self.db, self.settings)
        answers = look_for(self.sender, wanted, self.wait) if wanted and self.may_continue() else {}
        back = {list_id for list_id, classified in answers.items() if classified.kind is AnswerClass.DONE}
        for list_id in sorted(back):
            self.on_list_back(list_id)
        for list_id, classified in answers.items():
            stops = classified.kind is AnswerClass.ACCOUNT_STOPPED or list_id == self.settings.master_list
            if stops and list_id not in back:
                self.on_list_refused(list_id, classified)
            elif classified.kind not in (AnswerClass.DONE, AnswerClass.NOT_THERE):
                self.readings.give_up(list_id, classified)
        return back

    def _read_inputs(self) -> PlanInputs | None:
        # None if the flush may not continue.
        if not self.may_continue():
            return None
        read = read_fields(self.sender, self.settings, self.wait)
        for list_id, classified in read.refused.items():
            self.on_list_refused(list_id, classified)
        if not self.may_continue():
            return None
        settings, account = self.settings, self.inputs
        fields = {
            list_id: ListFields(available, account.state_if_missing, mapping_of(settings.list_of(list_id)))
            for list_id, available in read.by_list.items()
        }
        return PlanInputs(
            settings,
            fields,
            as_text(account.clock()),
            account.departed,
            account.hashes,
            accounts.stored_by_others(self.db, settings.account_id),
            strangers=account.strangers,
        )

    def _stored_lists(self) -> set[ListId]:
        return {stored_list.list_id for stored_list in self.settings.stored if not stored_list.gone}

    def _lists_beside(self, destinations: Collection[ListId], former: Collection[ListId]) -> set[ListId]:
        """Returns lists whose departures are needed before contacts are added to others.

        These are the former ones, and the stored ones: all but one if contacts are added to that alone.
        """
        if not destinations:
            return set()
        stored = self._stored_lists() if len(destinations) > 1 else self._stored_lists().difference(destinations)
        return stored.union(former)

    def _unknown_former_lists(self) -> set[ListId]:
        """Returns lists that were stored once, and of which this worker does not know who left them."""
        settings, hashes = self.settings, self.inputs.strangers
        former = {
            known.list_id
            for known in settings.lists
            if not (known.stored or known.gone) and known.departures_read_at is not None
        }
        former -= accounts.stored_by_others(self.db, settings.account_id)
        return {list_id for list_id in former if strangers.read_at(self.db, hashes, list_id) is None}

    def _read_lists(self, wanted: Collection[ListId], depth: Depth = Depth.DEPARTURES) -> None:
        if not self.may_continue():
            return
        refused = self.readings.read(self.settings, wanted, depth)
        for list_id, classified in refused.items():
            if classified.kind in (AnswerClass.NOT_THERE, AnswerClass.ACCOUNT_STOPPED):
                self.on_list_refused(list_id, classified)

    def _plan_if_one_chunk(self, inputs: PlanInputs) -> list[tuple[RelatedCustomers, Plan]] | None:
        """Plans all customers where they fit one chunk; None where they do not, or one of them cannot be planned."""
        account_id, everyone = inputs.settings.account_id, self.everyone
        many = customers.count_of(self.db, account_id) if everyone else customers.changed_count(self.db, account_id)
        if many + len(self.reopened) > CHUNK:
            return None
        faults = list[Exception]()
        with _PLANNING:
            related = next(chunks(self.db, account_id, Selection(everyone, also=self.reopened)), None)
            if related is None or sum(everyone or customer.changed for customer in related.changed.values()) < many:
                return None
            planned = list(plan_chunk(self.db, inputs, related, lambda part, error: faults.append(error)))
        return planned if not faults else None

    def _expected(self, inputs: PlanInputs, planned: list[tuple[RelatedCustomers, Plan]] | None) -> Expected:
        # Of many changed customers only those who may leave a list: what happens to the others decides nothing
        # beforehand.
        expected = Expected()
        if planned is not None:
            for _, plan in planned:
                expected.add(plan)
            return expected
        selection = Selection(self.everyone, None if self.everyone else inputs.settings, also=self.reopened)
        reading = chunks(self.db, inputs.settings.account_id, selection)
        while self.may_continue() and (related := next(reading, None)) is not None:
            for _, plan in plan_chunk(self.db, inputs, related):
                expected.add(plan)
        return expected


def plan_chunk(
    db: Database,
    inputs: PlanInputs,
    related: RelatedCustomers,
    on_fault: Callable[[RelatedCustomers, Exception], None] = lambda part, error: None,
) -> Iterator[tuple[RelatedCustomers, Plan]]:
    """Plans a chunk. If that meets an internal error, plans each part of it, and gives up only those that meet it.

    Args:
        on_fault: called with a part that cannot be planned.
    """
    related = with_strangers(db, related, inputs)
    try:
        plan = make_plan(related, inputs)
    except Exception as error:
        if len(related.changed) == 1:
            on_fault(related, error)
            return
    else:
        yield related, plan
        return
    for part in apart(db, inputs.settings.account_id, related):
        try:
            plan = make_plan(with_strangers(db, part, inputs), inputs)
        except Exception as error:
            on_fault(part, error)
        else:
            yield part, plan


def split_adds(batch: Sequence[Add], strategy: AddStrategy) -> tuple[list[Add], list[Add]]:
    """Returns the adds of a batch that need a call of their own, and those that go together."""
    if not strategy.together:
        return list(batch), []
    # If the answer to an add was lost, somebody may have joined since: such adds are checked one by one.
    return [add for add in batch if add.entry is not None], [add for add in batch if add.entry is None]


def batches(adds: Sequence[Add]) -> Iterator[tuple[Add, ...]]:
    """Yields the adds list by list, as many as one POST takes."""
    by_list: dict[str, list[Add]] = {}
    for add in adds:
        by_list.setdefault(add.membership.list_id, []).append(add)
    for same_list in by_list.values():
        for start in range(0, len(same_list), calls.POST_AT_MOST):
            yield tuple(same_list[start : start + calls.POST_AT_MOST])
