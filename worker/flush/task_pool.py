"""Runs tasks and their follow-up steps on threads, until all have ended or the worker must stop."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from worker.clock import Stop
from worker.flush.step_result import Halted
from worker.plan.steps import Step

GRACE_SECONDS = 4.0
"""How long to wait for calls in flight when the worker must end."""
LOOK_SECONDS = 0.5
"""How often to check whether it must."""

Task = Callable[[], Iterable[Step]]
"""Runs on a thread of the pool; returns steps to run one by one afterwards."""


def call_threads(calls: int, connections: int) -> int:
    """Returns how many threads make so many calls: not all at once, because the limit of calls in flight rises slowly.

    More threads would wait, see :mod:`worker.mailchimp.sender`; without them, more accounts run at once.
    """
    return max(1, min(calls, 2 + calls // 5, connections))


@dataclass(frozen=True, slots=True)
class TaskPool:
    """Starts threads for each run. An executor would make a future for each task, which nobody reads.

    Attributes:
        threads: at most so many at once.
        name: how the names of the threads begin.
    """

    threads: int
    name: str

    def run(self, tasks: Iterable[Task], alone: Callable[[Step], Iterable[Step]], stop: Stop) -> None:
        """Runs tasks, and the steps that they return; returns early if the worker must stop.

        Calls that are in flight then are not waited for any longer: they may take minutes, and the next flush checks
        what they did.

        Args:
            alone: runs one of these steps.

        Raises:
            Exception: raised by a task, except Halted.
        """
        work = _Work(deque(tasks), alone)
        names = (f"{self.name}_{number}" for number in range(min(self.threads, len(work.waiting))))
        threads = [threading.Thread(target=work.run, name=name, daemon=True) for name in names]
        for thread in threads:
            thread.start()
        ends = None
        while threads and not work.done.wait(LOOK_SECONDS):
            if stop.is_set():
                # Calls in flight get a moment more, so that their results are known.
                work.drop_waiting()
                ends = ends or time.monotonic() + GRACE_SECONDS
                if time.monotonic() >= ends:
                    return
        for thread in threads:
            thread.join()
        if work.error is not None:
            raise work.error


@dataclass(slots=True)
class _Work:
    """The tasks of one run.

    Attributes:
        done: set when none waits and none runs.
        error: the first that a task raised; no other begins after it.
    """

    waiting: deque[Task]
    alone: Callable[[Step], Iterable[Step]]
    running: int = 0
    error: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def run(self) -> None:
        """Runs tasks until all have ended."""
        while (task := self._next()) is not None:
            try:
                steps = task()
            except Halted:
                steps = ()
            except BaseException as error:
                self._fail(error)
                steps = ()
            self._ended(steps)

    def drop_waiting(self) -> None:
        """Lets no further task begin."""
        with self.changed:
            self.waiting.clear()
            self._note_end()

    def _next(self) -> Task | None:
        with self.changed:
            while not self.waiting:
                if not self.running:
                    return None
                self.changed.wait()  # a task that runs may return steps
            self.running += 1
            return self.waiting.popleft()

    def _ended(self, steps: Iterable[Step]) -> None:
        follow_up = [partial(self.alone, step) for step in steps]
        with self.changed:
            self.running -= 1
            if follow_up and self.error is None:
                self.waiting += follow_up
                self.changed.notify_all()
            self._note_end()

    def _fail(self, error: BaseException) -> None:
        with self.changed:
            self.error = self.error or error
            self.waiting.clear()

    def _note_end(self) -> None:
        if not self.running and not self.waiting:
            self.done.set()
            self.changed.notify_all()
