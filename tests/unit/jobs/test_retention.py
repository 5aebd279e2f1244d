"""What the worker drops of what it keeps, so that its database does not grow without end, also while it only runs."""

import logging
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.unit.accounts.test_forget import receipt
from worker.app import App
from worker.clock import as_text, utc_now
from worker.config import Config, DeadLetters, Receipts, Staging
from worker.consumer.owned_partitions import OwnedPartitions
from worker.jobs.job import Job, start_all
from worker.jobs.retention import drop_due, drop_old, limit_dead_letters
from worker.model import AccountId
from worker.sqlite.database import open_database
from worker.store import dead_letters, receipts, runs
from worker.store.dead_letters import DeadLetter
from worker.store.runs import AccountRun

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)


@pytest.fixture
def db(tmp_path):
    """Returns an empty database."""
    database = open_database(tmp_path / "x.db")
    yield database
    database.close()


def keep(db, *ages):
    """Keeps a dead letter for each age in days, numbered from one on."""
    with db.transaction():
        dead_letters.keep(
            db,
            [
                DeadLetter("t", "", 0, number, None, b"?", [], "not JSON", as_text(NOW - timedelta(days=age)))
                for number, age in enumerate(ages)
            ],
        )


def numbers(db):
    """Returns the numbers of all dead letters that are left."""
    return [one.number for one in dead_letters.all_letters(db)]


def test_dead_letters_and_receipts_older_than_wanted_are_dropped_and_reported(db, caplog):
    """Each by its own number of days; what is exactly as old stays."""
    keep(db, 9, 8, 7, 0)
    with db.transaction():
        receipts.write(db, [receipt(1, "1@example.com")])  # of this day
    config = Config(dead_letters=DeadLetters(keep_days=7), receipts=Receipts(keep_days=1))
    with caplog.at_level(logging.INFO, "worker.daemon"):
        drop_old(db, NOW, config)
    assert numbers(db) == [3, 4]
    assert caplog.messages == ["dropped 2 dead letters older than 7 days"]
    drop_old(db, NOW + timedelta(days=2), config)
    assert list(receipts.find(db)) == []


@pytest.mark.parametrize(("most", "left"), [(5, [1, 2, 3, 5]), (4, [1, 2, 3, 5]), (2, [3, 5]), (0, [])])
def test_of_too_many_dead_letters_the_newest_stay(db, caplog, most, left):
    """As many as wanted are left, also where some between were dropped by hand; only a loss is logged."""
    keep(db, 4, 3, 2, 1, 0)
    with db.transaction():
        dead_letters.drop(db, 4)
    limit_dead_letters(db, DeadLetters(keep_at_most=most))
    assert numbers(db) == left
    lost = 4 - len(left)
    assert caplog.messages == (
        [f"dropped {lost} dead letter{'s' if lost > 1 else ''} beyond the newest {most}"] if lost else []
    )


def test_too_many_dead_letters_are_dropped_too(db):
    """A flush ends with no more of them than wanted."""
    keep(db, 2, 1, 0)
    drop_old(db, NOW, Config(dead_letters=DeadLetters(keep_at_most=1)))
    assert numbers(db) == [3]


def test_runs_go_with_their_receipts(db, caplog):
    """Their accounts' parts and the requests they took go too; a request that no run took stays, and so do numbers."""
    with db.transaction():
        for days in (3, 0):
            at = as_text(NOW - timedelta(days=days))
            run = runs.start(db, at, "command", None)
            runs.put_account(db, run, AccountRun(AccountId("acct-1"), {}, 1))
            runs.take(db, runs.ask(db, at, None, confirmed=False).request, run)
        runs.ask(db, as_text(NOW - timedelta(days=9)), None, confirmed=False)
    with caplog.at_level(logging.INFO, "worker.daemon"):
        drop_old(db, NOW, Config(receipts=Receipts(keep_days=2)))
    assert caplog.messages == ["dropped 1 run older than 2 days"]
    assert [one.run for one in runs.last(db, 5)] == [2]
    left = [tuple(row) for row in db.execute("SELECT request, run FROM flush_request")]
    assert left == [(2, 2), (3, None)]
    assert db.execute("SELECT count(*) FROM flush_run_account").fetchone()[0] == 1
    with db.transaction():
        assert runs.start(db, as_text(NOW), "daily", None) == 3


@pytest.mark.timeout(30)
def test_what_is_too_old_goes_at_a_worker_that_delivers_nothing(tmp_path: Path) -> None:
    """Without a partition, and so without a flush that would tidy up."""
    app = App(Config(staging=Staging(path=tmp_path / "worker.db")))
    now = utc_now()
    with closing(app.open_database()) as db:
        times = (now - timedelta(days=401), now)
        letters = [
            DeadLetter("t", "id", 0, number, None, b"?", [], "no JSON", as_text(at)) for number, at in enumerate(times)
        ]
        with db.transaction():
            dead_letters.keep(db, letters)
        (thread,) = start_all(
            [Job("retention", "", partial(drop_due, app, OwnedPartitions()), 0.01, 0.01)], app.open_database
        )
        pause = threading.Event()
        while dead_letters.count(db) > 1:
            pause.wait(0.01)
        thread.end(15)
        assert [one.offset for one in dead_letters.all_letters(db)] == [1]
