"""Threads that keep a worker's copy of ledger and settings up to date, and take the partitions of the ledger."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from contextlib import closing
from typing import Protocol

from worker.changelog.all_outcomes import tell_all
from worker.changelog.loss import Note
from worker.changelog.reader import Reader
from worker.changelog.writer import ChangelogWriter
from worker.errors import KafkaError, LedgerLost, NotMoved, NotSigned
from worker.kafka.outage import Outage
from worker.store.database import Database

log = logging.getLogger("worker.changelog")

LOOK_SECONDS = 1.0
"""How often settings are looked at that were changed elsewhere."""
STOP_SECONDS = 0.1
"""How long to wait for a partition before looking whether to stop."""
PATIENCE_SECONDS = 60.0
"""How long the first reading is tried. Later ones are tried for ever: librdkafka reconnects by itself."""


class Awaiting(Protocol):
    """Knows for which partitions the ledger is waited for."""

    def settings_read(self) -> None:
        """Notes that the settings are known."""
        ...

    def owned(self) -> Collection[int]:
        """Returns the partitions that are this worker's."""
        ...

    def wait_for_ledger(self, timeout: float) -> dict[int, int]:
        """Returns partitions whose ledger is waited for, each with the number of its assignment."""
        ...

    def awaits_ledger(self, partition: int, assignment: int) -> bool:
        """Tells whether a partition's ledger is waited for still, under that assignment."""
        ...

    def ledger_read(self, partition: int, assignment: int) -> None:
        """Notes that a partition's ledger is known."""
        ...

    def ledger_lost(self, partition: int, fenced: bool) -> None:
        """Notes that a partition's ledger cannot be written any more."""
        ...


class ChangelogTail:
    """Reads settings all the time, and takes and reads the ledger of each partition when it is assigned.

    A thread for each: settings are followed also while a large ledger is read.
    """

    def __init__(
        self,
        open_database: Callable[[], Database],
        open_reader: Callable[[Database], Reader],
        changelog: ChangelogWriter,
    ) -> None:
        """Starts nothing yet."""
        self._open_database = open_database
        self._open_reader = open_reader
        self._changelog = changelog
        self._stop, self._whole = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self._threads: list[threading.Thread] = []

    def start(self, awaiting: Awaiting) -> None:
        """Starts reading."""
        self._changelog.lost = awaiting.ledger_lost
        for name, step in (("settings", self._follow_settings), ("ledger", self._follow_ledger)):
            thread = threading.Thread(target=self._run, args=(step, awaiting), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def check(self) -> None:
        """Raises what ended a thread, if anything did.

        Raises:
            KafkaError: it reads no more.
            DatabaseError: nothing can be written.
        """
        if self._error is not None:
            raise self._error

    def end(self, timeout: float) -> None:
        """Ends reading."""
        self._stop.set()
        ends = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(ends - time.monotonic(), 0))

    def _run(self, step: Callable[[Reader, Awaiting], None], awaiting: Awaiting) -> None:
        began, ever_read, outage = time.monotonic(), False, Outage()
        read_at = began
        try:
            with closing(self._open_database()) as db, closing(self._open_reader(db)) as reader:
                db.must_end = self._stop.is_set
                reader.apply_letters()
                while not self._stop.is_set():
                    try:
                        step(reader, awaiting)
                    except (NotMoved, NotSigned, LedgerLost):
                        raise
                    except KafkaError as error:
                        if not ever_read and time.monotonic() - began > PATIENCE_SECONDS:
                            raise
                        outage.report(error.what, time.monotonic())
                        self._stop.wait(LOOK_SECONDS)
                    else:
                        ever_read, read_at = True, time.monotonic()
                    _tell(outage, read_at)
        except BaseException as error:
            self._error = error

    def _follow_settings(self, reader: Reader, awaiting: Awaiting) -> None:
        reader.read_settings()
        if not self._whole.is_set():
            reader.check_topics()
            self._note_ledger(reader)
            self._whole.set()
        awaiting.settings_read()
        self._stop.wait(LOOK_SECONDS)

    def _note_ledger(self, reader: Reader) -> None:
        ledger = self._changelog.topics.ledger
        if reader.ledger_note() is None and ledger.topic_id:
            self._changelog.take_all_settings(reader.read_settings)
            if reader.ledger_note() is None:
                self._changelog.write_through(
                    reader.db, [Note(ledger.name, ledger.topic_id, ledger.partitions).of_ledger()]
                )

    def _follow_ledger(self, reader: Reader, awaiting: Awaiting) -> None:
        if not self._whole.wait(STOP_SECONDS):
            return
        for partition, assignment in awaiting.wait_for_ledger(STOP_SECONDS).items():
            self._take(reader, awaiting, partition, assignment)
        self._changelog.keep_only(awaiting.owned())

    def _take(self, reader: Reader, awaiting: Awaiting, partition: int, assignment: int) -> None:
        def wanted() -> bool:
            return not self._stop.is_set() and awaiting.awaits_ledger(partition, assignment)

        if not wanted():
            return
        topics = self._changelog.topics
        self._changelog.take(topics.ledger, partition, lambda: reader.read_ledger(partition, wanted))
        settings = topics.settings
        if (
            partition < topics.ledger.partitions
            and wanted()
            and settings.topic_id
            and not reader.settings_note(partition)
        ):
            self._changelog.write_through(reader.db, [Note(settings.name, settings.topic_id).of_settings(partition)])
        if partition < topics.ledger.partitions and wanted():
            tell_all(self._changelog, reader.db, partition)
        if wanted():
            awaiting.ledger_read(partition, assignment)


def _tell(outage: Outage, read_at: float) -> None:
    told = outage.look(read_at, time.monotonic())
    if told is None:
        return
    away, seconds = told
    facts = {"seconds": round(seconds), "reason": outage.reason}
    if away:
        log.warning("ledger and settings cannot be read now: %s", outage.reason, extra=facts)
    else:
        log.info("ledger and settings can be read again", extra=facts)
