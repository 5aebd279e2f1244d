"""Threads that keep a worker's copy of ledger and settings up to date, and take over the ledger's partitions."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

from worker.changelog import table_rows
from worker.changelog.loss import Note
from worker.changelog.reader import Reader
from worker.changelog.table_rows import ChangelogRow
from worker.changelog.writer import ChangelogWriter
from worker.consumer.owned_partitions import OwnedPartitions
from worker.errors import KafkaError, LedgerLost, NotMoved, NotSigned
from worker.kafka.outage import Outage
from worker.sqlite.database import Database
from worker.sqlite.rows import customer_rows
from worker.store import customer_outcomes, settings_notes

log = logging.getLogger("worker.changelog")

LOOK_SECONDS = 1.0
"""How often to check for settings that were changed elsewhere."""
LEDGER_SECONDS = 10.0
"""How often to check whether the ledger topic still exists."""
STOP_SECONDS = 0.1
"""How long to wait for a partition before checking whether to stop."""
PATIENCE_SECONDS = 60.0
"""How long the first read is retried. Later ones are retried forever: librdkafka reconnects by itself."""


class ChangelogTail:
    """Follows the settings, and takes over and reads the ledger of each partition when it is assigned.

    Each has its own thread, so that settings are followed while a large ledger is read.
    """

    def __init__(
        self,
        open_database: Callable[[], Database],
        open_reader: Callable[[Database], Reader],
        changelog: ChangelogWriter,
    ) -> None:
        self._open_database = open_database
        self._open_reader = open_reader
        self._changelog = changelog
        self._stop, self._whole = threading.Event(), threading.Event()
        self._ledger_seen_at = time.monotonic()
        self._error: BaseException | None = None
        self._threads: list[threading.Thread] = []

    def start(self, owned_partitions: OwnedPartitions) -> None:
        """Starts the threads."""
        self._changelog.lost = owned_partitions.ledger_lost
        for name, step in (("settings", self._follow_settings), ("ledger", self._follow_ledger)):
            thread = threading.Thread(target=self._run, args=(step, owned_partitions), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def check(self) -> None:
        """Raises the error that ended a thread, if one did.

        Raises:
            KafkaError: a topic can no longer be read.
            DatabaseError: the database cannot be written.
        """
        if self._error is not None:
            raise self._error

    def end(self, timeout: float) -> None:
        """Stops the threads."""
        self._stop.set()
        ends = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(ends - time.monotonic(), 0))

    def _run(self, step: Callable[[Reader, OwnedPartitions], bool], owned_partitions: OwnedPartitions) -> None:
        # A step returns whether there was anything to read. Without that, it shows nothing about Kafka.
        began, ever_read, outage = time.monotonic(), False, Outage()
        read_at = began
        try:
            with closing(self._open_database()) as db, closing(self._open_reader(db)) as reader:
                db.must_end = self._stop.is_set
                reader.apply_dead_letters()
                while not self._stop.is_set():
                    try:
                        has_read = step(reader, owned_partitions)
                    except (NotMoved, NotSigned, LedgerLost):
                        raise
                    except KafkaError as error:
                        if not ever_read and time.monotonic() - began > PATIENCE_SECONDS:
                            raise
                        fault = f"{error.message} {error.advice}"
                        owned_partitions.changelog_faults[step.__name__] = fault
                        outage.report(fault, time.monotonic())
                        self._stop.wait(LOOK_SECONDS)
                    else:
                        owned_partitions.changelog_faults.pop(step.__name__, None)
                        ever_read, read_at = True, time.monotonic()
                        if not has_read:
                            outage = Outage()  # the thread that reads the settings logs it
                    _log_outage(outage, read_at)
        except BaseException as error:
            self._error = error

    def _follow_settings(self, reader: Reader, owned_partitions: OwnedPartitions) -> bool:
        reader.read_settings()
        if not self._whole.is_set():
            reader.check_topics()
            self._note_ledger(reader)
            self._whole.set()
        if time.monotonic() - self._ledger_seen_at >= LEDGER_SECONDS:
            reader.check_ledger_exists()  # nothing else asks for it between flushes
            self._ledger_seen_at = time.monotonic()
        owned_partitions.settings_read()
        self._stop.wait(LOOK_SECONDS)
        return True

    def _note_ledger(self, reader: Reader) -> None:
        ledger = self._changelog.topics.ledger
        if reader.ledger_note() is None and ledger.topic_id:
            self._changelog.take_all_settings(reader.read_settings)
            if reader.ledger_note() is None:
                self._changelog.write_through(
                    reader.db, [Note(ledger.name, ledger.topic_id, ledger.partitions).of_ledger()]
                )

    def _follow_ledger(self, reader: Reader, owned_partitions: OwnedPartitions) -> bool:
        if not self._whole.wait(STOP_SECONDS):
            return False
        awaited = owned_partitions.wait_for_ledger(STOP_SECONDS)
        for partition, assignment in awaited.items():
            self._take(reader, owned_partitions, partition, assignment)
        self._changelog.keep_only(owned_partitions.owned())
        return bool(awaited)

    def _take(self, reader: Reader, owned_partitions: OwnedPartitions, partition: int, assignment: int) -> None:
        def wanted() -> bool:
            return not self._stop.is_set() and owned_partitions.awaits_ledger(partition, assignment)

        if not wanted():
            return
        topics = self._changelog.topics
        self._changelog.take(topics.ledger, partition, lambda: reader.read_ledger(partition, wanted))
        settings = topics.settings
        if partition < topics.ledger.partitions and wanted():
            if settings.topic_id and not reader.settings_note(partition):
                note = Note(settings.name, settings.topic_id).of_settings(partition)
                self._changelog.write_through(reader.db, [note])
            _publish_outcomes(self._changelog, reader.db, partition)
        if wanted():
            owned_partitions.ledger_read(partition, assignment)


def _log_outage(outage: Outage, read_at: float) -> None:
    news = outage.update(read_at, time.monotonic())
    if news is None:
        return
    away, seconds = news
    facts = {"seconds": round(seconds), "reason": outage.reason}
    if away:
        log.warning("ledger and settings cannot be read now: %s", outage.reason, extra=facts)
    else:
        log.info("ledger and settings can be read again", extra=facts)


def _publish_outcomes(changelog: ChangelogWriter, db: Database, partition: int) -> None:
    # Publishes all outcomes of a partition to a topic that lacks them: a new one, or one that was switched off. Each
    # partition of the ledger has a note of the outcomes topic that has its outcomes. If it fails, the next call starts
    # over.
    topics = changelog.topics
    topic = None if topics.outcomes is None else {"name": topics.outcomes.name, "id": topics.outcomes.topic_id}
    if topic == settings_notes.data_of(db, "outcomes", str(partition)):
        return
    for rows in _with_outcomes(changelog, db, partition) if topic is not None else ():
        changelog.write_through(db, rows, rows)  # records reach the outcomes topic only with ledger records
    note = ChangelogRow("topic", ("outcomes", str(partition)), {"note": json.dumps(topic)})
    changelog.write_through(db, [note])


def _with_outcomes(changelog: ChangelogWriter, db: Database, partition: int) -> Iterator[list[ChangelogRow]]:
    for account_id in sorted(table_rows.accounts_known(db)[0]):
        if changelog.ledger_partition(account_id) == partition:
            for customer_ids in customer_outcomes.pages(db, account_id):
                yield table_rows.rows_of(db, customer_rows(account_id, customer_ids))
