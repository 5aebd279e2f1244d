"""Tasks and the steps that follow them, on threads."""

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from worker.flush import execute
from worker.flush.execute import Task, run_tasks
from worker.flush.step_result import Halted


def executor(threads: int) -> ThreadPoolExecutor:
    """An executor as a flush makes it."""
    return ThreadPoolExecutor(threads, "calls of acct-1")


def nothing(step: Any) -> Iterable[Any]:
    """Follows no task."""
    raise AssertionError(step)


def test_every_task_and_each_step_that_follows_is_run_once():
    """Also steps that follow other steps."""
    done, lock = list[int](), threading.Lock()

    def run(number: int) -> list[Any]:
        with lock:
            done.append(number)
        return [10 * number, 10 * number + 1] if number < 100 else []

    run_tasks(executor(4), [partial(run, number) for number in range(1, 10)], run, threading.Event())  # type: ignore[arg-type]
    second = [10 * number + more for number in range(1, 10) for more in (0, 1)]
    third = [10 * number + more for number in second for more in (0, 1)]
    assert sorted(done) == sorted([*range(1, 10), *second, *third])


def test_no_more_threads_run_than_are_allowed_and_none_is_left():
    """Fewer where there are fewer tasks; their names tell whose calls they make."""
    names = set[str]()
    tasks: list[Task] = [lambda: names.add(threading.current_thread().name) or ()] * 100  # type: ignore[func-returns-value]
    run_tasks(executor(4), tasks, nothing, threading.Event())
    assert names <= {f"calls of acct-1_{number}" for number in range(4)}
    run_tasks(executor(4), [], nothing, threading.Event())
    assert not any(one.name.startswith("calls of") for one in threading.enumerate())


def test_an_error_is_raised_and_no_other_task_begins():
    """The first one that a task raises."""
    begun = list[int]()

    def run(number: int) -> Iterable[Any]:
        begun.append(number)
        raise ValueError(number)

    with pytest.raises(ValueError, match="0"):
        run_tasks(executor(1), [partial(run, number) for number in range(3)], nothing, threading.Event())
    assert begun == [0]


def test_a_halted_task_ends_by_itself():
    """The others learn on their own that no more calls may be made."""
    done = list[int]()

    def run(number: int) -> Iterable[Any]:
        if number == 1:
            raise Halted
        done.append(number)
        return ()

    run_tasks(executor(1), [partial(run, number) for number in range(3)], nothing, threading.Event())
    assert done == [0, 2]


def test_a_stop_begins_nothing_more_and_waits_only_a_moment_for_calls(monkeypatch: pytest.MonkeyPatch):
    """A call that hangs is left behind."""
    monkeypatch.setattr(execute, "GRACE_SECONDS", 0.05)
    monkeypatch.setattr(execute, "LOOK_SECONDS", 0.01)
    stop, hangs, begun = threading.Event(), threading.Event(), list[int]()

    def run(number: int) -> Iterable[Any]:
        begun.append(number)
        stop.set()
        hangs.wait(10)
        return ()

    run_tasks(executor(1), [partial(run, number) for number in range(3)], nothing, stop)
    hangs.set()
    assert begun == [0]


def test_no_further_task_begins_after_an_error_while_others_run():
    """What runs is waited for; what waits is not begun."""
    begun, fails = list[int](), threading.Event()

    def run(number: int) -> Iterable[Any]:
        begun.append(number)
        if number == 1:
            fails.set()
            raise ValueError(number)
        assert fails.wait(10)
        return ()

    tasks = [partial(run, number) for number in range(50)]
    with pytest.raises(ValueError, match="1"):
        run_tasks(executor(2), tasks, nothing, threading.Event())
    assert len(begun) < 10


def test_a_step_for_which_no_thread_starts_is_an_error_and_leaves_none_behind():
    """As when the machine has too many threads."""

    class Full(ThreadPoolExecutor):
        left = 2

        def submit(self, *arguments: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise RuntimeError("can't start new thread")
            return super().submit(*arguments, **options)

    for tasks in ([lambda: ()] * 3, [lambda: [1, 2]]):
        with pytest.raises(RuntimeError, match="new thread"):
            run_tasks(Full(2, "calls of full"), tasks, lambda step: (), threading.Event())  # type: ignore[arg-type]
    assert not any(one.name.startswith("calls of full") for one in threading.enumerate())
