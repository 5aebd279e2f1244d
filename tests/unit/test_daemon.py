"""When a running worker begins a flush, by a clock of the test: daily, asked for, and again after a failure."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import schedule

from tests.ticked_worker import DAY, HOUR, MINUTE, ONE, TEN, TWO, Worker, ticked_worker
from worker.cli.run import flush_request
from worker.clock import as_text
from worker.daemon import Daemon, run_pending
from worker.errors import DatabaseError
from worker.flush.run import Flusher
from worker.flush.turns import Turns
from worker.model import AccountId
from worker.sqlite.database import open_database
from worker.status.run_summary import last_line
from worker.store import accounts, bare_customers, customers, runs
from worker.store.run_result import RunResult


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """A worker with two accounts, whose daily flush of the day before is done."""
    with ticked_worker(tmp_path / "x.db", monkeypatch) as made:
        yield made


def test_an_account_that_failed_is_tried_again_alone_after_a_quarter_an_hour_and_four(worker: Worker) -> None:
    """The other account is done for the day; after the third try the daily flush is waited for."""
    worker.changed(ONE, TWO)
    worker.failing = {ONE}
    assert worker.tick() == [ONE, TWO]
    worker.changed(TWO)
    tried, began = [], worker.now
    while worker.now < TEN + DAY:
        if (delivered := worker.tick()) is not None:
            assert delivered == [ONE]
            tried.append(worker.now - began)
            began = worker.now
        worker.go_to(worker.now + MINUTE)
    assert tried == [15 * MINUTE, HOUR, 4 * HOUR]
    worker.failing = set()
    assert worker.tick() == [ONE, TWO]
    worker.go_to(worker.now + 5 * HOUR)
    assert worker.tick() is None


def test_a_failure_of_the_next_day_is_tried_again_as_early_as_the_first(worker: Worker) -> None:
    """Each daily flush begins to count from the start, also where a try of the day before was still to come."""
    worker.failing = {ONE}
    worker.changed(ONE)
    for moment, delivered in (
        (TEN, True),
        (TEN + 15 * MINUTE, True),
        (TEN + DAY, True),
        (TEN + DAY + 14 * MINUTE, False),
        (TEN + DAY + 15 * MINUTE, True),
    ):
        worker.go_to(moment)
        assert (worker.tick() == [ONE]) is delivered


def test_an_account_that_a_try_delivered_waits_for_the_next_day(worker: Worker) -> None:
    """Once it went through, nothing is tried again, and it is no failed account any more."""
    worker.changed(ONE)
    worker.failing = {ONE}
    worker.tick()
    assert [one.account_id for one in runs.failed_accounts(worker.db)] == [ONE]
    worker.failing = set()
    worker.go_to(TEN + 15 * MINUTE)
    assert worker.tick() == [ONE]
    assert runs.failed_accounts(worker.db) == []
    worker.changed(ONE)
    worker.go_to(TEN + 5 * HOUR)
    assert worker.tick() is None


@pytest.mark.parametrize("account", [ONE, None])
def test_a_requested_flush_that_failed_is_tried_again_though_the_first_daily_flush_is_to_come(
    worker: Worker, account: AccountId | None
) -> None:
    """As the command says, whether it was for one account or for all."""
    worker.tick()
    worker.go_to(TEN + HOUR)
    with worker.db.transaction():
        settings = accounts.all_accounts(worker.db)[0]
        accounts.save(worker.db, replace(settings, enabled_at=worker.now - MINUTE))
        runs.ask(worker.db, as_text(worker.now), account, confirmed=False)
    assert settings.account_id == ONE
    worker.changed(ONE)
    worker.failing = {ONE}
    assert worker.tick() == [ONE]
    worker.go_to(TEN + HOUR + 15 * MINUTE)
    assert worker.tick() == [ONE]


def test_what_a_restart_of_the_worker_finds_failed_it_tries_again(worker: Worker) -> None:
    """The state is in the database: a worker that starts at noon goes on where the one before was."""
    worker.changed(ONE)
    worker.failing = {ONE}
    worker.tick()
    worker.daemon = Daemon(worker.app, Event())
    worker.go_to(TEN + 2 * HOUR)
    assert worker.tick() == [ONE]


def test_an_account_that_has_nothing_left_to_do_is_not_tried_again_and_again(worker: Worker) -> None:
    """Such as when another worker settled its customers meanwhile."""
    worker.changed(ONE)
    worker.failing = {ONE}
    worker.tick()
    with worker.db.transaction():
        worker.db.execute("UPDATE customer SET changed = 0")
    worker.go_to(TEN + 15 * MINUTE)
    assert worker.tick() == []
    assert worker.tick() is None


@pytest.mark.parametrize("years", [4, 0.01])
def test_a_flush_noted_for_the_future_counts_as_none_and_is_reported(
    worker: Worker, years: float, caplog: pytest.LogCaptureFixture
) -> None:
    """A clock that was ahead once stops no delivery: it is due at once, the log says why, and then all is as always."""
    future = as_text(TEN + years * 365 * DAY)
    with worker.db.transaction():
        runs.account_done(worker.db, ONE, future, completes=True)
    worker.changed(ONE)
    worker.go_to(TEN + HOUR)
    with caplog.at_level(logging.WARNING, "worker.daemon"):
        assert worker.tick() == [ONE]
    assert f"account {ONE} is recorded at {future}, in the future: the clock was ahead" in caplog.text
    worker.changed(ONE)
    assert worker.tick() is None
    worker.go_to(TEN + DAY)
    assert worker.tick() == [ONE]


@pytest.mark.parametrize("skew", [5 * MINUTE, -5 * MINUTE])
def test_a_clock_that_is_five_minutes_wrong_skips_and_doubles_no_day(worker: Worker, skew: timedelta) -> None:
    """Whether it was ahead or behind while the flush ran, and put right afterwards: one flush a day."""
    days = []
    for day in range(3):
        for minute in range(-20, 20):
            for wrong in (timedelta(0), skew):
                worker.go_to(TEN + day * DAY + minute * MINUTE + wrong)
                worker.changed(ONE)
                if worker.tick() is not None:
                    days.append(day)
    assert days == [0, 1, 2]


@pytest.mark.parametrize("back", [HOUR, 4 * DAY], ids=["summer time ends", "a clock that was ahead"])
def test_a_clock_that_is_set_back_stops_nothing(monkeypatch: pytest.MonkeyPatch, back: timedelta) -> None:
    """What runs every second goes on by the new time, and is not run more often either."""
    now = [datetime(2026, 10, 25, 2, 30)]  # noqa: DTZ001 - as schedule has it
    ran: list[datetime] = []

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return now[0]

    monkeypatch.setattr(schedule.datetime, "datetime", Clock)
    ticks = schedule.Scheduler()
    ticks.every(1).seconds.do(lambda: ran.append(now[0]))
    now[0] -= back
    for _ in range(11):
        run_pending(ticks)
        now[0] += timedelta(seconds=0.5)
    assert len(ran) == 6


def test_a_flush_that_cannot_be_carried_out_is_begun_again_after_growing_waits(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not every second: after 10 and 30 seconds, one and then five minutes; once it is, everything is as before."""
    broken = DatabaseError("The database cannot be used: disk I/O error.", "Look at the disk.")
    tried: list[float] = []

    def fail(self: object, *arguments: object) -> None:
        tried.append((worker.now - TEN).total_seconds())
        raise broken

    worker.changed(ONE)
    with monkeypatch.context() as patched:
        patched.setattr(Flusher, "flush", fail)
        for second in range(800):
            worker.go_to(TEN + timedelta(seconds=second))
            worker.tick()
    assert tried == [0, 10, 40, 100, 400, 700]
    assert caplog.text.count("could not be carried out") == 6
    worker.go_to(TEN + timedelta(seconds=1000))
    assert worker.tick() == [ONE]


def test_a_clock_that_is_set_back_during_a_flush_delays_no_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accounts start at seconds of their own, by a clock that is never set back."""
    with ticked_worker(tmp_path / "y.db", monkeypatch, spread=0.5) as worker:
        worker.changed(ONE, TWO)
        put = Turns.put

        def queue_and_set_back(*arguments: Any) -> None:
            put(*arguments)
            worker.go_to(TEN - HOUR)

        monkeypatch.setattr(Turns, "put", queue_and_set_back)
        assert worker.tick() == [ONE, TWO]


# What operators ask for


def ask(worker: Worker, *, confirmed: bool = False) -> Callable[[], list[runs.Request]]:
    """Writes a request, as a command that was killed leaves it; returns what gives the open ones."""
    with worker.db.transaction():
        runs.ask(worker.db, as_text(worker.now), ONE, confirmed=confirmed)
    return lambda: runs.open_requests(worker.db)


def test_a_flush_of_all_accounts_leaves_out_those_whose_customers_are_being_read_again(worker: Worker) -> None:
    """It delivers the others at once, says why and what is next; the account's daily flush is still to come."""
    worker.go_to(TEN - MINUTE)
    worker.changed(ONE)
    topic = worker.app.config.kafka.topic
    with worker.db.transaction():
        row = (TWO, "c", None, bare_customers.CONSENTS, 0, None, None, None, topic, "id", 0, 1, "now")
        customers.stage(worker.db, [row], bare=True)
        bare_customers.note(worker.db, topic, "id", {(TWO, 0): 1})
        runs.ask(worker.db, as_text(worker.now), TWO, confirmed=False)
        runs.ask(worker.db, as_text(worker.now), None, confirmed=False)
    assert worker.tick() == [ONE]
    (run,) = runs.last(worker.db, 5)
    left = next(one for one in run.accounts if one.account_id == TWO)
    assert (left.ended, left.to_do, left.settled) == (RunResult.INCOMPLETE, 1, 0)
    assert "being read again from Kafka" in (left.message or "")
    assert "first flush after that delivers them" in (left.message or "")
    assert last_line(run, ()).endswith("account acct-2 is incomplete: The next flush tries again.")
    worker.go_to(TEN)
    assert worker.tick() == [], "the one that asks for this account alone waits, and so does its daily flush"
    bare_customers.end(worker.db, bare_customers.to_read(worker.db)[0])
    worker.changed(TWO)
    assert worker.tick() == [TWO]


@pytest.mark.parametrize(
    ("later", "carried_out"),
    [(MINUTE, True), (10 * MINUTE, True), (-5 * MINUTE, True), (11 * MINUTE, False), (-HOUR, False)],
)
def test_a_request_is_carried_out_within_ten_minutes_or_never(
    worker: Worker, later: timedelta, carried_out: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """One that a killed command left behind is dropped, and so is one of a clock that was ahead; the log says so."""
    worker.go_to(TEN - 2 * HOUR)
    worker.changed(ONE)
    left = ask(worker, confirmed=True)
    worker.go_to(worker.now + later)
    assert worker.tick() == ([ONE] if carried_out else None)
    assert left() == []
    assert ("too old" in caplog.text) is not carried_out


def test_a_command_that_failed_leaves_no_request(worker: Worker) -> None:
    """Whatever made it fail, and with a confirmation too; what a run has taken stays with that run."""

    def fail() -> None:
        with flush_request(worker.app, worker.db, ONE, confirmed=True):
            assert [one.confirmed for one in runs.open_requests(worker.db)] == [True]
            raise DatabaseError("It cannot.", "Do something.")

    with pytest.raises(DatabaseError):
        fail()
    assert runs.open_requests(worker.db) == []
    with flush_request(worker.app, worker.db, ONE, confirmed=False) as request, worker.db.transaction():
        runs.take(worker.db, request.request, runs.start(worker.db, as_text(TEN), "command", ONE))
    assert runs.request(worker.db, request.request) is not None


def test_a_request_that_is_withdrawn_while_it_is_taken_begins_nothing(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its command has said that nothing is done."""
    worker.go_to(TEN - 2 * HOUR)
    worker.changed(ONE)
    left = ask(worker, confirmed=True)
    seen = left()
    monkeypatch.setattr(runs, "open_requests", lambda db: seen)
    with closing(open_database(tmp_path / "x.db")) as other, other.transaction():
        runs.withdraw(other, seen[0].request)
    assert worker.tick() == []
    assert runs.last(worker.db, 5) == []
