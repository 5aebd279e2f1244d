"""The threads that read Kafka: events into staging, ledger and settings, and events that must be reread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing

from worker.app import App
from worker.consumer.consumer import Consumer
from worker.consumer.owned_partitions import OwnedPartitions
from worker.errors import ConsumerStopped
from worker.jobs.job import Job, JobThread
from worker.jobs.refetch import Refetch, being_read
from worker.kafka.client import session_seconds
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.status.live import LiveFile
from worker.status.misplaced import partition_mismatch
from worker.store.offsets import TopicSize, note_size
from worker.web.health import STALE_SECONDS

log = logging.getLogger("worker.daemon")

POLL_END_SECONDS = 2.5
"""How long to wait for these threads at the end. Supervisors kill the process after ten seconds in all."""


class Poller:
    """Starts, watches and stops the poll thread, the changelog tail and the refetch job."""

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
        self.open_database, self._topic = app.open_database, app.config.kafka.topic
        refetch = Refetch(app, self.owned_partitions, lambda: self.consumer.topic.id)
        failure = "customers of accounts that were connected cannot be read again now"
        self._refetch = JobThread(Job("refetch", failure, refetch.step, 0.5, 10.0), app.open_database)
        self.consumer.topic.changed = lambda: _note_size(app, self._db, self.consumer)
        self.consumer.topic.changed()

    @property
    def ids(self) -> tuple[str, str]:
        """Kafka's id of the events topic, and this worker's client id."""
        return self.consumer.topic.id, self.consumer.client_id

    def start(self) -> None:
        """Starts reading."""
        self._db.must_end = self._stop.is_set
        self._thread.start()
        self._tail.start(self.owned_partitions)
        self._refetch.start()

    def being_read(self, db: Database) -> set[AccountId]:
        """Returns the newly connected accounts whose customers are still being reread, and so cannot be flushed yet."""
        return being_read(db, self.owned_partitions.owned(), (self._topic, self.consumer.topic.id))

    def _run(self) -> None:
        try:
            self.consumer.read(self._stop)
        except BaseException as error:
            self._error = error

    def check(self) -> None:
        """Raises the error that ended a thread, if any; also updates the status file.

        Raises:
            ConsumerStopped: the poll thread has ended, or has not polled for too long.
            KafkaError: ledger or settings can no longer be read.
            DatabaseError: nothing can be staged.
        """
        self._live.write(self.owned_partitions)
        if self._error is not None:
            raise self._error
        self._tail.check()
        silence = self.owned_partitions.session.seconds_since_poll()
        if not self._thread.is_alive() or (silence is not None and silence > STALE_SECONDS):
            raise ConsumerStopped("Reading Kafka has stopped.", "Start the worker again.")

    def reads(self) -> bool:
        """Returns whether the poll thread is running."""
        return self._thread.is_alive()

    def end(self, *, calls_ended: bool = False) -> None:
        """Stops the threads. What was read is staged first.

        Args:
            calls_ended: whether no call can be in flight, so that the next owner of a partition need not wait.
        """
        self.consumer.commits.released = calls_ended
        self._live.remove()
        self._stop.set()
        self._tail.end(0)
        self._refetch.end(0)
        ends = time.monotonic() + POLL_END_SECONDS
        if self._thread.is_alive():
            self._thread.join(POLL_END_SECONDS)
        if not self._thread.is_alive():
            self._db.close()
        self._tail.end(max(ends - time.monotonic(), 0))
        self._refetch.end(max(ends - time.monotonic(), 0))


def _note_size(app: App, db: Database, consumer: Consumer) -> None:
    topic = app.config.kafka.topic
    size = TopicSize(consumer.topic.id, consumer.topic.partitions, app.changelog.topics.ledger.partitions)
    with db.transaction():
        note_size(db, topic, size)
    if (message := partition_mismatch(topic, size)) is not None:
        log.warning("%s", message, extra={"partitions": size.partitions, "ledger_partitions": size.ledger})


def read_to_end(poller: Poller, stop: threading.Event, progress: Callable[[int, int], None]) -> None:
    """Waits until all events that the topic has now are staged, and ledger and settings are read.

    By then, customers of newly connected accounts are reread too.

    Args:
        poller: started.
        progress: called repeatedly with the number of records read, and the total.

    Raises:
        ConsumerStopped: the poll thread ended.
        DatabaseError: nothing can be staged.
    """
    while not stop.is_set():
        poller.check()
        done = poller.owned_partitions.wait_until_ready(0.2)
        progress(*poller.owned_partitions.backlog())
        if done:
            break
    with closing(poller.open_database()) as db:
        while not stop.is_set() and poller.being_read(db):
            poller.check()
            stop.wait(0.1)
