"""The long-running worker: a thread that reads Kafka, a thread that flushes, and a tick that asks what is due."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from contextlib import closing
from datetime import datetime
from functools import partial

import schedule

from worker import __version__
from worker.app import App
from worker.before_flush import finish_staging
from worker.clock import as_moment, as_text
from worker.consumer.consumer import Consumer
from worker.consumer.owned_partitions import OwnedPartitions
from worker.ended import Ended
from worker.erasing import ErasingThread
from worker.errors import ConsumerStopped, RequestWithdrawn, WorkerError
from worker.flush.eligibility import GroupEligibility, what_differs
from worker.flush.run import level_of
from worker.flush.schedule import (
    RUN_AGAIN_AFTER,
    is_due,
    is_expired,
    is_in_future,
    is_retry_due,
    latest_flush_time,
    run_again_at,
)
from worker.kafka.client import session_seconds
from worker.model import AccountId
from worker.status.live import LiveFile
from worker.store import runs
from worker.store.database import Database
from worker.store.lock import DatabaseLock
from worker.store.offsets import TopicSize, note_size
from worker.store.runs import Request, Run, Trigger
from worker.tidy import bound_letters, tidy
from worker.web.health import STALE_SECONDS, Health

log = logging.getLogger("worker.daemon")

FLUSH_END_SECONDS = 6.0
"""How long a flush is waited for when the worker ends: longer than it gives its calls in flight."""
POLL_END_SECONDS = 2.5
"""How long the threads that read Kafka are waited for then. Supervisors kill after ten seconds in all."""
TOGETHER_SECONDS = 10.0
"""Partitions that become ready within this time of an assignment are flushed by one run."""


class Poller:
    """The poll thread: reads and stages until the end."""

    def __init__(self, app: App) -> None:
        """Connects to Kafka; joins the group with :meth:`start`.

        Raises:
            KafkaError: no broker answers, it refuses the credentials, or there is no such topic.
            DatabaseError: the database cannot be used.
        """
        self.owned_partitions = OwnedPartitions(session_seconds=session_seconds(app.config.kafka), follows=True)
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._db = app.open_database()
        self.consumer = Consumer(
            app.config.kafka,
            self._db,
            self.owned_partitions,
            app.clock,
            call_seconds=app.config.mailchimp.timeout,
            hash_key=app.hash_key,
            metrics=app.metrics,
        )
        self._thread = threading.Thread(target=self._run, name="poll", daemon=True)
        self._live = LiveFile(app.config.staging.path, app.clock)
        self._tail = app.tail()
        _note_size(app, self._db, self.consumer)

    def start(self) -> None:
        """Starts reading."""
        self._db.must_end = self._stop.is_set
        self._thread.start()
        self._tail.start(self.owned_partitions)

    def _run(self) -> None:
        try:
            self.consumer.read(self._stop)
        except BaseException as error:
            self._error = error

    def check(self) -> None:
        """Raises what ended reading, if anything did.

        Raises:
            ConsumerStopped: it reads no more.
            KafkaError: ledger and settings are read no more.
            DatabaseError: nothing can be staged.
        """
        self._live.write(self.owned_partitions)
        if self._error is not None:
            raise self._error
        self._tail.check()
        silence = self.owned_partitions.seconds_since_poll()
        if not self._thread.is_alive() or (silence is not None and silence > STALE_SECONDS):
            raise ConsumerStopped("Reading Kafka has stopped.", "Start the worker again.")

    def reads(self) -> bool:
        """Tells whether its thread runs."""
        return self._thread.is_alive()

    def end(self, *, calls_ended: bool = False) -> None:
        """Ends reading; what was read is staged.

        Args:
            calls_ended: whether no call of a flush can be under way any more, so that nobody need wait for it.
        """
        self.consumer.released = calls_ended
        self._live.remove()
        self._stop.set()
        self._tail.end(0)
        ends = time.monotonic() + POLL_END_SECONDS
        if self._thread.is_alive():
            self._thread.join(POLL_END_SECONDS)
        if not self._thread.is_alive():
            self._db.close()
        self._tail.end(max(ends - time.monotonic(), 0))


def _note_size(app: App, db: Database, consumer: Consumer) -> None:
    topic = app.config.kafka.topic
    size = TopicSize(consumer.topic_id, consumer.partitions, app.changelog.topics.ledger.partitions)
    with db.transaction():
        note_size(db, topic, size)
    if (told := what_differs(topic, size)) is not None:
        log.warning("%s", told, extra={"partitions": size.partitions, "ledger_partitions": size.ledger})


def read_to_end(poller: Poller, stop: threading.Event, told: Callable[[int, int], None]) -> None:
    """Waits until everything that was in the log at the start is staged, and ledger and settings are known.

    Args:
        poller: started.
        stop: ends the waiting.
        told: again and again, how many records of how many.

    Raises:
        ConsumerStopped: reading ended.
        DatabaseError: nothing can be staged.
    """
    while not stop.is_set():
        poller.check()
        done = poller.owned_partitions.wait_until_ready(0.2)
        told(*poller.owned_partitions.backlog())
        if done:
            return


def flush_and_complete(
    app: App,
    poller: Poller,
    stop: threading.Event,
    trigger: Trigger,
    request: Request | None = None,
    only: Collection[AccountId] | None = None,
) -> Run:
    """Flushes what changed, and notes that the partitions' changes went through a whole run.

    A flush of some accounts completes nothing, and neither does one that was stopped.

    Args:
        app: wires it.
        poller: keeps the partitions while it lasts.
        stop: ends it early.
        trigger: what started it.
        request: what an operator asked for; None for everything.
        only: accounts that failed and are tried again; None for all.

    Raises:
        DatabaseError: the database cannot be used.
        RequestWithdrawn: nothing was begun.
    """
    began = app.clock()
    ready = poller.owned_partitions.ready()
    topic, topic_id = app.config.kafka.topic, poller.consumer.topic_id
    with closing(app.open_database()) as db:
        db.must_end = stop.is_set
        finish_staging(app, poller.owned_partitions, topic_id, db)
        eligibility = GroupEligibility(db, poller.owned_partitions, topic, topic_id, app.changelog.ledger_partition)
        started = time.monotonic()
        flush = app.config.flush
        daily = trigger in ("daily", "retry")
        flush_time = latest_flush_time(began, flush.time_of_day, flush.zone) if daily else None
        run = app.flusher(stop).flush(trigger, eligibility, request, only, flush_time)
        app.metrics.flushed(run.ended or "failed", time.monotonic() - started)
        if run.account_id is None and only is None and run.ended != "stopped":
            with db.transaction():
                for partition in ready & poller.owned_partitions.owned():
                    runs.complete(db, topic, topic_id, partition, as_text(began))
        tidy(db, began, app.config)
    return run


class FlushThread:
    """A flush in a thread of its own, so that the end of the worker waits for no call that hangs."""

    def __init__(
        self,
        app: App,
        poller: Poller,
        stop: threading.Event,
        trigger: Trigger,
        request: Request | None = None,
        only: Collection[AccountId] | None = None,
    ) -> None:
        self._what = app, poller, stop, trigger, request, only
        self._run: Run | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._carry_out, name="flush", daemon=True)
        self._thread.start()

    def _carry_out(self) -> None:
        try:
            self._run = flush_and_complete(*self._what)
        except BaseException as error:
            self._error = error

    def wait(self, seconds: float) -> bool:
        """Waits for its end; returns whether it came."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def result(self) -> Run:
        """Returns the run as it ended.

        Raises:
            DatabaseError: the database cannot be used.
            RequestWithdrawn: nothing was begun.
        """
        if self._error is not None:
            raise self._error
        assert self._run is not None, "only what has ended has a result"
        return self._run


class Daemon:
    """Runs until it is stopped."""

    def __init__(self, app: App, stop: threading.Event) -> None:
        self._app = app
        self._stop = stop
        self._flush: FlushThread | None = None
        self._failures = 0
        self._not_before: datetime | None = None
        """When a flush may be begun again after one that could not be carried out."""

    def run(self) -> None:
        """Reads and flushes until the stop is set; a flush that is under way then ends early and loses nothing.

        Raises:
            AlreadyRunning: another process works on this database.
            KafkaError: no broker answers at the start, it refuses the credentials, or there is no such topic.
            ConsumerStopped: reading has ended for good.
            DatabaseError: the database cannot be used.
            WebError: the web server cannot listen where it should.
        """
        with (
            DatabaseLock(self._app.config.staging.path) as lock,
            self._app.web_server() as serve,
            closing(self._app.open_database()) as db,
        ):
            db.must_end = self._stop.is_set
            poller = Poller(self._app)
            health = Health(poller.owned_partitions, poller.reads, self._app.metrics)
            ticks = schedule.Scheduler()
            ticks.every(1).seconds.do(self._tick, lock, db, poller)
            ticks.every(1).seconds.do(lambda: health.looked(flushing=self._flush is not None))
            # A flood of what nobody understands must not fill the disk before the next flush tidies up.
            ticks.every(1).minutes.do(bound_letters, db, self._app.config.dead_letters)
            poller.start()
            erasing = ErasingThread(self._app, poller.owned_partitions)
            erasing.start()
            serve(health, poller.owned_partitions)
            facts = {"at": self._app.config.flush.at, "version": __version__}
            log.info("the worker runs; customers are delivered daily at %s", facts["at"], extra=facts)
            try:
                while not self._stop.wait(0.2):
                    ticks.run_pending()
            except BaseException:
                lock.beat_no_more()
                raise
            finally:
                self._stop.set()
                ended = self._flush is None or self._flush.wait(FLUSH_END_SECONDS)
                erasing.end(0)
                poller.end(calls_ended=ended)
            log.info("the worker ends")

    def _tick(self, lock: DatabaseLock, db: Database, poller: Poller) -> None:
        poller.check()
        # A worker that Kafka does not serve is not alive, though it runs.
        if poller.owned_partitions.seconds_since_heard() < STALE_SECONDS:
            lock.beat()
        if self._flush is not None:
            if not self._flush.wait(0):
                return
            self._heed(self._flush)
            self._flush = None
        now = self._app.clock()
        request = self._request(db, now)
        if self._not_before is not None and now < self._not_before <= now + RUN_AGAIN_AFTER[-1]:
            return
        begin = partial(FlushThread, self._app, poller, self._stop)
        all_ready = poller.owned_partitions.wait_until_ready(0)
        if request is not None and all_ready:
            self._flush = begin("command", request)
        elif (all_ready or poller.owned_partitions.seconds_since_assignment() > TOGETHER_SECONDS) and self._due(
            db, poller, now
        ):
            self._flush = begin("daily")
        elif all_ready and (failed := self._failed(db, now)):
            log.info("tried again after a failure: %s", ", ".join(failed), extra={"accounts": failed})
            self._flush = begin("retry", None, failed)

    def _request(self, db: Database, now: datetime) -> Request | None:
        for one in runs.open_requests(db):
            if not is_expired(now, as_moment(one.requested_at)):
                return one
            facts = {"account": one.account_id, "requested_at": one.requested_at}
            log.warning("the request for a flush of %s is dropped: it is too old", one.requested_at, extra=facts)
            with db.transaction():
                runs.withdraw(db, one.request)
        return None

    def _due(self, db: Database, poller: Poller, now: datetime) -> bool:
        flush = self._app.config.flush
        completed = runs.completed_at(db, self._app.config.kafka.topic, poller.consumer.topic_id)
        times = {
            one: as_moment(completed[one]) if one in completed else None for one in poller.owned_partitions.ready()
        }
        due = [one for one, last in times.items() if is_due(now, flush.time_of_day, flush.zone, last)]
        for one in due:
            last = times[one]
            if last is not None and is_in_future(now, last):
                told, facts = "the last flush of partition %d is noted for %s: the clock was ahead", {"partition": one}
                log.warning(told, one, completed[one], extra=facts)
        return bool(due)

    def _failed(self, db: Database, now: datetime) -> list[AccountId]:
        at, zone = self._app.config.flush.time_of_day, self._app.config.flush.zone
        return [
            one.account_id
            for one in runs.failed_accounts(db)
            if one.failed_at is not None and is_retry_due(now, at, zone, one.failures, as_moment(one.failed_at))
        ]

    def _heed(self, ended: FlushThread) -> None:
        try:
            run = ended.result()
        except RequestWithdrawn as error:
            log.info("%s", error.what, extra={"reason": type(error).__name__})
        except WorkerError as error:
            # Tried again, after growing waits; what hinders it may be fixed by then.
            told = "the flush could not be carried out: %s %s"
            log.error(told, error.what, error.advice, extra={"reason": error.what, "failures": self._failures + 1})
            self._back_off()
        except Exception:
            log.exception("the flush met an internal error; see the traceback below")
            self._back_off()
        else:
            self._failures, self._not_before = 0, None
            _log_end(run)

    def _back_off(self) -> None:
        self._failures += 1
        self._not_before = run_again_at(self._failures, self._app.clock())


def _log_end(run: Run) -> None:
    ended = run.ended or Ended.FAILED
    facts = {
        "run": run.run,
        "trigger": run.trigger,
        "ended": str(ended),
        "accounts": len(run.accounts),
        "to_do": sum(part.to_do for part in run.accounts),
        "settled": sum(part.settled for part in run.accounts),
        "seconds": round((as_moment(run.ended_at or run.started_at) - as_moment(run.started_at)).total_seconds(), 1),
    }
    log.log(level_of(ended), "flush run %d: %s", run.run, ended, extra=facts)
