"""Carries out one account's flush: calls run in parallel on threads, and each step is written as soon as it is done."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial

from worker.accounts.settings import ended_by_missing, missing
from worker.clock import Stop, as_moment, as_text
from worker.fields.field_hashes import not_sure
from worker.flush import bulk_add, not_sent
from worker.flush.account_flush import AccountFlush, Prepared, batches, split_adds
from worker.flush.add_strategy import AddStrategy, choose_strategy
from worker.flush.attempt import GuardedSender, StepContext
from worker.flush.brake import Brake, confirmed_of
from worker.flush.delivery import DeliveryRequest
from worker.flush.list_readings import Page
from worker.flush.member_pages import PageWriter
from worker.flush.recorder import ERASED, Recorder
from worker.flush.step_group import run_step_group
from worker.flush.step_result import EXPECTED, Halted, StepResult
from worker.mailchimp.answers import AnswerClass, ClassifiedAnswer
from worker.mailchimp.sender import RetryingSender, call_threads
from worker.model import AccountId, ListId, MembershipKey
from worker.plan.related_customers import RelatedCustomers
from worker.plan.steps import Add, Plan, Step, StepGroup, Target, Update, customers_of
from worker.sqlite.database import Database
from worker.sqlite.rows import Rows
from worker.store import accounts, customers, held_counts, ledger, marking, update_intents
from worker.store.accounts import AccountSettings
from worker.store.held_counts import HeldCount
from worker.store.run_result import RunResult
from worker.store.runs import AccountRun
from worker.store.update_intents import UpdateIntent
from worker.system.process_exit import CALL_THREADS

log = logging.getLogger("worker.flush")

GRACE_SECONDS = 4.0
"""How long to wait for calls in flight when the worker must end."""
LOOK_SECONDS = 0.5
"""How often to check whether it must."""
PAGES_A_TURN = 10
"""Full pages of members that an account reads in one turn: some seconds, as a chunk of customers takes."""

Task = Callable[[], Iterable[Step]]
"""Runs on a thread; returns steps to run one by one afterwards."""


def deliver(db: Database, settings: AccountSettings, sender: RetryingSender, request: DeliveryRequest) -> AccountRun:
    """Delivers the changes of one account, whose settings are complete.

    Args:
        db: a connection used only by this thread. If shared with writers, it could wait inside SQLite for one of their
            transactions, and the whole process with it.

    Returns:
        The result; its message says why it ended early, or what was held back.
    """
    config, permission = request.config, request.permission
    with contextlib.closing(config.open()) as reader:
        recorder = Recorder(reader, request, settings)
        if recorder.to_do or request.reads_members or any(stored_list.gone for stored_list in settings.stored):
            try:
                with contextlib.suppress(Halted):
                    _Execution(db, settings, GuardedSender(sender, recorder), recorder, request).run()
            finally:
                recorder.shut()
            if not permission.may_continue():
                recorder.stop()
            elif permission.erased(reader):
                recorder.fail(ERASED)
            elif not permission.unchanged():
                recorder.stop("the account's settings were changed; the next flush uses the new ones")
        return recorder.part()


class _Execution(AccountFlush):
    def __init__(
        self,
        db: Database,
        settings: AccountSettings,
        sender: GuardedSender,
        recorder: Recorder,
        request: DeliveryRequest,
    ) -> None:
        super().__init__(db, settings, sender, request.inputs, request.config.stop.wait)
        self.guarded = sender
        self.recorder = recorder
        self.request = request
        self.strategies: dict[ListId, AddStrategy] = {}
        self.writer = PageWriter(
            db, settings.account_id, request.config.clock, request.inputs.strangers, recorder.write
        )
        self.full_pages = 0
        self.lists_back = False

    def run(self) -> None:
        request, recorder, account_id = self.request, self.recorder, self.settings.account_id
        if update_intents.of_account(self.db, account_id):
            recorder.write(partial(_doubt_updates, account_id=account_id))
        prepared = self.prepare(every_list=request.reads_members)
        if not request.delivers:
            for list_id, why in sorted(self.readings.not_read().items()):
                recorder.end(f"List {list_id} could not be read: {why}. Try again later.", RunResult.FAILED)
            return
        recorder.notices = self.operator_notices(prepared.brake if prepared is not None else None)
        if prepared is None:
            return
        seen = 0
        for related, plan in self.chunks(prepared):
            seen += sum(customer.changed for customer in related.changed.values())
            recorder.to_do = max(recorder.to_do, seen)  # some may have come in since they were counted
            self._deliver_chunk(prepared, related, plan)
            if seen < recorder.to_do:
                request.next_turn()  # wait for it before reading the next chunk
        recorder.notices = self.operator_notices(prepared.brake)
        part = recorder.part()
        if self.readings.not_read() and part.settled < part.to_do:
            # Failed, so that it is tried again.
            recorder.end("Customers wait, and who left a list could not be read.", RunResult.FAILED)
        self._store_held_counts(prepared.brake)

    # Before the first chunk

    def any_to_deliver(self) -> bool:
        if self.request.delivers and (self.writer.reopened or self.lists_back):
            self.recorder.to_do = customers.changed_count(self.db, self.settings.account_id)
        return bool(self.recorder.to_do)

    def may_continue(self) -> bool:
        return self.recorder.may_call()

    def on_page(self, page: Page) -> None:
        self.writer.write_page(page)
        if page.is_full:
            self._count_page()  # how far the reading is has been written

    def _count_page(self) -> None:
        self.full_pages += 1
        if not self.full_pages % PAGES_A_TURN:
            self.request.next_turn()

    def on_list_back(self, list_id: ListId) -> None:
        account_id, at = self.settings.account_id, self.request.config.clock()

        def write(db: Database) -> Rows:
            rows = accounts.mark_list_back(db, account_id, list_id, at)
            return [*rows, *marking.mark_changed(db, account_id, None).rows]

        self.recorder.write(write)
        marking.mark_the_rest(self.db, account_id=account_id)
        log.info("a list is back in Mailchimp", extra={"account": account_id, "run": self.request.run, "list": list_id})
        self.lists_back = True
        self._load_settings()

    def _load_settings(self) -> None:
        settings = accounts.find(self.db, self.settings.account_id)
        if settings is None:  # it has just been erased
            raise Halted
        self.settings = settings

    def on_list_refused(self, list_id: ListId, classified: ClassifiedAnswer) -> None:
        result = StepResult(self.request.run, self.settings.account_id, self.request.config.clock)
        if classified.kind is AnswerClass.NOT_THERE:
            result.closed.gone_lists.add(list_id)
        elif classified.kind is AnswerClass.ACCOUNT_STOPPED:
            result.closed.account = classified.title
        else:
            self.recorder.fail(f"Mailchimp gave no useful answer: {classified.title}.")
        self.recorder.commit(result)
        self._load_settings()
        if lacking := missing(self.settings):
            self.recorder.end(lacking[0].message, ended_by_missing(lacking))

    def on_fault(self, part: RelatedCustomers, error: Exception) -> None:
        result = StepResult(self.request.run, self.settings.account_id, self.request.config.clock)
        targets = [Target(customer, None) for customer in part.changed.values()]
        result.note_fault(targets, None, error)
        self.recorder.commit(result)

    def confirmed(self) -> Sequence[HeldCount]:
        # Used up at once: a confirmation is for one run.
        account_id = self.settings.account_id
        chosen = confirmed_of(self.settings)
        if chosen:
            self.recorder.write(lambda db: accounts.take_confirmed(db, account_id))
        if self.request.confirmed_at is None:
            return chosen
        now = self.request.config.clock()
        shown = held_counts.confirmed_counts(self.db, account_id, as_moment(self.request.confirmed_at), now)
        self._write_locally(held_counts.delete_account)
        return [*chosen, *shown]

    def _store_held_counts(self, brake: Brake) -> None:
        counts = [HeldCount(list_id, "departures", count) for list_id, count in brake.to_confirm.items()]
        counts += [HeldCount(list_id, "moves", count) for list_id, count in brake.held_moves.items()]
        for held_count in counts:
            facts = {"account": self.settings.account_id, "run": self.request.run, "list": held_count.list_id}
            log.warning(
                "the brake holds %s of a list",
                held_count.kind,
                extra={**facts, "what": held_count.kind, "count": held_count.count},
            )
        at = as_text(self.request.config.clock())
        self._write_locally(lambda db, account_id: held_counts.show(db, account_id, counts, at))

    # One chunk

    def _deliver_chunk(self, prepared: Prepared, related: RelatedCustomers, plan: Plan) -> None:
        context = StepContext(
            self.request,
            self.guarded,
            self.recorder,
            prepared.inputs.settings,
            prepared.brake,
            related.customer_statuses,
        )
        unchanged = any(not target.customer.changed for step in plan.steps() for target in step.targets)
        if plan.no_calls or unchanged:
            self.recorder.commit(not_sent.customers_without_call(context, plan))
        tasks: list[Task] = [partial(self._run_group, context, step_group) for step_group in plan.step_groups]
        added = list(batches(plan.adds))
        self._choose_strategies(dict.fromkeys(batch[0].membership.list_id for batch in added), prepared.adds)
        for batch in added:
            tasks += self._add_tasks(context, batch)
        updates, at = [step for step in plan.steps() if isinstance(step, Update)], as_text(self.request.config.clock())
        if updates:
            self._write_locally(lambda db, account_id: _note_updates(db, account_id, updates, at))
        config = self.request.config
        executor = ThreadPoolExecutor(
            call_threads(len(tasks), config.connections), f"{CALL_THREADS} {self.settings.account_id}"
        )
        run_tasks(executor, tasks, partial(self._run_step, context), config.stop)
        self.recorder.wait()
        if updates:
            self._write_locally(update_intents.clear)

    def _write_locally(self, write: Callable[[Database, AccountId], None]) -> None:
        with self.db.transaction():
            if self.request.permission.erased(self.db):
                raise Halted
            write(self.db, self.settings.account_id)

    def _run_group(self, context: StepContext, step_group: StepGroup) -> Iterable[Step]:
        # Its first step begins with a call, which checks the settings too.
        if self.recorder.may_continue():
            free, held_steps = context.brake.admit(step_group)
            if free:
                run_step_group(context, free, customers_of(held_steps))
            if held_steps and self.recorder.may_call():
                # Last, since this is why its customers still wait.
                self.recorder.commit(not_sent.braked_steps(context, held_steps))
        return ()

    def _run_step(self, context: StepContext, step: Step) -> Iterable[Step]:
        if self.recorder.may_call():
            run_step_group(context, (step,))
        return ()

    def _choose_strategies(self, list_ids: Iterable[ListId], adds: Mapping[ListId, int]) -> None:
        for list_id in list_ids:
            if list_id not in self.strategies and self.recorder.may_call():
                count, bulk_add_above = adds.get(list_id, 0), self.request.inputs.bulk_add_above
                chosen = choose_strategy(self.sender, list_id, count, bulk_add_above, self._count_page)
                self.strategies[list_id] = chosen

    def _add_tasks(self, context: StepContext, batch: Sequence[Add]) -> list[Task]:
        strategy = self.strategies.get(batch[0].membership.list_id)
        if strategy is None:
            return []
        if strategy.refusal is not None:
            self.recorder.commit(not_sent.refused_adds(context, batch, strategy))
            return []
        alone, together = split_adds(batch, strategy)
        tasks: list[Task] = [partial(self._run_step, context, add) for add in alone]
        return [*tasks, partial(self._add_batch, context, together, strategy)] if together else tasks

    def _add_batch(self, context: StepContext, batch: Sequence[Add], strategy: AddStrategy) -> Iterable[Step]:
        list_id = batch[0].membership.list_id
        if not self.recorder.may_call() or list_id in self.recorder.closed_lists:
            return ()
        written: set[MembershipKey] = set()

        def commit(result: StepResult) -> None:
            self.recorder.commit(result)
            written.update(entry.membership for entry in result.entries)

        together = bulk_add.Batch(context, commit, strategy)
        try:
            return together.add(batch)
        except EXPECTED:
            raise
        except Exception:
            # This worker cannot handle one of them; adding them one by one shows which.
            who, count = context.settings.account_id, len(batch)
            facts = {"account": who, "run": self.request.run, "list": list_id, "count": count}
            log.exception("account %s: an add of %d contacts failed", who, count, extra=facts)
            left = (add for add in batch if add.membership not in written)
            return [replace(add, entry=together.intended.get(add.membership, add.entry)) for add in left]


def run_tasks(executor: Executor, tasks: Iterable[Task], alone: Callable[[Step], Iterable[Step]], stop: Stop) -> None:
    """Runs tasks, and the steps that they return, until all have ended; then shuts the executor down.

    If the worker must stop, it returns early: calls in flight may take minutes, and the next flush finds out what they
    did.

    Args:
        alone: runs one of these steps.

    Raises:
        Exception: the first that a task raised, except Halted; no task begins after it.
    """
    futures, errors = list[Future[None]](), list[BaseException]()

    def run(task: Task) -> None:
        try:
            steps = () if errors else task()
        except Halted:
            return
        except BaseException as error:
            errors.append(error)
            return
        # Appended before this task ends, so that there are futures until all have ended.
        futures.extend(executor.submit(run, partial(alone, step)) for step in steps)

    try:
        futures.extend(executor.submit(run, task) for task in tasks)
    except RuntimeError as error:  # no thread could be started
        errors.append(error)
    while futures and not stop.is_set():
        last = futures.pop()  # the others have mostly ended when it does
        try:
            last.result(LOOK_SECONDS)
        except TimeoutError:
            futures.append(last)
        except RuntimeError as error:  # no thread could be started for a step that follows
            errors.append(error)
    executor.shutdown(wait=not futures, cancel_futures=True)
    # Calls in flight get a moment more, so that their results are known.
    wait([future for future in futures if not future.cancelled()], GRACE_SECONDS)
    if errors:
        raise errors[0]


# Updates that a dead process may have sent


def _note_updates(db: Database, account_id: AccountId, updates: Iterable[Update], at: str) -> None:
    """Stores which fields updates are about to send, in a transaction that is committed before the first call.

    Not stored in Kafka, unlike intents: another worker that takes over from a dead one does not know of them.
    """
    begun = [
        UpdateIntent(update.entry.customer_id, update.membership.list_id, list(update.changes), at)
        for update in updates
    ]
    update_intents.note(db, account_id, begun)


def _doubt_updates(db: Database, account_id: AccountId) -> Rows:
    """Records in the ledger that updates of a dead process may have been done, in the caller's transaction."""
    begun = {(intent.customer_id, intent.list_id): intent for intent in update_intents.of_account(db, account_id)}
    doubtful = []
    for entry in ledger.owned_by(db, account_id, {intent.customer_id for intent in begun.values()}):
        update = begun.get((entry.customer_id, entry.membership.list_id))
        if update is not None and entry.sent_at < update.begun_at:  # otherwise its answer is known
            doubtful.append(replace(entry, fields=not_sure(entry.fields, update.fields)))
    update_intents.clear(db, account_id)
    return ledger.put_entries(db, account_id, doubtful)
