"""What status shows of a worker, its partitions, its broker and its accounts."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.staged import stage_batch
from tests.unit.consumer.test_batch import event
from worker.clock import as_moment, as_text
from worker.config import Config, Staging
from worker.consumer.owned_partitions import Lag, OwnedPartitions
from worker.kafka.partitioner import partition_of
from worker.model import AccountId, ListId
from worker.sqlite import lock
from worker.sqlite.database import Database
from worker.sqlite.lock import DatabaseLock, is_locked, lock_path, seconds_since_beat
from worker.status.live import LiveFile, LiveWorker, read_live
from worker.status.overview import overview
from worker.store import accounts, held_counts, offsets, receipts, runs
from worker.store.accounts import AccountList, AccountSettings
from worker.store.held_counts import HeldCount
from worker.store.offsets import TopicSize
from worker.store.receipts import Receipt
from worker.store.run_result import RunResult
from worker.store.runs import AccountRun

NOW = datetime(2026, 11, 22, 9, 42, tzinfo=UTC)
TOPIC = "billmywork.customers"
ACCOUNT = AccountId("acct-1")
LIVE = LiveWorker("host-1", 42, as_text(NOW), as_text(NOW), None, {0: Lag(0, 0.0), 2: Lag(7, 3.0)})


@pytest.fixture
def db(db: Database) -> Database:
    """A database with a ready account, a customer that waits, and three partitions that were read."""
    stage_batch(db, TOPIC, "id", [event(0, email="ann@example.com")], "2026-11-22T08:42:00.000Z")
    master = AccountList(ListId("m"), "Master", True, 0, False, NOW)
    with db.transaction():
        accounts.save(db, AccountSettings(ACCOUNT, True, "c3d4", ListId("m"), lists=(master,)))
        runs.account_done(db, ACCOUNT, "2026-11-21T10:00:10.000Z", completes=True)
        offsets.note_size(db, TOPIC, TopicSize("id", 3, 3))
        for partition in range(3):
            offsets.move_on(db, TOPIC, "id", partition, 1, "2026-11-22T09:41:30.000Z")
    return db


def shown(db: Database, beat: float | None = 1.0, live: LiveWorker | None = LIVE) -> dict[str, Any]:
    """What status shows."""
    return overview(db, Config(staging=Staging(path=Path("/data/worker.db"))), NOW, beat=beat, live=live)


def test_a_running_worker_shows_what_it_has_now(db: Database) -> None:
    """Its own partitions with lag and age, not those that another worker has meanwhile."""
    found = shown(db)
    assert [(one["partition"], one["lag"], one["age"]) for one in found["partitions"]] == [
        (0, 0, "30 seconds"),
        (2, 7, "30 seconds"),
    ]
    assert (found["worker"]["host"], found["worker"]["pid"]) == ("host-1", 42)
    assert found["worker"]["database"] == "/data/worker.db"
    assert found["broker"]["reached"] is True
    assert found["next_flush_in_words"] == "today at 10:00, in 18 minutes"


def test_partitions_are_shown_by_number(db: Database) -> None:
    """Not by when they were last read: after a take-over, some were read earlier."""
    with db.transaction():
        offsets.move_on(db, TOPIC, "id", 0, 2, "2026-11-22T09:42:30.000Z")
    found = shown(db, live=replace(LIVE, partitions=dict.fromkeys((0, 1, 2), Lag(0, 0.0))))
    assert [one["partition"] for one in found["partitions"]] == [0, 1, 2]


def test_without_a_worker_it_shows_how_far_each_partition_was_read(db: Database) -> None:
    """What a worker that crashed said of itself counts for nothing."""
    found = shown(db, beat=None)
    assert [(one["partition"], one["lag"]) for one in found["partitions"]] == [(0, None), (1, None), (2, None)]
    assert (found["worker"]["running"], found["worker"]["host"]) == (False, None)
    assert found["broker"]["reached"] is None


def test_a_broker_that_is_away_is_reported_with_since_when(db: Database) -> None:
    """As the worker itself found it."""
    away = LiveWorker("host-1", 42, as_text(NOW), as_text(NOW), "2026-11-22T09:30:00.000Z", {})
    assert shown(db, live=away)["broker"]["words"].endswith("has not answered since today at 09:30, 12 minutes ago")


def test_an_account_shows_what_waits_since_when_and_what_is_held(db: Database) -> None:
    """Ready is not what it is while 5,000 members are held."""
    (account,) = shown(db)["accounts"]
    assert (account["state"], account["customers_waiting"]) == ("waiting", 1)
    assert account["waiting_since_in_words"] == "today at 08:42, 60 minutes ago"
    with db.transaction():
        held_counts.show(db, ACCOUNT, [HeldCount(ListId("m"), "departures", 5000)], as_text(NOW))
    (account,) = shown(db)["accounts"]
    assert account["state"] == "held"
    assert [one["words"] for one in account["held"]] == ["5000 members would leave list Master (m)"]


def test_an_account_of_another_worker_names_its_partition(db: Database) -> None:
    """Another worker's account is one of which this worker has neither the partition nor read a record there."""
    number = partition_of(ACCOUNT, 3)
    notes = [
        shown(db, live=replace(LIVE, partitions=dict.fromkeys(own, Lag(0, 0.0))))["accounts"][0]["notes"]
        for own in ({number}, {0}, {1}, ())
    ]
    said = f"Another worker has this account now (partition {number}): run status there for what waits."
    assert notes == [[], [], [said], []]  # its customer was read in partition 0
    assert shown(db, beat=None)["accounts"][0]["notes"] == []


def test_a_flush_under_way_is_shown_and_a_crashed_one_is_not(db: Database) -> None:
    """Its account is delivering while a worker runs; after a crash it waits again."""
    with db.transaction():
        run = runs.start(db, "2026-11-22T09:41:40.000Z", "daily", None)
        runs.put_account(db, run, AccountRun(ACCOUNT, {"added": 5000}, 5001, 5000, RunResult.STOPPED))
    found = shown(db)
    assert found["flush"]["words"].startswith(
        "run 1: 5000 of 5001 customers, 1 left, 250 a second, ends today at 09:42"
    )
    assert found["accounts"][0]["state"] == "delivering"
    found = shown(db, beat=None)
    assert found["flush"] is None
    assert found["accounts"][0]["state"] == "incomplete"


def test_the_command_that_status_names_lists_as_many_refused_as_it_says(db: Database) -> None:
    """Each refused customer once, by its last refusal, whatever its outcome was called."""
    with db.transaction():
        for number, outcomes in enumerate(
            (["refused"], ["refused", "refused", "suppressed"], ["suppressed"], ["added"])
        ):
            refusal = None if "added" in outcomes else "Invalid Resource"
            db.execute(
                "INSERT INTO standing (account_id, customer_id, refusal) VALUES (?,?,?)",
                (ACCOUNT, f"c{number}", refusal),
            )
            receipts.write(db, [_receipt(f"c{number}", outcome) for outcome in outcomes])
    assert (shown(db)["suppressed"], shown(db)["refused_with_receipt"]) == (3, 3)
    assert [one.customer_id for one in receipts.find(db, refused=True)] == ["c0", "c1", "c2"]


def _receipt(customer: str, outcome: str) -> Receipt:
    return Receipt(
        run=1, at=as_text(NOW), account_id=ACCOUNT, customer_id=customer, address=None, revision=1, event_id=None,
        topic=TOPIC, partition=0, offset=0, list_id=None, list_reason=None, outcome=outcome, detail="", next="",
    )  # type: ignore[arg-type]  # fmt: skip


def test_a_worker_says_in_a_file_what_it_has(tmp_path: Path) -> None:
    """Anybody may read it; nothing is written more than once a second; it is gone with the worker."""
    path = tmp_path / "worker.db"
    owned_partitions = OwnedPartitions()
    owned_partitions.assigned({3: (0, 9)})
    file = LiveFile(path, lambda: NOW)
    file.write(owned_partitions)
    owned_partitions.assigned({4: (0, 0)})
    file.write(owned_partitions)
    live = read_live(path)
    assert live is not None
    assert (live.pid, live.since, list(live.partitions), live.away_since) == (os.getpid(), as_text(NOW), [3], None)
    file.remove()
    assert read_live(path) is None
    (tmp_path / "worker.db.worker").write_text("{")
    assert read_live(path) is None


def test_a_running_worker_is_seen_by_its_heartbeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock is its user's alone; another user who may enter the folder sees by the lock file's time that it runs."""
    path = tmp_path / "worker.db"
    with DatabaseLock(path) as held:
        assert lock_path(path).stat().st_mode & 0o777 == 0o600
        assert is_locked(path)

        def refuse(*arguments: object) -> int:
            raise PermissionError

        with monkeypatch.context() as patched:
            patched.setattr(lock.os, "open", refuse)
            assert is_locked(path)
            assert seconds_since_beat(path) is not None
            held.beat_no_more()
            assert not is_locked(path)
    assert not is_locked(path)


def test_receipts_are_complete_since_the_last_take_over_of_the_own_partitions(db: Database) -> None:
    """Each account says its own time; a partition that another worker has now does not count."""
    made = shown(db)["receipts_since"]
    (account,) = shown(db)["accounts"]
    assert account["receipts_since"] == made
    taken = {partition: as_text(as_moment(made) + timedelta(minutes=partition)) for partition in range(1, 3)}
    with db.transaction():
        offsets.note_taken(db, TOPIC, taken.items())
    found = shown(db, live=replace(LIVE, partitions={1: Lag(0, 0.0)}))
    assert found["receipts_since"] == taken[1]
    assert found["accounts"][0]["receipts_since"] == taken[2], "the account belongs to partition 2"
