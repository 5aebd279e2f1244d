"""Runs a flush with what comes before and after it: finishing staging, and dropping old rows. Also in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, wait
from contextlib import closing
from dataclasses import dataclass, field

from worker.app import App
from worker.consumer.owned_partitions import OwnedPartitions
from worker.errors import RequestWithdrawn
from worker.flush.eligibility import Eligibility
from worker.flush.run import Flusher, Participants
from worker.flush.schedule import latest_flush_time
from worker.jobs.finish_staging import finish_staging
from worker.jobs.retention import drop_old
from worker.kafka.group import owners_elsewhere
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.store.runs import Request, Run, Trigger


@dataclass(frozen=True, slots=True)
class Flushing:
    """Runs the flushes of a process.

    Attributes:
        topic_id: Kafka's id of the events topic; "" if the broker does not report it.
        client_id: of this worker in the consumer group.
    """

    app: App
    flusher: Flusher
    owned_partitions: OwnedPartitions
    topic_id: str
    client_id: str
    _preparing: threading.Lock = field(default_factory=threading.Lock)

    def flush(
        self,
        trigger: Trigger,
        request: Request | None = None,
        only: Collection[AccountId] | None = None,
        begun: Callable[[], object] = lambda: None,
    ) -> Run:
        """Delivers what changed, and returns the run.

        Args:
            request: an operator's request; None without one.
            only: the accounts to deliver; None for all.
            begun: called once all accounts of the run are in the queue.

        Raises:
            DatabaseError: the database cannot be used.
            RequestWithdrawn: the request was withdrawn, and nothing was delivered.
        """
        app, now, flush = self.app, self.app.clock(), self.app.config.flush
        with closing(self.flusher.config.open()) as db:
            started = time.monotonic()
            # A retry may be of a request for an account whose first daily flush is still to come.
            flush_time = latest_flush_time(now, flush.time_of_day, flush.zone) if trigger == "daily" else None
            try:
                run = self.flusher.flush(trigger, self._prepare, request, Participants(only, flush_time), begun)
            except RequestWithdrawn:
                raise  # nothing was started
            except BaseException:
                self._count(trigger, "failed", started)
                raise
            self._count(trigger, run.ended or "failed", started)
            with self._preparing:
                drop_old(db, now, app.config)
        return run

    def _prepare(self, db: Database) -> Eligibility:
        app = self.app
        with self._preparing:
            finish_staging(app, self.owned_partitions, self.topic_id, db)
        return Eligibility(
            db,
            self.owned_partitions,
            app.config.kafka.topic,
            self.topic_id,
            app.changelog.ledger_partition,
            lambda: owners_elsewhere(app.config.kafka, self.client_id),
        )

    def _count(self, trigger: Trigger, ended: str, started: float) -> None:
        if trigger != "read back":
            self.app.metrics.flushed(ended, time.monotonic() - started)


class FlushThread:
    """A flush in its own thread, so that a call that hangs does not delay the end of the worker."""

    def __init__(
        self,
        flushing: Flushing,
        trigger: Trigger,
        request: Request | None = None,
        only: Collection[AccountId] | None = None,
    ) -> None:
        self.request = request
        self._future, self._begun = Future[Run](), threading.Event()

        def carry_out() -> None:
            try:
                self._future.set_result(flushing.flush(trigger, request, only, self._begun.set))
            except BaseException as error:
                self._future.set_exception(error)
            finally:
                self._begun.set()

        threading.Thread(target=carry_out, name="flush", daemon=True).start()

    @property
    def has_begun(self) -> bool:
        """Whether all its accounts are in the queue."""
        return self._begun.is_set()

    def wait(self, seconds: float) -> bool:
        """Waits up to `seconds` for its end; returns whether it has ended."""
        return bool(wait([self._future], seconds).done)

    def result(self) -> Run:
        """Returns the run as it ended.

        Raises:
            DatabaseError: the database cannot be used.
            RequestWithdrawn: the request was withdrawn, and nothing was delivered.
        """
        return self._future.result(0)
