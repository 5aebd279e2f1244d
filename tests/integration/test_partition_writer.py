"""One writer a partition of the ledger, whatever else writes at the same time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from confluent_kafka import KafkaException, Producer

from tests.integration.changelog_worker import ACCOUNT, LIST, Worker
from tests.integration.topic import Topic
from worker.changelog.partition_writer import PartitionWriter
from worker.cli.context import changing
from worker.errors import KafkaError, WriterFenced
from worker.model import AddressKey, CustomerId, MembershipKey
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed
from worker.store import ledger
from worker.store.ledger import LedgerEntry

pytestmark = pytest.mark.kafka


def test_a_writer_that_is_fenced_raises_no_alarm_in_the_log(
    hire: Callable[[str], Worker], caplog: pytest.LogCaptureFixture
) -> None:
    """A command that writes takes a partition from the running worker, which takes it back: nothing is wrong."""
    one, other = hire("one"), hire("other")
    one.take()
    one.write("a@example.com")
    other.take()
    with pytest.raises(WriterFenced):
        one.write("b@example.com")
    assert [line for line in caplog.records if line.levelno >= logging.ERROR] == []


def test_who_lost_the_ledger_to_another_worker_writes_nothing_more(hire: Callable[[str], Worker]) -> None:
    """However late its record comes: Kafka refuses it, and its own database does not have it either."""
    first, second, third = hire("first"), hire("second"), hire("third")
    first.take()
    first.write("a@example.com", "old-state")
    second.take()
    assert second.ledger() == {"a@example.com": "old-state"}
    second.write("a@example.com", "new-state")
    with pytest.raises(WriterFenced, match="took over partition"):
        first.write("a@example.com", "older-state")
    assert first.lost == [(first.partition, True)]
    assert first.ledger() == {"a@example.com": "old-state"}
    with pytest.raises(WriterFenced):
        first.write("b@example.com")
    third.take()
    assert third.ledger() == {"a@example.com": "new-state"}


def test_what_a_frozen_writer_began_is_ended_by_the_next_one(hire: Callable[[str], Worker], topic: Topic) -> None:
    """Records of a transaction that was never committed count for nobody, and keep no reader waiting."""
    first = hire("first")
    first.take()
    first.write("a@example.com", "old-state")
    frozen = first.writer(signed=True)
    frozen.open()
    frozen._producer.begin_transaction()
    key = b'["place","acct-1","master","a@example.com"]'
    frozen._producer.produce(f"{topic.name}.ledger", b'{"customer_id":"late"}', key, first.partition)
    frozen._producer.flush(10)
    second = hire("second")
    second.take()
    assert second.ledger() == {"a@example.com": "old-state"}
    with pytest.raises(KafkaException) as refused:
        frozen._producer.commit_transaction(10)
    assert isinstance(frozen._failure(refused.value.args[0]), WriterFenced)


def test_a_writer_learns_beside_its_writes_that_it_is_fenced(hire: Callable[[str], Worker]) -> None:
    """A record of it that Kafka refuses late ends no thread that only serves callbacks; its next write raises it."""
    first, second = hire("first"), hire("second")
    first.take()
    frozen = first.writer(signed=True)
    frozen.open()
    refused = threading.Event()
    late = {"topic": first.changelog.topics.ledger.name, "key": b"[]", "partition": first.partition}
    frozen._producer.begin_transaction()
    frozen._producer.produce(value=b"{}", **late)
    frozen._producer.flush(10)
    second.take()
    frozen._producer.produce(value=b"{}", on_delivery=lambda error, message: refused.set(), **late)
    for _ in range(200):
        frozen.poll()
        if refused.wait(0.05):
            break
    with pytest.raises(WriterFenced):
        frozen.write([(b"[]", None)])


def test_what_is_written_and_not_readable_yet_does_not_look_lost(hire: Callable[[str], Worker], topic: Topic) -> None:
    """However late a broker ends a transaction: the log holds what the database knows, so nothing was cut."""
    worker = hire("first")
    worker.take()
    late = Producer({"bootstrap.servers": topic.broker.bootstrap_servers, "transactional.id": f"{topic.name}-late"})
    late.init_transactions(10)
    late.begin_transaction()
    key = b'["place","acct-1","master","b@example.com"]'
    late.produce(worker.changelog.topics.ledger.name, b"{}", key, worker.partition)
    late.flush(10)
    worker.write("a@example.com")
    with closing(worker.app.open_reader(worker.db)) as reader:
        reader.read_ledger(worker.partition)
    late.abort_transaction(10)
    assert set(worker.ledger()) == {"a@example.com"}


def test_a_clock_that_the_broker_does_not_accept_is_named(hire: Callable[[str], Worker], topic: Topic) -> None:
    """The error says that clocks differ: the transaction's own error says only that it must be aborted."""
    worker = hire("first")
    worker.take()
    # Each record is a little older than the broker's time.
    Topic(topic.broker, worker.changelog.topics.ledger.name, 2).configure(message_timestamp_before_max_ms="0")
    with pytest.raises(KafkaError) as caught:
        worker.write("a@example.com")
    assert "clocks of this machine and of the broker" in caught.value.message
    assert "message.timestamp.after.max.ms" in caught.value.advice


def test_a_command_takes_the_ledger_of_the_account_that_it_changes(hire: Callable[[str], Worker]) -> None:
    """A flush that is under way elsewhere writes nothing over what the command wrote."""
    first, second = hire("first"), hire("second")
    first.take()
    first.write("a@example.com", "old-state")
    with changing(second.app, lambda db: [ACCOUNT]) as db:
        assert second.ledger() == {"a@example.com": "old-state"}
        place = MembershipKey(LIST, AddressKey("a@example.com"))
        second.changelog.commit(db, lambda: Changed(None, ledger.drop_entries(db, ACCOUNT, [place])))
    with pytest.raises(WriterFenced):
        first.write("a@example.com", "older-state")
    first.take()
    assert first.ledger() == {}


def test_what_several_threads_write_at_one_time_is_written_once(hire: Callable[[str], Worker]) -> None:
    """Kafka and the database have all of it, whichever thread's transaction came first."""

    def put(number: int) -> None:
        with closing(first.app.open_database()) as db:
            place = MembershipKey(LIST, AddressKey(f"{number}@example.com"))
            entry = LedgerEntry(place, CustomerId(f"cus-{number}"), "present", "added", "2026-11-22T10:00:00Z")
            first.changelog.commit(db, lambda: Changed(None, ledger.put_entries(db, ACCOUNT, [entry])))

    first = hire("first")
    first.take()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(put, range(64)))
    assert first.ledger() == {f"{number}@example.com": f"cus-{number}" for number in range(64)}
    second = hire("second")
    second.take()
    assert second.ledger() == first.ledger()
    topic = first.changelog.topics.ledger
    (known,) = first.db.execute(
        "SELECT next_offset FROM next_offset WHERE topic = ? AND partition = ?", (topic.name, first.partition)
    ).fetchone()
    assert 64 < known < 2 * 64  # each record is followed by the marker of its transaction


def test_a_slow_broker_does_not_lock_the_database(
    hire: Callable[[str], Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Kafka takes its time, other threads write, and staging goes on."""
    first = hire("first")
    first.take()
    asked, answer = threading.Event(), threading.Event()
    write = PartitionWriter.write

    def slowly(self: PartitionWriter, *records: object) -> range:
        asked.set()
        assert answer.wait(30)
        return write(self, *records)  # type: ignore[arg-type]

    monkeypatch.setattr(PartitionWriter, "write", slowly)
    thread = threading.Thread(target=first.write, args=("a@example.com",))
    thread.start()
    assert asked.wait(30)
    with closing(first.app.open_database()) as db:
        db.execute("PRAGMA busy_timeout = 0")
        with db.transaction():
            db.execute("INSERT INTO read_count VALUES ('customers', 0, 'away', 1)")
        assert first_entries(db) == []
    answer.set()
    thread.join()
    assert first.ledger() == {"a@example.com": "cus-1"}


def first_entries(db: Database) -> list[str]:
    """Addresses in the ledger."""
    return [row["address"] for row in db.execute("SELECT address FROM ledger")]


def test_a_commit_that_a_command_overtook_in_the_same_database_is_not_committed(
    hire: Callable[[str], Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row is in Kafka before the command's: written to the database last, it would make that older than Kafka."""
    worker, command = hire("same"), hire("same")
    worker.take()
    write = PartitionWriter.write

    def then_the_command(self: PartitionWriter, *records: object) -> range:
        monkeypatch.undo()
        written = write(self, *records)  # type: ignore[arg-type]
        command.take()
        command.write("a@example.com", "of-the-command")
        return written

    monkeypatch.setattr(PartitionWriter, "write", then_the_command)
    with pytest.raises(WriterFenced):
        worker.write("a@example.com", "of-the-worker")
    assert worker.ledger() == {"a@example.com": "of-the-command"}
    reader = hire("another")
    reader.take()
    assert reader.ledger() == {"a@example.com": "of-the-command"}
