"""Delivers one account's changed customers: looks at all, brakes, then goes through them chunk by chunk."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from queue import Empty, SimpleQueue

from worker.accounts.settings import missing
from worker.clock import Clock, as_text
from worker.flushing.deciding.steps import Add, Lane, NoCall, Plan, Share, Step, batches, customers_of
from worker.flushing.deciding.survey import Survey, unread
from worker.flushing.doing import adding, brake, fault
from worker.flushing.doing.archived import Way, way_to_add
from worker.flushing.doing.books import Books
from worker.flushing.doing.brake import Brake
from worker.flushing.doing.desk import Desk, Guarded, Halted, Pacing, stumble
from worker.flushing.doing.intents import Intents
from worker.flushing.doing.lane import run_lane
from worker.flushing.doing.report import Report
from worker.flushing.neighbourhood import Neighbourhood, chunks
from worker.flushing.outcomes import Sort, Verdict
from worker.flushing.plan import Terms
from worker.flushing.reading import plans, read_fields, survey_of
from worker.mailchimp.connections import Stop
from worker.model import CustomerId, ListId, Place
from worker.staging import accounts, held_back, ledger, lists
from worker.staging.accounts import AccountSettings
from worker.staging.database import Database
from worker.staging.forgotten import Departed
from worker.staging.held_back import HeldBack
from worker.staging.ledger import Standing
from worker.staging.runs import AccountRun

log = logging.getLogger("worker.flushing")

GRACE_SECONDS = 4.0
"""How long calls in flight are waited for when the worker must end."""
LOOK_SECONDS = 0.5
"""How often to look whether it must."""

CALL_THREADS = "calls of"
"""How the names of threads that make calls begin; the account's id follows."""


@dataclass(frozen=True, slots=True)
class Orders:
    """How to deliver, the same for every account of a run.

    Attributes:
        confirmed: whether an operator confirmed what was shown as held back.
        put_at_most: contacts added one by one to a list that has archived members; more are added together.
        connections: threads an account.
        may_call: asked before every call; false once the flush must end.
        ours: asked before anything is written down; false once the partition is, or may be, another worker's.
        settings_hold: asked before every call; false once the account chose other settings than it is flushed with.
        open_database: opens a connection for what the account's threads write, one at a time.
        departed: who left lists of the account and was erased since.
    """

    run: int
    confirmed: bool
    put_at_most: int
    connections: int
    clock: Clock
    stop: Stop
    may_call: Callable[[], bool]
    ours: Callable[[], bool]
    settings_hold: Callable[[], bool]
    open_database: Callable[[], Database]
    departed: Departed


def deliver(db: Database, settings: AccountSettings, sender: Pacing, orders: Orders) -> AccountRun:
    """Delivers what changed of one account, whose settings lack nothing.

    Args:
        db: a connection of this thread alone. Were it shared with those that write, this one could wait inside SQLite
            for a transaction of theirs, and the whole process with it.
        settings: the account's.
        sender: sends its calls.
        orders: the run's.

    Returns:
        What became of it; the message says why it ended early, or what was held back.
    """
    with contextlib.closing(orders.open_database()) as own:
        books = Books(
            own,
            settings,
            orders.run,
            orders.clock,
            may_call=lambda: orders.may_call() and orders.settings_hold(),
            ours=orders.ours,
        )
        if books.to_do:
            try:
                with contextlib.suppress(Halted):
                    _Delivery(db, books, sender, Guarded(sender, books.may_call), orders).go()
            finally:
                books.shut()
            if not orders.may_call():
                books.stop()
            elif not orders.settings_hold():
                books.stop("the account's settings were changed; the next flush goes by the new ones")
        return books.part()


@dataclass(slots=True)
class _Delivery:
    db: Database
    books: Books
    pacing: Pacing
    sender: Guarded
    orders: Orders
    ways: dict[ListId, Way] = field(default_factory=dict)

    def go(self) -> None:
        terms = self._terms()
        if terms is None:
            return
        confirmed = self._confirmed()
        survey = survey_of(self.db, terms, self.books.may_call)
        guard = self._brake(survey, confirmed)
        account_id = self.books.settings.account_id
        pool = ThreadPoolExecutor(self.orders.connections, thread_name_prefix=f"{CALL_THREADS} {account_id}")
        try:
            reading = chunks(self.db, account_id)
            while self.books.may_call() and (near := next(reading, None)) is not None:
                for part, plan in plans(self.db, terms, near, partial(self._faulty, terms)):
                    self._chunk(pool, self._desk(terms, guard, part), plan, survey, guard)
            self._show(guard)
        finally:
            # Asked to stop, a call in flight is not waited for: it may take minutes, and its answer is found later.
            pool.shutdown(wait=not self.orders.stop.is_set(), cancel_futures=True)

    def _faulty(self, terms: Terms, part: Neighbourhood, error: Exception) -> None:
        report = Report(self.orders.run, terms.settings.account_id)
        shares = [Share(customer, None) for customer in part.changed.values()]
        self._commit(fault.note(report, shares, None, as_text(self.orders.clock()), error))

    def _desk(self, terms: Terms, guard: Brake, near: Neighbourhood) -> Desk:
        return Desk(
            sender=self.sender,
            settings=terms.settings,
            merge_fields=terms.merge_fields,
            run=self.orders.run,
            clock=self.orders.clock,
            pacing=self.pacing,
            intents=Intents(self.books.write_ahead),
            wait=self.orders.stop.wait,
            may_leave=guard.may_leave,
            departures_of=self.books.departures_of,
            standings=near.standings,
        )

    # What is known before the first chunk

    def _terms(self) -> Terms | None:
        read = read_fields(self.sender, self.books.settings)
        for list_id, verdict in read.refused.items():
            self._bear(list_id, verdict)
        if self.books.ended is not None:
            return None
        settings = self.books.settings
        others = lists.stored_by_others(self.db, settings.account_id)
        return Terms(settings, read.found, as_text(self.orders.clock()), self.orders.departed, others)

    def _bear(self, list_id: ListId, verdict: Verdict) -> None:
        # Without a list's fields the flush goes on only if that list is gone and another one is the master list.
        report = Report(self.orders.run, self.books.settings.account_id)
        if verdict.sort is Sort.NOT_THERE:
            report.gone.add(list_id)
        elif verdict.sort is Sort.ACCOUNT_STOPPED:
            report.account_stopped = verdict.title
        else:
            self.books.fail(f"Mailchimp gave no useful answer: {verdict.title}.")
        self._commit(report)
        settings = accounts.find(self.db, self.books.settings.account_id)
        assert settings is not None, "the account's row is there while it is flushed"
        self.books.settings = settings
        if lacking := missing(settings):
            self.books.end(lacking[0].what)

    def _confirmed(self) -> Sequence[HeldBack]:
        # Taken back at once: what an operator confirms is for one run.
        if not self.orders.confirmed:
            return ()
        account_id = self.books.settings.account_id
        shown = held_back.shown_since(self.db, account_id, as_text(self.orders.clock() - brake.CONFIRM_WITHIN))
        with self.db.transaction():
            held_back.delete_account(self.db, account_id)
        return shown

    def _brake(self, survey: Survey, confirmed: Sequence[HeldBack]) -> Brake:
        account_id = self.books.settings.account_id
        present = ledger.present_count(self.db, account_id)
        departures, moves = brake.held_of(confirmed, "departures"), brake.held_of(confirmed, "moves")
        guard = Brake(survey.departures, present, departures, survey.moves, moves)
        self.books.notices = guard.notices(account_id)
        return guard

    def _show(self, guard: Brake) -> None:
        account_id = self.books.settings.account_id
        self.books.notices = guard.notices(account_id)
        held = [HeldBack(list_id, "departures", count) for list_id, count in guard.held.items()]
        held += [HeldBack(list_id, "moves", count) for list_id, count in guard.held_moves.items()]
        with self.db.transaction():
            held_back.show(self.db, account_id, held, as_text(self.orders.clock()))

    # One chunk

    def _chunk(self, pool: ThreadPoolExecutor, desk: Desk, plan: Plan, survey: Survey, guard: Brake) -> None:
        self._commit(_no_calls(desk, plan))
        tasks: list[Callable[[], Iterable[Step]]] = [self._admitted_task(desk, lane, guard) for lane in plan.lanes]
        for batch in batches(plan.adds):
            tasks += self._add_tasks(desk, batch, survey)
        self._run(pool, tasks, desk)

    def _run(self, pool: ThreadPoolExecutor, tasks: Iterable[Callable[[], Iterable[Step]]], desk: Desk) -> None:
        # Not by waiting for thousands of futures at once: that looks at each of them again and again.
        ended = SimpleQueue[Future[Iterable[Step]]]()
        running, ends = 0, None
        for task in tasks:
            pool.submit(task).add_done_callback(ended.put)
            running += 1
        while running:
            if self.orders.stop.is_set():
                # Calls in flight get a moment more, so that what they did is known; the rest is found out later.
                ends = ends or time.monotonic() + GRACE_SECONDS
                if time.monotonic() >= ends:
                    return
            try:
                steps = _result(ended.get(timeout=LOOK_SECONDS))
            except Empty:
                continue
            running -= 1
            for step in steps:
                pool.submit(self._lane_task(desk, (step,))).add_done_callback(ended.put)
                running += 1

    def _admitted_task(self, desk: Desk, lane: Lane, guard: Brake) -> Callable[[], Iterable[Step]]:
        def task() -> Iterable[Step]:
            if not self.books.may_call():
                return ()
            free, held = guard.admit(lane)
            if held:
                self._commit(_held(desk, held))
            return self._lane_task(desk, free, customers_of(held))()

        return task

    def _lane_task(
        self, desk: Desk, lane: Lane, held: Collection[CustomerId] = frozenset()
    ) -> Callable[[], Iterable[Step]]:
        def task() -> Iterable[Step]:
            if lane and self.books.may_call():
                own = replace(desk, intents=Intents(self.books.write_ahead))
                run_lane(own, lane, self._commit, self.books.closed, held)
            return ()

        return task

    def _add_tasks(self, desk: Desk, batch: Sequence[Add], survey: Survey) -> list[Callable[[], Iterable[Step]]]:
        list_id = batch[0].place.list_id
        if list_id not in self.ways and self.books.may_call():
            self.ways[list_id] = way_to_add(self.sender, list_id, survey.adds[list_id], self.orders.put_at_most)
        way = self.ways.get(list_id)
        if way is None:
            return []
        if way.refusal is not None:
            self._commit(_nobody_added(desk, batch, way))
            return []
        if not way.together:
            return [self._lane_task(desk, (add,)) for add in batch]
        # Where the answer to an add was lost, somebody may have joined since: each is looked at by itself.
        alone = [self._lane_task(desk, (add,)) for add in batch if add.entry is not None]
        rest = [add for add in batch if add.entry is None]
        return [*alone, self._batch_task(desk, rest, way)] if rest else alone

    def _batch_task(self, desk: Desk, batch: Sequence[Add], way: Way) -> Callable[[], Iterable[Step]]:
        def task() -> Iterable[Step]:
            if not self.books.may_call() or batch[0].place.list_id in self.books.closed:
                return ()
            written: set[Place] = set()

            def commit(report: Report) -> None:
                self._commit(report)
                written.update(entry.place for entry in report.entries)

            together = adding.Batch(desk, commit, way)
            try:
                return together.add(batch)
            except fault.EXPECTED:
                raise
            except Exception:
                # One of them has what this worker cannot deal with; each alone shows which.
                log.exception("account %s: an add of %d contacts failed", desk.settings.account_id, len(batch))
                return [
                    replace(add, entry=together.intended.get(add.place, add.entry))
                    for add in batch
                    if add.place not in written
                ]

        return task

    def _commit(self, report: Report) -> None:
        self.books.commit(report, end_after=self.orders.connections)


def _result(task: Future[Iterable[Step]]) -> Iterable[Step]:
    try:
        return task.result()
    except Halted:
        return ()


def _nobody_added(desk: Desk, adds: Sequence[Add], way: Way) -> Report:
    report = desk.report()
    assert way.refusal is not None
    verdict, exchange = way.refusal
    for add in adds:
        stumble(desk, report, add.shares, add.place, verdict, exchange, of_list=True)
    return report


def _standing_of(desk: Desk, share: Share, none: NoCall) -> Standing:
    # Only a member that is there as wanted takes back what stood against its customer.
    if none.outcome == "unchanged":
        return Standing(share.customer.customer_id, none.place)
    known = desk.standing(share.customer.customer_id)
    return replace(known, place=none.place or known.place, waits_for=none.waits_for)


def _no_calls(desk: Desk, plan: Plan) -> Report:
    report = desk.report()
    in_steps = {share.customer.customer_id for step in plan.steps() for share in step.shares}
    for none in plan.no_calls:
        if not none.settles:
            report.fail(none.shares)
        if none.place is not None or none.waits_for is not None:
            report.standings += [_standing_of(desk, share, none) for share in none.shares]
        if not none.silent:
            report.write(
                none.shares, none.place, None, at=desk.at(), outcome=none.outcome, detail=none.detail, then=none.next
            )
        report.settle(share for share in none.shares if share.customer.customer_id not in in_steps)
    return report


def _held(desk: Desk, steps: Lane) -> Report:
    report, at = desk.report(), desk.at()
    for step in steps:
        detail = f"Held back: {brake.UNREAD if unread(step) else brake.BRAKED}."
        report.write(step.shares, step.place, None, at=at, outcome="held", detail=detail, then=brake.CONFIRM)
    return report
