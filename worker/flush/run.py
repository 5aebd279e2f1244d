"""One flush: every account that has something to deliver, several at once, each on its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol

from worker.accounts.settings import end_of_missing, missing
from worker.changelog.commit import Changelog
from worker.clock import Clock, as_text
from worker.ended import Ended, worst
from worker.errors import RequestWithdrawn, WorkerError
from worker.flush.commit_queue import CommitQueue
from worker.flush.eligibility import Refused
from worker.flush.execute import Orders, deliver
from worker.flush.schedule import takes_part
from worker.flush.settings_watch import SettingsWatch
from worker.mailchimp.rate_limit import Stop
from worker.mailchimp.retry import RetryingSender
from worker.metrics import Metrics
from worker.model import AccountId
from worker.store import accounts, customers, erasure, runs
from worker.store.accounts import AccountSettings
from worker.store.database import Database
from worker.store.forgotten import Departed
from worker.store.runs import AccountRun, Request, Run, Trigger

log = logging.getLogger("worker.flush")


class Eligibility(Protocol):
    """Tells whose customers may be delivered: those whose partition is this worker's, and read to its end."""

    def why_not(self, account_id: AccountId) -> Refused | None:
        """Returns why nothing may be delivered for an account now; None where it may."""
        ...

    def may_call(self, account_id: AccountId) -> bool:
        """Tells whether a call for the account may still be begun."""
        ...


@dataclass(frozen=True, slots=True)
class _NoMore:
    """Stops calls that wait, for their turn or to be tried again: as soon as they may not be made any more."""

    stop: Stop
    eligibility: Eligibility
    account_id: AccountId
    watch: SettingsWatch

    def is_set(self) -> bool:
        return self.stop.is_set() or not self.eligibility.may_call(self.account_id) or not self.watch.hold()

    def wait(self, timeout: float) -> bool:
        return self.stop.wait(timeout) or self.is_set()


@dataclass(frozen=True, slots=True)
class Flusher:
    """Carries out flushes.

    Attributes:
        open_database: opens a connection for one thread.
        changelog: commits what changes ledger or settings.
        open_sender: opens what sends an account's calls; the stop ends their waiting.
        departed_of: returns who left lists of an account and was erased since.
        accounts_at_once: how many accounts are delivered side by side.
        bulk_add_above: contacts added one by one to a list that has archived members; more are added together.
        state_if_missing: what is sent as the state of an address without one; empty leaves the address out.
        connections: calls in flight an API key, and threads an account.
        stop: set when the worker must end.
    """

    open_database: Callable[[], Database]
    changelog: Changelog
    open_sender: Callable[[Database, AccountId, Stop], AbstractContextManager[RetryingSender]]
    departed_of: Callable[[Database, AccountId], Departed]
    accounts_at_once: int
    bulk_add_above: int
    state_if_missing: str
    connections: int
    clock: Clock
    stop: Stop
    metrics: Metrics

    def flush(
        self,
        trigger: Trigger,
        eligibility: Eligibility,
        request: Request | None = None,
        only: Collection[AccountId] | None = None,
        flush_time: datetime | None = None,
    ) -> Run:
        """Flushes all accounts, or the one that an operator asked for.

        Args:
            trigger: what started it.
            eligibility: whose customers may be delivered.
            request: what an operator asked for; None for all accounts, braked.
            only: accounts that failed and are tried again; None for all.
            flush_time: of the daily flush, which leaves out accounts that were enabled since; None for a flush now.

        Returns:
            The run as it ended.

        Raises:
            DatabaseError: the database cannot be used.
            RequestWithdrawn: nothing was begun.
        """
        account_id = request.account_id if request is not None else None
        with closing(self._open()) as db:
            customers.mark_the_rest(db)
            with db.transaction():
                known = erasure.begin(db)
                run = runs.start(db, as_text(self.clock()), trigger, account_id)
                if request is not None and not runs.take(db, request.request, run):
                    raise RequestWithdrawn("The request for this flush was withdrawn.", "Ask for another.")
            if flush_time is not None:
                chosen, now = accounts.all_accounts(db), self.clock()
                known &= {one.account_id for one in chosen if takes_part(one.enabled_at, flush_time, now)}
            todo = [one for one in to_deliver(db) if one.account_id in known and account_id in (None, one.account_id)]
            if only is not None:
                self._drop_retries(db, set(only) - {one.account_id for one in todo})
                todo = [one for one in todo if one.account_id in only]
            # Unchanged ones last: nobody waits for these.
            unchanged = _unchanged(db, known, todo) if trigger in ("daily", "once") else []
            for one in todo:
                # As it is found after a crash.
                first = AccountRun(one.account_id, {}, customers.changed_count(db, one.account_id), 0, Ended.STOPPED)
                with db.transaction():
                    if not erasure.is_whole(db, one.account_id):
                        runs.put_account(db, run, first)
            log.info("a flush begins", extra={"run": run, "trigger": trigger, "accounts": len(todo)})
            pool = ThreadPoolExecutor(self.accounts_at_once, thread_name_prefix="account")
            with CommitQueue(self._open(), self.changelog) as queue:
                try:
                    work = partial(self._account, run, trigger, eligibility, request, queue)
                    parts = list(pool.map(work, [*todo, *unchanged]))
                finally:
                    pool.shutdown(wait=not self.stop.is_set(), cancel_futures=True)
            with db.transaction():
                erasure.end(db)
                early = Ended.STOPPED if self.stop.is_set() else Ended.DONE
                runs.end(db, run, as_text(self.clock()), worst([early, *(part.ended for part in parts)]))
            result = runs.get(db, run)
        assert result is not None, "the run was just written"
        return result

    def _open(self) -> Database:
        db = self.open_database()
        db.must_end = self.stop.is_set
        return db

    def _drop_retries(self, db: Database, accounts: Collection[AccountId]) -> None:
        with db.transaction():
            for one in accounts:
                runs.account_given_up(db, one)

    def _account(
        self,
        run: int,
        trigger: Trigger,
        eligibility: Eligibility,
        request: Request | None,
        queue: CommitQueue,
        settings: AccountSettings,
    ) -> AccountRun:
        who, began = settings.account_id, self.clock()
        confirmed = request is not None and request.confirmed
        with closing(self._open()) as db:
            try:
                alone = request is not None and request.account_id is not None
                how = {"confirmed": confirmed, "alone": alone, "reads": trigger != "command"}
                part = self._deliver(db, run, settings, eligibility, queue, **how)
            except WorkerError as error:
                part = self._failed(db, who, f"{error.what} {error.advice}")
            except Exception:
                # A fault of this worker with one account's data must not keep the others waiting.
                log.exception("account %s could not be flushed", who, extra={"account": who, "run": run})
                part = self._failed(db, who, "An internal error of the worker ended it; see the log.")
            if not part.to_do and part.ended is Ended.DONE and not part.message:
                return part
            with db.transaction():
                if erasure.is_whole(db, who):
                    return AccountRun(who, {}, 0)
                runs.put_account(db, run, part)
                if part.ended not in (Ended.STOPPED, Ended.FAILED):
                    runs.account_done(db, who, as_text(began))
                elif part.failed and (request is None or request.account_id is None):
                    # Of a flush of one account the operator sees the result, and decides.
                    runs.account_failed(db, who, as_text(self.clock()), again=trigger == "retry")
        _log_end(run, part, (self.clock() - began).total_seconds())
        return part

    def _deliver(
        self,
        db: Database,
        run: int,
        settings: AccountSettings,
        eligibility: Eligibility,
        queue: CommitQueue,
        *,
        confirmed: bool,
        alone: bool,
        reads: bool,
    ) -> AccountRun:
        who = settings.account_id
        to_do = customers.changed_count(db, who)
        lacking = missing(settings)
        refused = Refused(lacking[0].what, end_of_missing(lacking)) if lacking else eligibility.why_not(who)
        if refused is not None and not to_do:
            return AccountRun(who, {}, to_do)
        if refused is not None:
            # Who asks for this one account at the wrong worker does not get what was asked for.
            left = alone and not lacking and refused.end is Ended.DONE
            return AccountRun(who, {}, to_do, ended=Ended.INCOMPLETE if left else refused.end, message=refused.reason)
        if self.stop.is_set():
            return AccountRun(who, {}, to_do, ended=Ended.STOPPED)
        # Before the key is read: a change from here on is seen.
        with (
            closing(SettingsWatch(self._open, settings)) as watch,
            self.open_sender(db, who, _NoMore(self.stop, eligibility, who, watch)) as sender,
        ):
            orders = Orders(
                run=run,
                confirmed=confirmed,
                reads_departures=reads,
                bulk_add_above=self.bulk_add_above,
                state_if_missing=self.state_if_missing,
                connections=self.connections,
                clock=self.clock,
                stop=self.stop,
                may_call=lambda: not self.stop.is_set() and eligibility.may_call(who),
                ours=lambda: eligibility.may_call(who),
                settings_hold=watch.hold,
                erased=watch.erased,
                open_database=self._open,
                queue=queue,
                metrics=self.metrics,
                departed=self.departed_of(db, who),
            )
            return deliver(db, settings, sender, orders)

    def _failed(self, db: Database, account_id: AccountId, message: str) -> AccountRun:
        return AccountRun(account_id, {}, customers.changed_count(db, account_id), ended=Ended.FAILED, message=message)


def level_of(ended: Ended) -> int:
    """Returns at which level an end is logged: as an error where it failed, as a warning where something is left."""
    if ended is Ended.FAILED:
        return logging.ERROR
    return logging.INFO if ended is Ended.DONE else logging.WARNING


def _log_end(run: int, part: AccountRun, seconds: float) -> None:
    told = f"; {part.message}" if part.message else ""
    facts = {
        "account": part.account_id,
        "run": run,
        "ended": str(part.ended),
        "to_do": part.to_do,
        "settled": part.settled,
        "counts": {str(outcome): count for outcome, count in part.counts.items()},
        "seconds": round(seconds, 1),
    }
    log.log(
        level_of(part.ended),
        "account %s: %d of %d settled%s",
        part.account_id,
        part.settled,
        part.to_do,
        told,
        extra=facts,
    )


def _unchanged(db: Database, known: Collection[AccountId], todo: Collection[AccountSettings]) -> list[AccountSettings]:
    # Accounts of which only is read who left their lists.
    others = set(known) - {one.account_id for one in todo}
    return [one for one in accounts.all_accounts(db) if one.account_id in others and not missing(one)]


def to_deliver(db: Database) -> Sequence[AccountSettings]:
    """Returns the settings of accounts that have changed customers, those with the fewest first, done in seconds.

    Customers of accounts that never chose any settings wait, and are counted by status.
    """
    waiting = customers.accounts_with_changes(db)
    chosen = [one for one in accounts.all_accounts(db) if waiting.get(one.account_id)]
    return sorted(chosen, key=lambda one: (waiting[one.account_id], one.account_id))
