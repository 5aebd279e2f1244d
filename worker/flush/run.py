"""Flushes every account that has something to deliver, several at once and independently."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
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


ChosenAccount = tuple[AccountSettings, int]
"""An account of a run, with how many changed customers it has."""


@dataclass(frozen=True, slots=True)
class Participants:
    """Which accounts a run delivers.

    Attributes:
        only: these; None for all.
        flush_time: of the daily flush, which omits accounts enabled later; None for a flush now.
    """

    only: Collection[AccountId] | None = None
    flush_time: datetime | None = None

    def include(self, settings: AccountSettings, now: datetime) -> bool:
        """Returns whether an account takes part."""
        due = self.flush_time is None or takes_part(settings.enabled_at, self.flush_time, now)
        return due and (self.only is None or settings.account_id in self.only)


EVERY_ACCOUNT = Participants()


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
        participants: Participants = EVERY_ACCOUNT,
        begun: Callable[[], object] = lambda: None,
    ) -> Run:
        """Flushes all accounts, or the one that an operator requested.

        An account that another run is flushing waits for that to end.

        Args:
            prepare: does what comes first, and returns whose accounts may be delivered. Called once the run has begun,
                so that an error ends the run and the command that waits for it.
            request: the operator's request; None for all accounts, with the brake.
            participants: the accounts that are due, or are retried.
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
            parts = list[AccountRun]()
            try:
                runner = AccountRunner(self.config, run, trigger, prepare(db), request, queue)
                marking.mark_the_rest(db)
                chosen = self._choose_accounts(db, runner, participants)
                self._store_as_unfinished(db, run, chosen)
                kind = "read-back" if trigger == "read back" else "flush"
                log.info("a %s begins", kind, extra={"run": run, "trigger": trigger, "accounts": len(chosen)})
                accounts_of_run = _AccountsOfRun(runner, self.turns, parts)
                self._queue(accounts_of_run, chosen, participants.flush_time if trigger == "daily" else None)
                begun()
                accounts_of_run.wait()
                with db.transaction():
                    early = RunResult.STOPPED if self.config.stop.is_set() else RunResult.DONE
                    result = worst([early, *(part.ended for part in parts)])
                    runs.end(db, run, as_text(self.config.clock()), result)
                ended_run = runs.get(db, run)
            except BaseException as error:
                # Nothing may wait for a run that has ended: neither its accounts nor the command that requested it.
                self.turns.withdraw(run)
                self.failed.add(run, trigger, account_id, error, parts)
                with suppress(WorkerError):
                    self.failed.record(db)
                raise
        assert ended_run is not None, "the run was just written"
        return ended_run

    def _queue(
        self, accounts_of_run: _AccountsOfRun, chosen: Sequence[ChosenAccount], spread_from: datetime | None
    ) -> None:
        """Queues the accounts of a run.

        Args:
            spread_from: each account starts at its own time after this; None for at once, as a person's request does.
        """
        passed = self.spread
        if spread_from is not None:  # in the future if the clock was set back
            passed = max(0.0, (self.config.clock() - spread_from).total_seconds())
        for account, size in chosen:
            accounts_of_run.queue(account, size, start_delay(account.account_id, self.spread) - passed)

    def _choose_accounts(self, db: Database, runner: AccountRunner, participants: Participants) -> list[ChosenAccount]:
        waiting, now, trigger = customers.accounts_with_changes(db), self.config.clock(), runner.trigger
        account_id = runner.request.account_id if runner.request is not None else None
        chosen = [
            (account, waiting.get(account.account_id, 0))
            for account in accounts.all_accounts(db)
            if account_id in (None, account.account_id) and participants.include(account, now)
        ]
        changed = [(account, size) for account, size in chosen if size or _any_gone(account)]
        if trigger == "retry":
            with db.transaction():
                for who in set(participants.only or ()) - {account.account_id for account, _ in changed}:
                    runs.account_given_up(db, who)
        if trigger == "read back":
            return [(account, 0) for account, _ in chosen]
        # For unchanged accounts only members are read; of the one that was requested, it is seen whose it is.
        return chosen if trigger in ("daily", "once") or account_id is not None else changed

    def _store_as_unfinished(self, db: Database, run: int, chosen: Sequence[ChosenAccount]) -> None:
        # As it would be found after a crash.
        with db.transaction():
            there = accounts.all_ids(db)
            for account, size in chosen:
                if size and account.account_id in there:
                    runs.put_account(db, run, AccountRun(account.account_id, {}, size, 0, RunResult.STOPPED))


class _AccountsOfRun:
    """The accounts of one run: each waits for its turn, and then has a thread."""

    def __init__(self, runner: AccountRunner, turns: Turns, parts: list[AccountRun]) -> None:
        """Queues no account yet.

        Args:
            parts: gets the part of each account that ended.
        """
        self._runner = runner
        self._turns = turns
        self._left = 0
        self._waiting: set[AccountId] = set()
        self._ended = SimpleQueue[AccountRun | BaseException]()
        self._parts = parts

    def queue(self, settings: AccountSettings, size: int, delay: float) -> None:
        """Queues an account.

        Args:
            size: changed customers.
            delay: seconds that it waits at least.
        """
        runner, who = self._runner, settings.account_id
        requested, data_centre = runner.for_one_account, settings.data_centre
        queued = QueuedAccount(who, runner.run, requested=requested, size=size, data_centre=data_centre)
        self._left += 1
        self._waiting.add(who)
        self._turns.put(queued, self._start_thread, delay)

    def wait(self) -> None:
        """Starts the accounts' turns, and waits until all have ended.

        Raises:
            BaseException: the first error that ended an account; those that had no turn yet are given up.
        """
        errors = list[BaseException]()
        while self._left:
            if self._waiting:
                self._turns.start_turns()
            if self._runner.config.stop.is_set() or errors:
                self._left -= self._turns.withdraw(self._runner.run)
            try:
                result = self._ended.get(timeout=CHECK_SECONDS)
            except Empty:
                continue
            self._left -= 1
            self._parts += [result] if isinstance(result, AccountRun) else []
            errors += [result] if isinstance(result, BaseException) else []
        if errors:
            raise errors[0]

    def _start_thread(self, queued: QueuedAccount) -> None:
        self._waiting.discard(queued.account_id)
        name = f"account {queued.account_id}"
        thread = threading.Thread(target=self._run_account, args=(queued,), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # this machine has no more threads
            self._turns.leave(queued)
            self._ended.put(error)

    def _run_account(self, queued: QueuedAccount) -> None:
        def next_turn() -> None:
            nonlocal queued
            queued = self._turns.next_turn(queued)

        try:
            self._ended.put(self._runner.run_account(queued.account_id, next_turn))
        except BaseException as error:
            self._ended.put(error)
        finally:
            self._turns.end(queued)


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
