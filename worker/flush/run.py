"""Flushes every account that has something to deliver, several at once and independently."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from queue import Empty, SimpleQueue

from worker.changelog.commit import Changelog
from worker.clock import Clock, as_text
from worker.errors import RequestWithdrawn, WorkerError
from worker.flush.account_runner import AccountRunner
from worker.flush.commit_queue import CommitQueue
from worker.flush.delivery import DeliveryConfig
from worker.flush.eligibility import Eligibility
from worker.flush.failed_runs import FailedRuns
from worker.flush.schedule import takes_part
from worker.flush.turns import Capacity, QueuedAccount, Turns, start_delay
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.store import accounts, customers, forgotten, marking, runs
from worker.store.accounts import AccountSettings
from worker.store.run_result import RunResult, worst
from worker.store.runs import AccountRun, Request, Run, Trigger

log = logging.getLogger("worker.flush")

CHECK_SECONDS = 0.1
"""How often a run checks whether one of its accounts may start, or whether it must end."""


@dataclass(slots=True, eq=False)
class Flusher:
    """Carries out flushes, several at once. One per process, so that accounts of all runs take turns.

    Attributes:
        changelog: commits changes of ledger or settings.
        failed: runs that an error ended and that are not recorded as ended yet.
        accounts_at_once: how many large accounts are delivered in parallel: see :class:`worker.flush.turns.Capacity`.
        spread: seconds within which the accounts of a daily flush start, each at its own time.
    """

    config: DeliveryConfig
    changelog: Changelog
    accounts_at_once: int
    spread: float = 0.0
    turns: Turns = field(init=False)
    failed: FailedRuns = field(init=False)
    _commits: _SharedCommits = field(init=False)

    def __post_init__(self) -> None:
        config = self.config
        self.failed = FailedRuns(config.clock)
        capacity = Capacity(self.accounts_at_once, config.connections)
        self.turns = Turns(capacity, config.stop, config.data_centres.silent)
        self._commits = _SharedCommits(self.config, self.changelog, self.failed)

    def flush(
        self,
        trigger: Trigger,
        prepare: Callable[[Database], Eligibility],
        request: Request | None = None,
        only: Collection[AccountId] | None = None,
        flush_time: datetime | None = None,
        begun: Callable[[], object] = lambda: None,
    ) -> Run:
        """Flushes all accounts, or the one that an operator requested.

        An account that another run is flushing waits for that to end.

        Args:
            prepare: does what comes first, and returns whose accounts may be delivered. Called once the run has begun,
                so that an error ends the run and the command that waits for it.
            request: the operator's request; None for all accounts, with the brake.
            only: accounts that are due, or are retried; None for all.
            flush_time: of the daily flush, which omits accounts enabled later; None for a flush now.
            begun: called once all accounts of the run are queued.

        Returns:
            The run as it ended.

        Raises:
            DatabaseError: the database cannot be used.
            RequestWithdrawn: nothing was started.
        """
        account_id = request.account_id if request is not None else None
        with closing(self.config.open()) as db, self._commits.queue(db) as queue:
            with db.transaction():
                run = runs.start(db, as_text(self.config.clock()), trigger, account_id)
                if request is not None and not runs.take(db, request.request, run):
                    raise RequestWithdrawn("The request for this flush was withdrawn.", "Ask for another.")
            account_runs = list[AccountRun]()
            try:
                eligibility = prepare(db)
                marking.mark_the_rest(db)
                chosen = self._choose_accounts(db, trigger, account_id, only, flush_time)
                self._store_as_unfinished(db, run, chosen)
                kind = "read-back" if trigger == "read back" else "flush"
                log.info("a %s begins", kind, extra={"run": run, "trigger": trigger, "accounts": len(chosen)})
                runner = AccountRunner(self.config, run, trigger, eligibility, request, queue)
                self._deliver(runner, chosen, flush_time if trigger == "daily" else None, begun, account_runs)
                with db.transaction():
                    early = RunResult.STOPPED if self.config.stop.is_set() else RunResult.DONE
                    result = worst([early, *(account_run.ended for account_run in account_runs)])
                    runs.end(db, run, as_text(self.config.clock()), result)
                ended_run = runs.get(db, run)
            except BaseException as error:
                # Nothing may wait for a run that has ended: neither its accounts nor the command that requested it.
                self.turns.withdraw(run)
                self.failed.add(run, trigger, account_id, error, account_runs)
                with suppress(WorkerError):
                    self.failed.record(db)
                raise
        assert ended_run is not None, "the run was just written"
        return ended_run

    def _deliver(
        self,
        runner: AccountRunner,
        chosen: Sequence[tuple[AccountSettings, int]],
        spread_from: datetime | None,
        begun: Callable[[], object],
        account_runs: list[AccountRun],
    ) -> None:
        """Queues the accounts of a run, and waits until all have ended.

        Args:
            account_runs: gets the part of each account that ended, also if this raises.
            spread_from: each account starts at its own time after this; None for at once, as a person's request does.
        """
        ended = SimpleQueue[AccountRun | BaseException]()
        waiting = {account.account_id for account, _ in chosen}
        passed = self.spread
        if spread_from is not None:  # in the future if the clock was set back
            passed = max(0.0, (self.config.clock() - spread_from).total_seconds())
        for account, size in chosen:
            queued = QueuedAccount(
                account.account_id,
                runner.run,
                requested=runner.for_one_account,
                size=size,
                data_centre=account.data_centre,
            )
            delay = start_delay(account.account_id, self.spread) - passed
            self.turns.put(queued, partial(self._start_thread, runner, waiting, ended), delay)
        begun()
        self._wait_for(runner.run, len(chosen), waiting, ended, account_runs)

    def _choose_accounts(
        self,
        db: Database,
        trigger: Trigger,
        account_id: AccountId | None,
        only: Collection[AccountId] | None,
        flush_time: datetime | None,
    ) -> list[tuple[AccountSettings, int]]:
        """Returns the accounts of a run, with how many changed customers each has."""
        waiting, now = customers.accounts_with_changes(db), self.config.clock()
        chosen = [
            (account, waiting.get(account.account_id, 0))
            for account in accounts.all_accounts(db)
            if account_id in (None, account.account_id)
            and (only is None or account.account_id in only)
            and (flush_time is None or takes_part(account.enabled_at, flush_time, now))
        ]
        changed = [(account, size) for account, size in chosen if size or _any_gone(account)]
        if trigger == "retry":
            with db.transaction():
                for who in set(only or ()) - {account.account_id for account, _ in changed}:
                    runs.account_given_up(db, who)
        if trigger == "read back":
            return [(account, 0) for account, _ in chosen]
        # For unchanged accounts only members are read.
        return chosen if trigger in ("daily", "once") else changed

    def _store_as_unfinished(self, db: Database, run: int, chosen: Sequence[tuple[AccountSettings, int]]) -> None:
        # As it would be found after a crash.
        with db.transaction():
            there = accounts.all_ids(db)
            for account, size in chosen:
                if size and account.account_id in there:
                    runs.put_account(db, run, AccountRun(account.account_id, {}, size, 0, RunResult.STOPPED))

    def _start_thread(
        self,
        runner: AccountRunner,
        waiting: set[AccountId],
        ended: SimpleQueue[AccountRun | BaseException],
        queued: QueuedAccount,
    ) -> None:
        waiting.discard(queued.account_id)
        name = f"account {queued.account_id}"
        thread = threading.Thread(target=self._run_account, args=(runner, ended, queued), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # this machine has no more threads
            self.turns.leave(queued)
            ended.put(error)

    def _run_account(
        self, runner: AccountRunner, ended: SimpleQueue[AccountRun | BaseException], queued: QueuedAccount
    ) -> None:
        def next_turn() -> None:
            nonlocal queued
            queued = self.turns.next_turn(queued)

        try:
            ended.put(runner.run_account(queued.account_id, next_turn))
        except BaseException as error:
            ended.put(error)
        finally:
            self.turns.end(queued)

    def _wait_for(
        self,
        run: int,
        left: int,
        waiting: set[AccountId],
        ended: SimpleQueue[AccountRun | BaseException],
        account_runs: list[AccountRun],
    ) -> None:
        errors = list[BaseException]()
        while left:
            if waiting:
                self.turns.start_turns()
            if self.config.stop.is_set() or errors:
                left -= self.turns.withdraw(run)
            try:
                result = ended.get(timeout=CHECK_SECONDS)
            except Empty:
                continue
            left -= 1
            account_runs += [result] if isinstance(result, AccountRun) else []
            errors += [result] if isinstance(result, BaseException) else []
        if errors:
            raise errors[0]


class _SharedCommits:
    """The one queue that commits what all runs of a process write, while any is running."""

    def __init__(self, config: DeliveryConfig, changelog: Changelog, failed: FailedRuns) -> None:
        self._config = config
        self._changelog = changelog
        self._failed = failed
        self._lock = threading.Lock()
        self._queue: CommitQueue | None = None
        self._runs = 0

    @contextmanager
    def queue(self, db: Database) -> Iterator[CommitQueue]:
        """Yields the queue to one run."""
        with self._lock:
            if self._queue is None:
                self._failed.record(db)  # which were not left by a dead process
                end_left(db, self._config.clock)
                self._queue = CommitQueue(self._config.open(), self._changelog).__enter__()
            self._runs += 1
            queue = self._queue
        try:
            yield queue
        finally:
            with self._lock:
                self._runs -= 1
                last = not self._runs
                self._queue = None if last else self._queue
            if last:
                queue.__exit__(None, None, None)


def end_left(db: Database, clock: Clock) -> None:
    """Ends the runs of a dead process. Call it only with the database lock."""
    with db.transaction():
        forgotten.end_all_counting(db)
        if left := runs.end_left(db, as_text(clock())):
            log.info("%d runs had not ended; they were stopped", left, extra={"count": left})


def to_deliver(db: Database) -> Sequence[AccountSettings]:
    """Returns the settings of accounts with changed customers or gone lists, those with the fewest customers first.

    Customers of accounts without settings wait, and are counted by status.
    """
    waiting = customers.accounts_with_changes(db)
    chosen = [account for account in accounts.all_accounts(db) if waiting.get(account.account_id) or _any_gone(account)]
    return sorted(chosen, key=lambda account: (waiting.get(account.account_id, 0), account.account_id))


def _any_gone(account: AccountSettings) -> bool:
    # Whether a call shows that a stored list is back, so that there may be something to deliver.
    return account.enabled and any(stored_list.gone for stored_list in account.stored)
