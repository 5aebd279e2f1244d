"""Background jobs of a running worker, each in its own thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass

from worker.errors import WorkerError
from worker.sqlite.database import Database

log = logging.getLogger("worker.daemon")
LOG_AGAIN_SECONDS = 60.0
"""After this long, a failure that stays is logged again."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job, done in steps. What a step leaves undone is done by the next one.

    Attributes:
        failure: the beginning of the log line about a failed step.
        step: does what is due, with a database outside of a transaction; raises WorkerError if not all could be done.
        every: seconds from the end of a step to the next one, and before the first one.
        retry_after: the same after a step that failed.
    """

    name: str
    failure: str
    step: Callable[[Database], object]
    every: float
    retry_after: float


def attempt(step: Callable[[], object], failure: str) -> bool:
    """Runs a step and returns whether it succeeded. A failure is logged, because no delivery waits for a job."""
    return Failures(failure).attempt(step)


class Failures:
    """Logs why steps fail: each new reason, and one that stays every minute."""

    def __init__(self, failure: str, seconds: Callable[[], float] = time.monotonic) -> None:
        """Starts without a failure.

        Args:
            failure: the beginning of the log line.
            seconds: a clock that is never set back.
        """
        self._failure, self._seconds = failure, seconds
        self._logged: tuple[str, float] | None = None

    def attempt(self, step: Callable[[], object]) -> bool:
        """Runs a step and returns whether it succeeded."""
        try:
            step()
        except WorkerError as error:
            now = self._seconds()
            if self._logged is None or self._logged[0] != error.message or now - self._logged[1] >= LOG_AGAIN_SECONDS:
                self._logged = error.message, now
                log.warning("%s: %s %s", self._failure, error.message, error.advice, extra={"reason": error.message})
            return False
        self._logged = None
        return True


class JobThread:
    """Runs a job in its own thread, with its own database connection."""

    def __init__(self, job: Job, open_database: Callable[[], Database]) -> None:
        self._job, self._open_database = job, open_database
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=job.name, daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def end(self, timeout: float) -> None:
        """Asks the thread to end and waits at most `timeout` seconds. The next start continues its work."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        job, failures = self._job, Failures(self._job.failure)
        with closing(self._open_database()) as db:
            db.must_end = self._stop.is_set
            pause = job.every
            while not self._stop.wait(pause):
                try:
                    succeeded = failures.attempt(lambda: job.step(db))
                except Exception:
                    # A fault in a job must not end it: it is tried again as long as the worker runs.
                    log.exception("%s: internal error; see the traceback below", job.failure, extra={"job": job.name})
                    succeeded = False
                pause = job.every if succeeded else job.retry_after


def start_all(jobs: Iterable[Job], open_database: Callable[[], Database]) -> list[JobThread]:
    """Starts a thread for each job."""
    threads = [JobThread(job, open_database) for job in jobs]
    for thread in threads:
        thread.start()
    return threads
