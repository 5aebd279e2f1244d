"""Runs tasks and their follow-up steps on a thread pool, until all have ended or the worker must stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any

from worker.flush.step_result import Halted
from worker.mailchimp.rate_limit import Stop
from worker.plan.steps import Step

GRACE_SECONDS = 4.0
"""How long to wait for calls in flight when the worker must end."""
LOOK_SECONDS = 0.5
"""How often to check whether it must."""

Task = Callable[[], Iterable[Step]]
"""Runs on a thread of the pool; returns steps to run one by one afterwards."""


def run_tasks(
    pool: ThreadPoolExecutor, tasks: Iterable[Task], alone: Callable[[Step], Iterable[Step]], stop: Stop
) -> None:
    """Runs tasks, and the steps that they return; returns early if the worker must stop.

    Args:
        alone: runs one of these steps.

    Raises:
        Exception: raised by a task, except Halted.
    """
    # Does not wait for thousands of futures at once, which would check each of them again and again.
    lock, ended = threading.Lock(), SimpleQueue[Future[Iterable[Step]]]()
    running, ends = 0, None

    def begin(task: Callable[..., Iterable[Step]], *arguments: Any) -> None:
        nonlocal running
        with lock:
            running += 1
        pool.submit(task, *arguments).add_done_callback(end)

    def end(task: Future[Iterable[Step]]) -> None:
        nonlocal running
        with lock:
            # Wakes the caller's thread only for follow-up steps and for the last task.
            if running == 1 or task.cancelled() or task.exception() is not None or task.result():
                ended.put(task)
            running -= 1

    for task in tasks:
        begin(task)
    while running or not ended.empty():
        if stop.is_set():
            # Calls in flight get a moment more, so that their results are known; the next flush finds out the rest.
            ends = ends or time.monotonic() + GRACE_SECONDS
            if time.monotonic() >= ends:
                return
        try:
            steps = _result(ended.get(timeout=LOOK_SECONDS))
        except Empty:
            continue
        for step in steps:
            begin(alone, step)


def _result(task: Future[Iterable[Step]]) -> Iterable[Step]:
    try:
        return task.result()
    except Halted:
        return ()
