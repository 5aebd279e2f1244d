"""The loop that all background jobs of a running worker share."""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Event

import pytest

from worker.errors import DatabaseError
from worker.jobs.job import Failures, Job, JobThread, start_all
from worker.sqlite.database import Database, open_database


class Failing:
    """Fails as the test says, then goes on."""

    def __init__(self, *errors: Exception, retry_after: float = 0.001) -> None:
        self.errors = list(errors)
        self.succeeded = Event()
        self.job = Job("failing", "nothing could be done", self.step, 0.001, retry_after)

    def step(self, db: Database) -> None:
        """Raises the next error, while there is one."""
        if self.errors:
            raise self.errors.pop(0)
        self.succeeded.set()


def carried_out(failing: Failing, path: Path) -> JobThread:
    """Returns a thread that has taken a step without an error."""
    (thread,) = start_all([failing.job], lambda: open_database(path))
    assert failing.succeeded.wait(15)
    return thread


@pytest.mark.timeout(20)
def test_a_job_goes_on_after_an_unexpected_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The error is logged with its traceback, and the next step comes all the same."""
    carried_out(Failing(RuntimeError("unexpected")), tmp_path / "worker.db").end(15)
    assert "nothing could be done: internal error" in caplog.text
    assert "RuntimeError: unexpected" in caplog.text


@pytest.mark.timeout(20)
def test_an_error_with_advice_is_logged_without_a_traceback(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What operators can do something about is a warning."""
    carried_out(Failing(DatabaseError("The disk is full.", "Make room.")), tmp_path / "worker.db").end(15)
    assert [(one.levelno, one.message) for one in caplog.records] == [
        (logging.WARNING, "nothing could be done: The disk is full. Make room.")
    ]


@pytest.mark.timeout(20)
def test_the_same_failure_is_logged_once_a_minute(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A step that fails every few milliseconds gives one line, and another failure gives one of its own."""
    disk, kafka = DatabaseError("The disk is full.", "Make room."), DatabaseError("It is locked.", "Wait.")
    carried_out(Failing(*[disk] * 20, *[kafka] * 20, disk), tmp_path / "worker.db").end(15)
    assert [one.message for one in caplog.records] == [
        "nothing could be done: The disk is full. Make room.",
        "nothing could be done: It is locked. Wait.",
        "nothing could be done: The disk is full. Make room.",
    ]


def test_a_failure_that_stays_is_logged_again_after_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """So the log shows that it has not gone away; a success in between starts over."""
    seconds = iter([0.0, 59.0, 60.0, 61.0, 62.0])
    failures = Failures("nothing could be done", lambda: next(seconds))

    def fail() -> None:
        raise DatabaseError("The disk is full.", "Make room.")

    assert [failures.attempt(fail) for _ in range(4)] == [False] * 4
    assert len(caplog.records) == 2
    assert failures.attempt(lambda: None)
    assert not failures.attempt(fail)
    assert len(caplog.records) == 3


@pytest.mark.timeout(20)
def test_a_job_ends_at_once_while_it_waits(tmp_path: Path) -> None:
    """The end of the worker does not wait for the next step."""
    failing = Failing(DatabaseError("The disk is full.", "Make room."), retry_after=600.0)
    (thread,) = start_all([failing.job], lambda: open_database(tmp_path / "worker.db"))
    thread.end(15)
    assert not thread._thread.is_alive()
