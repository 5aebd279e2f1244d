"""A partition that nobody read for longer than its topic keeps nulls."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from confluent_kafka import Message

from tests.integration.flush.world import World
from tests.integration.reading import ACCOUNT, reading
from tests.integration.topic import Topic, event
from worker.clock import as_text, utc_now
from worker.consumer import retention_gap
from worker.errors import DatabaseError
from worker.kafka.partitioner import partition_of
from worker.model import Customer
from worker.sqlite.database import Database, open_database
from worker.store import counts, customers, reread_customers

PAUSE = timedelta(days=3)
DAY = 24 * 3600 * 1000
MINE = partition_of(ACCOUNT, 2)


@pytest.fixture
def topic(whole_kafka: object, topic: Topic) -> Topic:
    """A compacted topic that keeps nulls for a day."""
    topic.configure(cleanup_policy="compact", delete_retention_ms=str(DAY))
    return topic


def stage_first(topic: Topic, path: Path, count: int = 5) -> None:
    """Publishes customers, stages them, and settles them all."""
    topic.publish(event(f"cus-{n}", version=1, email=f"c{n}@example.com") for n in range(count))
    with reading(topic, path) as worker:
        worker.to_the_end()
    db = open_database(path)
    with db.transaction():
        db.execute("UPDATE customer SET changed = 0")
    db.close()


def add_gone(path: Path, customer_id: str = "gone", **columns: object) -> None:
    """Stages a customer as if from a record that a null and compaction have removed since."""
    db = open_database(path)
    values = {"customer_id": customer_id, "address": f"{customer_id}@example.com", "version": 7} | columns
    row = dict(db.execute("SELECT * FROM customer WHERE customer_id = 'cus-0'").fetchone()) | values
    row["state"] = f'{{"email": "{customer_id}@example.com"}}'
    names = ", ".join(f'"{name}"' for name in row)
    with db.transaction():
        db.execute(f"INSERT INTO customer ({names}) VALUES ({','.join('?' * len(row))})", tuple(row.values()))
    db.close()


def leave(topic: Topic, path: Path, customer_id: str = "new") -> None:
    """Nobody reads for some days, in which one customer is published."""
    set_back(path)
    topic.publish([event(customer_id, email=f"{customer_id}@example.com")])


def set_back(path: Path) -> None:
    """Makes all partitions look as if nobody had read them for some days."""
    db = open_database(path)
    with db.transaction():
        db.execute("UPDATE next_offset SET updated_at = ?", (as_text(utc_now() - PAUSE),))
    db.close()


def row_of(db: Database, customer_id: str) -> Customer:
    """A customer's row."""
    (row,) = customers.by_ids(db, ACCOUNT, [customer_id])  # type: ignore[list-item]
    return row


def changed(db: Database) -> set[str]:
    """The customers that need a flush."""
    return {one.customer_id for one in customers.changed(db, ACCOUNT, None, 100)}


def age(db: Database, partition: int) -> float:
    """How many hours ago a partition was known to be read to its end."""
    row = db.execute("SELECT updated_at FROM next_offset WHERE partition = ?", (partition,)).fetchone()
    hours: float = db.execute("SELECT (julianday('now') - julianday(?)) * 24", (row[0],)).fetchone()[0]
    return hours


def test_who_is_gone_from_the_partition_is_deleted(topic: Topic, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is read again from its beginning, and said; others stay as they are, and the next start does nothing of it."""
    stage_first(topic, path)
    add_gone(path)
    leave(topic, path)
    with reading(topic, path) as worker:
        worker.to_the_end()
        gone = row_of(worker.db, "gone")
        assert (gone.deleted, gone.changed, gone.revision, gone.version) == (True, True, 2, 7)
        assert changed(worker.db) == {"gone", "new"}
        assert counts.totals(worker.db, topic.name) == {"away": 1, "repeated": 5}
        assert age(worker.db, MINE) < 1
        assert worker.next_offsets()[MINE] == 6
    assert "delete.retention.ms: 24 h" in caplog.text
    assert "therefore deleted: 1 customer" in caplog.text
    topic.publish([event("newer")])
    with reading(topic, path) as worker:
        worker.to_the_end()
        assert counts.totals(worker.db, topic.name)["away"] == 1


def test_a_partition_in_which_nothing_was_written_is_not_read_again(topic: Topic, path: Path) -> None:
    """No record came, so no null did, however long the pause was."""
    stage_first(topic, path)
    add_gone(path)
    set_back(path)
    with reading(topic, path) as worker:
        worker.to_the_end()
        assert not row_of(worker.db, "gone").deleted
        assert counts.totals(worker.db, topic.name) == {}
        assert age(worker.db, MINE) < 1


def test_a_pause_for_which_nulls_are_kept_changes_nothing(topic: Topic, path: Path) -> None:
    """The topic's own delete.retention.ms decides."""
    topic.configure(delete_retention_ms=str(7 * DAY))
    stage_first(topic, path)
    add_gone(path)
    leave(topic, path)
    with reading(topic, path) as worker:
        worker.to_the_end()
        assert changed(worker.db) == {"new"}
        assert counts.totals(worker.db, topic.name) == {}


@pytest.mark.parametrize("policy", ["delete", "compact,delete"])
def test_where_records_go_for_other_reasons_nobody_is_deleted(
    topic: Topic, path: Path, policy: str, caplog: pytest.LogCaptureFixture
) -> None:
    """That a record is gone means little there, so it is only said that deletions may have been missed."""
    topic.configure(cleanup_policy=policy)
    stage_first(topic, path)
    add_gone(path)
    leave(topic, path)
    with reading(topic, path) as worker:
        worker.to_the_end()
        assert changed(worker.db) == {"new"}
        assert counts.totals(worker.db, topic.name)["away"] == 1
        assert age(worker.db, MINE) < 1
    assert "Deletions may have been missed" in caplog.text
    assert policy in caplog.text


def test_where_the_log_lost_its_beginning_nobody_is_deleted(
    topic: Topic, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Those whose records stood there may live on."""
    stage_first(topic, path)
    topic.configure(cleanup_policy="compact,delete")  # records of a topic that is only compacted cannot be removed
    topic.truncate(MINE, 2)
    topic.configure(cleanup_policy="compact")
    leave(topic, path)
    with reading(topic, path) as worker:
        worker.to_the_end()
        assert changed(worker.db) == {"new"}
    assert "its log begins at offset 2" in caplog.text


def test_where_keys_named_other_customers_nobody_is_deleted(
    topic: Topic, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Compaction goes by the key: it may have removed the only record of a customer whom nobody deleted."""
    stage_first(topic, path)
    add_gone(path)
    set_back(path)
    record = b'{"type":"com.billmywork.customer.updated","data":{"account_id":"acct-1","customer":{"id":"cus-8"}}}'
    topic.produce(record, b"acct-1/cus-9", MINE)
    topic.flush()
    with reading(topic, path) as worker:
        worker.to_the_end()
        assert changed(worker.db) == {"cus-8"}
    assert "keys of 1 record named another customer" in caplog.text


def test_only_customers_of_that_partition_are_deleted(topic: Topic, path: Path) -> None:
    """Who was staged from another partition, or from a topic of another id or name, is left alone."""
    stage_first(topic, path)
    add_gone(path, "gone-1")
    add_gone(path, "other-1", partition=1 - MINE)
    add_gone(path, "other-2", topic_id="before")
    add_gone(path, "other-3", topic="another")
    add_gone(path, "gone-2", deleted=1, changed=0)
    leave(topic, path)
    with reading(topic, path) as worker:
        worker.to_the_end()
        assert changed(worker.db) == {"gone-1", "new"}
        assert row_of(worker.db, "gone-2").revision == 1


def test_a_record_of_any_kind_shows_that_its_customer_is_not_gone(topic: Topic, path: Path) -> None:
    """What cannot be understood, or is of another type, took the place of the customer's event: only nulls delete."""
    stage_first(topic, path)
    for number in range(3):
        add_gone(path, f"there-{number}")
    topic.produce(b"not JSON", b"acct-1/there-0", MINE)
    topic.produce(b'{"type":"com.billmywork.customer.merged"}', b"acct-1/there-1", MINE)
    topic.produce(None, b"no customer", MINE)
    topic.flush()
    leave(topic, path)
    with reading(topic, path) as worker:
        worker.to_the_end()
        assert changed(worker.db) == {"there-2", "new"}


def test_a_crash_before_the_end_leads_to_another_reading(
    topic: Topic, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed when all was staged and nobody deleted yet, the worker begins again at the next start."""
    stage_first(topic, path)
    add_gone(path)
    leave(topic, path)

    def die(*_: object) -> int:
        raise DatabaseError("It is killed.", "Start it again.")

    with monkeypatch.context() as patched, reading(topic, path) as worker:
        patched.setattr(reread_customers, "delete_others", die)
        worker.until_dead()
        assert changed(worker.db) == {"new"}
        assert worker.owned_partitions.ready() <= {1 - MINE}
        assert age(worker.db, MINE) > 24
    with reading(topic, path) as worker:
        worker.to_the_end()
        assert changed(worker.db) == {"gone", "new"}
        assert counts.totals(worker.db, topic.name)["away"] == 2


def test_a_partition_that_was_lost_before_the_end_is_read_again(
    topic: Topic, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken by a worker that joins, and given back when that one ends: nobody of those who were there is deleted."""
    stage_first(topic, path)
    add_gone(path)
    leave(topic, path)
    sweep = retention_gap.RetentionGap._low_once_read
    monkeypatch.setattr(retention_gap.RetentionGap, "_low_once_read", lambda *_: None)
    with reading(topic, path) as worker:
        worker.until(lambda: worker.owned_partitions.backlog() == (6, 6))
        with reading(topic, tmp_path / "other.db") as other:
            other.until(lambda: other.owned_partitions.owned() and worker.owned_partitions.owned() != {0, 1})
            assert not row_of(worker.db, "gone").deleted
        monkeypatch.setattr(retention_gap.RetentionGap, "_low_once_read", sweep)
        # Where the one that joined was given another partition than this, only an event makes this one go on.
        topic.publish([event("newest")])
        worker.until(lambda: row_of(worker.db, "gone").deleted)
        worker.until(lambda: changed(worker.db) == {"gone", "new", "newest"})


def test_a_process_that_was_frozen_for_long_reads_again(topic: Topic, path: Path) -> None:
    """It finds out by the clock, before anything that it reads then makes the partition look as if it had not."""
    stage_first(topic, path)
    add_gone(path)
    frozen, slept = threading.Event(), threading.Event()
    with reading(topic, path, lambda: utc_now() + (PAUSE if slept.is_set() else timedelta())) as worker:
        worker.to_the_end()
        waiting = worker.consumer._poll

        def freeze(behind: bool) -> Sequence[Message]:
            if not slept.is_set():
                frozen.set()
                slept.wait(10)
            return waiting(behind)

        worker.consumer._poll = freeze  # type: ignore[method-assign,assignment]
        worker.until(frozen.is_set)
        topic.publish([event("new")])
        slept.set()
        worker.until(lambda: changed(worker.db) == {"gone", "new"})


def test_an_idle_partition_does_not_age_while_the_worker_runs(
    topic: Topic, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Now and then it is noted that it holds nothing unread; where reading goes on does not move."""
    monkeypatch.setattr(retention_gap, "REFRESH_SECONDS", 0.2)
    stage_first(topic, path)
    with reading(topic, path) as worker:
        worker.to_the_end()
        before = worker.next_offsets()
        set_back(path)
        worker.until(lambda: age(worker.db, 0) < 1 and age(worker.db, 1) < 1)
        assert worker.next_offsets() == before


def test_who_is_gone_is_archived_by_the_next_flush(topic: Topic, tmp_path: Path) -> None:
    """Only that one and the new one cost a call that writes."""
    with World(tmp_path) as world:
        path = world.app.config.staging.path
        stage_first(topic, path)
        add_gone(path)
        with world.db.transaction():
            world.db.execute("UPDATE customer SET changed = 1")
        world.flush()
        assert len(world.members()) == 6
        leave(topic, path)
        with reading(topic, path) as worker:
            worker.to_the_end()
        assert customers.settle_known(world.db) == 0
        world.flush()
        assert world.status("gone@example.com") == "archived"
        assert {email for email, status in world.members().items() if status == "subscribed"} == {
            "new@example.com",
            *(f"c{n}@example.com" for n in range(5)),
        }
        assert len(world.writes()) == 2
