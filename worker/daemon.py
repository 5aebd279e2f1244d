"""The long-running worker: starts its threads, and checks every second which flushes are due."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Set
from contextlib import closing, suppress
from datetime import datetime, timedelta
from functools import partial

import schedule

from worker import __version__
from worker.app import App
from worker.clock import as_moment, as_text
from worker.consumer.owned_partitions import OwnedPartitions
from worker.errors import DatabaseError, RequestWithdrawn, WorkerError
from worker.flush.account_runner import level_of
from worker.flush.run import end_left
from worker.flush.schedule import (
    CLOCK_TOLERANCE,
    RUN_AGAIN_AFTER,
    is_account_due,
    is_expired,
    is_in_future,
    is_retry_due,
    latest_flush_time,
    run_again_at,
)
from worker.jobs import announce, erase, rehash, retention
from worker.jobs.finish_staging import Settle
from worker.jobs.flush import Flushing, FlushThread
from worker.jobs.job import Job, start_all
from worker.jobs.poller import Poller
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.sqlite.lock import DatabaseLock
from worker.store import offsets, runs
from worker.store.run_result import RunResult
from worker.store.runs import Request, Run
from worker.web.health import STALE_SECONDS, Health

log = logging.getLogger("worker.daemon")

FLUSH_END_SECONDS = 6.0
"""How long an ending worker waits for a flush: longer than the flush waits for its calls in flight."""
MOST_FLUSHES = 16
"""Most flushes that operators requested at the same time: each has a thread and a database connection."""
LONGEST_IDLE = 2.0
"""Seconds between two jobs of the daemon at most: one of them runs every second."""
STOPPED_WAIT = timedelta(seconds=10)
"""How long to wait before starting an account's flush again that was stopped, such as while Kafka was silent."""
TOGETHER_SECONDS = 10.0
"""Partitions that become ready within this time of an assignment are flushed by one run."""


class Daemon:
    """Runs until it is stopped."""

    def __init__(self, app: App, stop: threading.Event) -> None:
        self._app = app
        self._stop = stop
        self._flusher = app.flusher(stop)
        self._flushes: list[FlushThread] = []
        self._failures = 0
        self._not_before: datetime | None = None
        """When the next flush may start after one that could not be carried out; None without one."""
        self._stopped_at: dict[AccountId, datetime] = {}
        """When each account's flush was stopped: it starts again only after STOPPED_WAIT."""

    def run(self) -> None:
        """Reads and flushes until `stop` is set. A running flush then ends early and loses nothing.

        Raises:
            AlreadyRunning: another process uses this database.
            KafkaError: no broker answers at the start, it refuses the credentials, or there is no such topic.
            ConsumerStopped: the consumer met a fatal error.
            DatabaseError: the database cannot be used.
            WebError: the web server cannot listen on its address.
        """
        from worker.web.server import web_server  # takes long to import, and only the daemon needs it

        with (
            DatabaseLock(self._app.config.staging.path) as lock,
            web_server(self._app) as serve,
            closing(self._app.open_database()) as db,
        ):
            db.must_end = self._stop.is_set
            end_left(db, self._app.clock)
            poller = Poller(self._app)
            health = Health(poller.owned_partitions, poller.reads, self._app.metrics)
            ticks = schedule.Scheduler()
            ticks.every(1).seconds.do(self._tick, lock, db, poller)
            ticks.every(1).seconds.do(lambda: health.checked(flushing=bool(self._flushes)))
            # A flood of dead letters must not fill the disk before the next flush drops old ones.
            ticks.every(1).minutes.do(retention.limit_dead_letters, db, self._app.config.dead_letters)
            poller.start()
            jobs = start_all(self._jobs(poller.owned_partitions), self._app.open_database)
            serve(health, poller.owned_partitions)
            facts = {"at": self._app.config.flush.at, "version": __version__}
            log.info("the worker runs; customers are delivered daily at %s", facts["at"], extra=facts)
            try:
                while not self._stop.wait(0.2):
                    run_pending(ticks)
            except BaseException:
                lock.beat_no_more()
                raise
            finally:
                self._stop.set()
                ends = time.monotonic() + FLUSH_END_SECONDS
                ended = [flush_thread.wait(max(ends - time.monotonic(), 0)) for flush_thread in self._flushes]
                for job in jobs:
                    job.end(0)
                poller.end(calls_ended=all(ended))
            log.info("the worker ends")

    def _jobs(self, owned_partitions: OwnedPartitions) -> Iterator[Job]:
        app = self._app
        yield Job("erase", erase.FAILURE, erase.Erase(app, owned_partitions).step, 1.0, 30.0)
        # Its first step comes late too: a worker that starts does not know its partitions yet.
        drop_due = partial(retention.drop_due, app, owned_partitions)
        yield Job("retention", "what is too old could not be dropped", drop_due, 600.0, 600.0)
        yield Job("runs", "a flush that failed is not recorded yet", self._flusher.failed.record, 1.0, 5.0)
        failure = "customers that were delivered elsewhere are not settled yet"
        yield Job("settle", failure, Settle(owned_partitions).step, 1.0, 30.0)
        if app.config.web.port and app.config.web.worker_url:
            yield Job("announce", announce.FAILURE, announce.Announce(app, owned_partitions).step, 1.0, 5.0)
        if app.secret.previous is not None:
            yield Job("rehash", rehash.FAILURE, lambda db: rehash.rehash(app, db, owned_partitions.ready()), 5.0, 60.0)

    def _tick(self, lock: DatabaseLock, db: Database, poller: Poller) -> None:
        poller.check()
        # A worker without contact to Kafka is not alive, though its process runs.
        if poller.owned_partitions.session.seconds_since_answer() < STALE_SECONDS:
            lock.beat()
        for flush_thread in [flush_thread for flush_thread in self._flushes if flush_thread.wait(0)]:
            self._flushes.remove(flush_thread)
            self._record_end(flush_thread)
        now = self._app.clock()
        requests = self._open_requests(db, now)
        if self._not_before is not None and now < self._not_before <= now + RUN_AGAIN_AFTER[-1]:
            return
        flushing = Flushing(self._app, self._flusher, poller.owned_partitions, *poller.ids)
        all_ready = poller.owned_partitions.wait_until_ready(0)
        unread = poller.being_read(db)
        if all_ready:
            # Each starts at once, since operators wait for it. A request for an account whose customers are read again
            # waits until they are; one for all accounts leaves such an account out, and says so.
            startable = [request for request in requests if request.account_id not in unread]
            for request in startable[: max(MOST_FLUSHES - len(self._flushes), 0)]:
                self._flushes.append(FlushThread(flushing, request.trigger, request))
        if not all(flush_thread.has_begun for flush_thread in self._flushes):
            return  # the accounts that it delivers are not known yet
        if all_ready or poller.owned_partitions.seconds_since_assignment() > TOGETHER_SECONDS:
            if due := self._due_accounts(db, poller, now, unread):
                self._flushes.append(FlushThread(flushing, "daily", None, due))
            elif all_ready and (failed := self._accounts_to_retry(db, now, unread)):
                log.info("tried again after a failure: %s", ", ".join(failed), extra={"accounts": failed})
                self._flushes.append(FlushThread(flushing, "retry", None, failed))

    def _open_requests(self, db: Database, now: datetime) -> list[Request]:
        taken = {flush_thread.request.request for flush_thread in self._flushes if flush_thread.request is not None}
        open_requests = []
        for request in runs.open_requests(db):
            if request.request in taken:
                continue
            if not is_expired(now, as_moment(request.requested_at)):
                open_requests.append(request)
                continue
            facts = {"account": request.account_id, "requested_at": request.requested_at}
            with suppress(DatabaseError):  # then in a second, as long as the disk is full
                with db.transaction():
                    runs.withdraw(db, request.request)
                message = "the request for a flush of %s is dropped: it is too old"
                log.warning(message, request.requested_at, extra=facts)
        return open_requests

    def _due_accounts(self, db: Database, poller: Poller, now: datetime, unread: Set[AccountId]) -> list[AccountId]:
        flush, topic = self._app.config.flush, self._app.config.kafka.topic
        flush_time = latest_flush_time(now, flush.time_of_day, flush.zone)
        not_completed = runs.not_completed(db, as_text(flush_time), as_text(now + CLOCK_TOLERANCE))
        under_way = self._flusher.turns.accounts() | unread
        due = [
            flush_times
            for flush_times in not_completed
            if is_account_due(now, flush.time_of_day, flush.zone, flush_times)
            and flush_times.account_id not in under_way
        ]
        if not due:
            return []
        partitions = offsets.account_partitions(db, topic, poller.consumer.topic.id)
        ready, owned = poller.owned_partitions.ready(), poller.owned_partitions.owned()
        account_ids = []
        for flush_times in due:
            account_id, completed_at = flush_times.account_id, flush_times.completed_at
            ledger_partition = self._app.changelog.ledger_partition(account_id)
            owned_of_account = (partitions.get(account_id, frozenset()) | {ledger_partition}) & owned
            stopped = self._stopped_at.get(account_id)
            if (
                not owned_of_account
                or not owned_of_account <= ready
                or (stopped and stopped <= now < stopped + STOPPED_WAIT)
            ):
                continue
            account_ids.append(account_id)
            if completed_at is not None and is_in_future(now, as_moment(completed_at)):
                message = "the last flush of account %s is recorded at %s, in the future: the clock was ahead"
                log.warning(message, account_id, completed_at, extra={"account": account_id})
        return account_ids

    def _accounts_to_retry(self, db: Database, now: datetime, unread: Set[AccountId]) -> list[AccountId]:
        at, zone = self._app.config.flush.time_of_day, self._app.config.flush.zone
        under_way = self._flusher.turns.accounts() | unread
        return [
            account.account_id
            for account in runs.failed_accounts(db)
            if is_retry_due(now, at, zone, account.failures, as_moment(account.failed_at))
            and account.account_id not in under_way
        ]

    def _record_end(self, ended: FlushThread) -> None:
        try:
            run = ended.result()
        except RequestWithdrawn as error:
            log.info("%s", error.message, extra={"reason": type(error).__name__})
        except WorkerError as error:
            # Tried again after increasing pauses, because the cause may be fixed by then.
            message = "the flush could not be carried out: %s %s"
            log.error(
                message, error.message, error.advice, extra={"reason": error.message, "failures": self._failures + 1}
            )
            self._back_off()
        except Exception:
            log.exception("the flush met an internal error; see the traceback below")
            self._back_off()
        else:
            self._failures, self._not_before = 0, None
            now = self._app.clock()
            self._stopped_at = {
                account_id: at for account_id, at in self._stopped_at.items() if at <= now < at + STOPPED_WAIT
            } | {part.account_id: now for part in run.accounts if part.ended is RunResult.STOPPED}
            _log_end(run)

    def _back_off(self) -> None:
        self._failures += 1
        self._not_before = run_again_at(self._failures, self._app.clock())


def _log_end(run: Run) -> None:
    ended = run.ended or RunResult.FAILED
    facts = {
        "run": run.run,
        "trigger": run.trigger,
        "ended": str(ended),
        "accounts": len(run.accounts),
        "to_do": sum(part.to_do for part in run.accounts),
        "settled": sum(part.settled for part in run.accounts),
        "seconds": round((as_moment(run.ended_at or run.started_at) - as_moment(run.started_at)).total_seconds(), 1),
    }
    kind = "read-back" if run.trigger == "read back" else "flush"
    log.log(level_of(ended), "%s run %d: %s", kind, run.run, ended, extra=facts)


def run_pending(ticks: schedule.Scheduler) -> None:
    """Runs the jobs that are due, and all of them after the clock was set back: `schedule` goes by the clock."""
    if (ticks.idle_seconds or 0) > LONGEST_IDLE:
        log.warning("this machine's time went back: its clock was set, or summer time ended")
        ticks.run_all()
    ticks.run_pending()
