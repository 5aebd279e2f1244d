"""Background jobs: what a running worker does again and again beside reading and flushing, each in a thread."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import ClassVar

from worker.errors import WorkerError
from worker.sqlite.database import Database

log = logging.getLogger("worker.daemon")


class Job(ABC):
    """One job, in steps. What a step leaves undone, the next one finds again.

    Attributes:
        name: of its thread.
        failure: how a log line begins that says that a step failed.
        every: seconds from the end of a step to the next one, and before the first one.
        retry_after: the same after a step that failed.
    """

    name: ClassVar[str]
    failure: ClassVar[str]
    every: float
    retry_after: float

    @abstractmethod
    def step(self, db: Database) -> None:
        """Does what is to be done now.

        Args:
            db: outside of a transaction.

        Raises:
            WorkerError: not all of it could be done.
        """


def attempt(step: Callable[[], object], failure: str) -> bool:
    """Takes a step, logs why it failed if it did, and returns whether it succeeded: no delivery waits for a job."""
    try:
        step()
    except WorkerError as error:
        log.warning("%s: %s %s", failure, error.what, error.advice, extra={"reason": error.what})
        return False
    return True


class JobThread:
    """Does a job while a worker runs, by a database connection of its own."""

    def __init__(self, job: Job, open_database: Callable[[], Database]) -> None:
        """Starts nothing yet."""
        self._job, self._open_database = job, open_database
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=job.name, daemon=True)

    def start(self) -> None:
        """Starts it."""
        self._thread.start()

    def end(self, timeout: float) -> None:
        """Ends it, and waits for that so many seconds; what it did not finish is found again."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        job = self._job
        with closing(self._open_database()) as db:
            db.must_end = self._stop.is_set
            pause = job.every
            while not self._stop.wait(pause):
                try:
                    succeeded = attempt(lambda: job.step(db), job.failure)
                except Exception:
                    # Whatever it was, the job is tried as long as the worker runs.
                    log.exception("%s: internal error; see the traceback below", job.failure, extra={"job": job.name})
                    succeeded = False
                pause = job.every if succeeded else job.retry_after


def start_all(jobs: Iterable[Job], open_database: Callable[[], Database]) -> list[JobThread]:
    """Starts a thread for each job."""
    threads = [JobThread(one, open_database) for one in jobs]
    for thread in threads:
        thread.start()
    return threads
