"""A thread that keeps a worker's copy of ledger and settings up to date, and says which partitions it has read."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Protocol

from worker.errors import KafkaError, NotMoved
from worker.keeping.reader import Reader
from worker.staging.database import Database

log = logging.getLogger("worker.keeping")

LOOK_SECONDS = 1.0
"""How often settings are looked at that were changed elsewhere."""
PATIENCE_SECONDS = 60.0
"""How long the first reading is tried. Later ones are tried for ever: librdkafka reconnects by itself."""


class Awaiting(Protocol):
    """Knows for which partitions the ledger is waited for."""

    def settings_read(self) -> None:
        """Notes that the settings are known."""
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


class Follower:
    """Reads settings all the time, and the ledger of each partition when it is assigned."""

    def __init__(self, open_database: Callable[[], Database], open_reader: Callable[[Database], Reader]) -> None:
        """Starts nothing yet.

        Args:
            open_database: opens a connection whose writes are not written to Kafka.
            open_reader: makes what reads into it.
        """
        self._open_database = open_database
        self._open_reader = open_reader
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def start(self, awaiting: Awaiting) -> None:
        """Starts reading."""
        self._thread = threading.Thread(target=self._run, args=(awaiting,), name="keeping", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raises what ended the thread, if anything did.

        Raises:
            KafkaError: it reads no more.
            DatabaseError: nothing can be written.
        """
        if self._error is not None:
            raise self._error

    def end(self, timeout: float) -> None:
        """Ends reading."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self, awaiting: Awaiting) -> None:
        try:
            with closing(self._open_database()) as db, closing(self._open_reader(db)) as reader:
                self._follow(reader, awaiting)
        except BaseException as error:
            self._error = error

    def _follow(self, reader: Reader, awaiting: Awaiting) -> None:
        began, ever_read = time.monotonic(), False
        while not self._stop.is_set():
            try:
                reader.read_settings()
                awaiting.settings_read()
                for partition, assignment in awaiting.wait_for_ledger(LOOK_SECONDS).items():
                    self._read_ledger(reader, awaiting, partition, assignment)
            except NotMoved:
                raise
            except KafkaError as error:
                if not ever_read and time.monotonic() - began > PATIENCE_SECONDS:
                    raise
                log.info("ledger and settings cannot be read now: %s", error.what)
                self._stop.wait(LOOK_SECONDS)
            else:
                ever_read = True

    def _read_ledger(self, reader: Reader, awaiting: Awaiting, partition: int, assignment: int) -> None:
        def wanted() -> bool:
            return not self._stop.is_set() and awaiting.awaits_ledger(partition, assignment)

        reader.read_ledger(partition, wanted)
        if wanted():
            awaiting.ledger_read(partition, assignment)
