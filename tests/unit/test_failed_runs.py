"""A flush that an error ends: its run, its request and its accounts end too, as soon as the database can be written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.ticked_worker import MINUTE, ONE, TEN, TWO, Worker, ticked_worker
from worker.cli.run import FLUSH
from worker.clock import as_text, utc_now
from worker.errors import DatabaseError, KafkaError
from worker.flush import account_runner, run
from worker.jobs import flush
from worker.sqlite.database import Database
from worker.status.account_facts import facts_of
from worker.store import customers, runs
from worker.store.accounts import AccountSettings
from worker.store.run_result import RunResult
from worker.store.runs import AccountRun

HOUR_BEFORE = TEN - 60 * MINUTE


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """A worker with two accounts, an hour before their daily flush."""
    with ticked_worker(tmp_path / "x.db", monkeypatch) as made:
        made.go_to(HOUR_BEFORE)
        yield made


class Disk:
    """A disk that a test fills: no transaction begins then."""

    def __init__(self, patched: pytest.MonkeyPatch) -> None:
        self.full = False
        begin = Database.transaction

        @contextmanager
        def transaction(db: Database) -> Iterator[None]:
            if self.full:
                raise DatabaseError("The database cannot be used: database or disk is full.", "Make room on the disk.")
            with begin(db):
                yield

        patched.setattr(Database, "transaction", transaction)

    def fills(self, *_: object) -> AccountRun:
        """Fills the disk, in place of an account's delivery."""
        self.full = True
        return AccountRun(ONE, {}, 1, 1)


def request(worker: Worker, account_id: Any = ONE) -> int:
    """Writes a request for a flush and carries it out; returns its number."""
    with worker.db.transaction():
        number = runs.ask(worker.db, as_text(worker.now), account_id).request
    worker.tick()
    return number


def end_failed(worker: Worker) -> None:
    """Does what the running worker does every second for runs that an error ended."""
    job = next(job for job in worker.daemon._jobs(worker._poller.owned_partitions) if job.name == "runs")
    with closing(worker.app.open_database()) as db:
        job.step(db)


def run_of(worker: Worker, number: int) -> runs.Run:
    """Returns the run that carries out a request."""
    taken = runs.request(worker.db, number)
    assert taken is not None
    assert taken.run is not None
    found = runs.get(worker.db, taken.run)
    assert found is not None
    return found


def test_a_requested_flush_ends_as_failed_once_the_full_disk_has_room(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that waits for it prints the reason and exits with 1, and no account is delivering any more."""
    disk = Disk(monkeypatch)
    monkeypatch.setattr(account_runner, "deliver", disk.fills)
    worker.changed(ONE)
    number = request(worker)
    with pytest.raises(DatabaseError):
        end_failed(worker)
    disk.full = False
    end_failed(worker)
    ended = run_of(worker, number)
    assert ended.ended is RunResult.FAILED
    assert [part.ended for part in ended.accounts] == [RunResult.FAILED]
    assert "disk is full" in (ended.accounts[0].message or "")
    assert not any(facts.delivering for facts in facts_of(worker.db, utc_now(), runs.under_way(worker.db)))
    assert worker.app.metrics.flushes == {"failed": 1}
    assert FLUSH.print_result(worker.db, ended, asked=False, as_json=False) == 1
    assert "disk is full" in " ".join(capsys.readouterr().out.split())


def test_the_next_flush_leaves_a_failed_run_its_reason(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flush that begins before the failed one could be recorded does not take it for one of a dead process."""
    disk = Disk(monkeypatch)
    with monkeypatch.context() as patched:
        patched.setattr(account_runner, "deliver", disk.fills)
        worker.changed(ONE)
        number = request(worker)
    disk.full = False
    worker.go_to(worker.now + MINUTE)
    request(worker)
    assert run_of(worker, number).ended is RunResult.FAILED


def test_after_a_failed_request_for_all_accounts_those_left_are_tried_again_by_themselves(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after any failure: a quarter of an hour later. What a person requested for one account is not repeated."""
    disk = Disk(monkeypatch)
    worker.changed(ONE)
    for account_id, failed in ((ONE, []), (None, [ONE])):
        with monkeypatch.context() as patched:
            patched.setattr(account_runner, "deliver", disk.fills)
            request(worker, account_id)
        disk.full = False
        end_failed(worker)
        assert [account.account_id for account in runs.failed_accounts(worker.db)] == failed
        worker.go_to(worker.now + MINUTE)
    assert worker.tick() is None
    worker.go_to(worker.now + 15 * MINUTE)
    assert worker.tick() == [ONE]


def test_a_request_that_is_too_old_does_not_end_the_worker_on_a_full_disk(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is dropped once there is room; until then no flush begins for it."""
    disk = Disk(monkeypatch)
    worker.changed(ONE)
    with worker.db.transaction():
        runs.ask(worker.db, as_text(worker.now), ONE)
    worker.go_to(worker.now + 11 * MINUTE)
    disk.full = True
    assert worker.tick() is None
    disk.full = False
    assert worker.tick() is None
    assert runs.open_requests(worker.db) == []


def fails_with(error: BaseException) -> Callable[..., Any]:
    """Returns a function that raises an error."""

    def fail(*_args: object, **_kwargs: object) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("owner", "name", "error", "told"),
    [
        (flush, "finish_staging", DatabaseError("The database is locked.", "Wait."), "is locked. Wait."),
        (flush, "Eligibility", DatabaseError("The database is locked.", "Wait."), "is locked. Wait."),
        (run.Flusher, "_choose_accounts", KeyError("x"), "An internal error of the worker ended it; see the log."),
        (run.Flusher, "_store_as_unfinished", DatabaseError("The database is locked.", "Wait."), "is locked. Wait."),
        (account_runner.AccountRunner, "_store", KeyError("x"), "internal error"),
        (account_runner.AccountRunner, "_store", KafkaError("No broker answers.", "Start it."), "No broker answers."),
        (runs, "get", MemoryError(), None),
    ],
)
def test_whatever_ends_a_requested_flush_ends_its_run(
    worker: Worker,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    owner: Any,
    name: str,
    error: BaseException,
    told: str | None,
) -> None:
    """Before its accounts are chosen, while they are delivered or afterwards: nothing waits for it any more.

    The command prints the reason.
    """
    worker.changed(ONE)
    worker.failing = {ONE}
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, fails_with(error))
        number = request(worker, None)
    end_failed(worker)
    ended = run_of(worker, number)
    assert ended.ended is RunResult.FAILED
    assert runs.under_way(worker.db) == []
    assert worker.daemon._flusher.turns.accounts() == frozenset()
    assert told is None or told in (ended.reason or "")
    assert FLUSH.print_result(worker.db, ended, asked=False, as_json=False) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert told is None or told in printed
    assert "nothing has changed" not in printed
    assert "{" not in printed


def test_an_account_whose_thread_cannot_start_is_not_under_way(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine gives no more threads, the run fails, and the next one delivers the account."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("account"):
            raise RuntimeError("can't start new thread")
        start(thread)

    worker.changed(ONE, TWO)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        number = request(worker, None)
    assert run_of(worker, number).ended is RunResult.FAILED
    assert worker.daemon._flusher.turns.accounts() == frozenset()
    worker.go_to(TEN)
    assert worker.tick() == [ONE, TWO]
    assert customers.accounts_with_changes(worker.db) == {}


def test_an_account_that_stopped_early_keeps_its_reason_in_a_run_that_fails(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only accounts whose part had not ended get the error as their reason, and count what they had settled."""
    put = runs.put_account
    under_way = AccountRun(TWO, {"updated": 3}, 7, 3, RunResult.STOPPED, "Held back on a list.")

    def deliver(db: Database, settings: AccountSettings, *_: object) -> AccountRun:
        if settings.account_id == ONE:
            return AccountRun(ONE, {}, 1, ended=RunResult.STOPPED, message="Ended early, because.")
        with db.transaction():
            put(db, 1, under_way)
        raise KafkaError("No broker answers.", "Start it.")

    def refuse_two(db: Database, number: int, part: AccountRun) -> None:
        if part.account_id == TWO and part.ended is RunResult.FAILED:
            raise DatabaseError("The database is locked.", "Wait.")
        put(db, number, part)

    worker.changed(ONE, TWO)
    with monkeypatch.context() as patched:
        patched.setattr(account_runner, "deliver", deliver)
        patched.setattr(runs, "put_account", refuse_two)
        number = request(worker, None)
    one, two = run_of(worker, number).accounts
    assert (one.ended, one.message) == (RunResult.STOPPED, "Ended early, because.")
    assert two == AccountRun(TWO, {"updated": 3}, 7, 3, RunResult.FAILED, "The database is locked. Wait.")
    assert [account.account_id for account in runs.failed_accounts(worker.db)] == [TWO]
