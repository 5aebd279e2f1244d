"""Ledger and settings in Kafka: one writer a partition, and settings of several workers."""

from __future__ import annotations

import base64
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer
from pydantic import SecretStr

from tests.integration.topic import Topic
from worker.accounts import settings
from worker.app import App
from worker.changelog.partition_writer import PartitionWriter
from worker.changelog.topic_log import TopicLog
from worker.changelog.topics import ChangelogTopic
from worker.changelog.writer import ChangelogWriter
from worker.cli.context import changing
from worker.config import Config, Staging
from worker.errors import KafkaError, WriterFenced
from worker.model import AccountId, AddressKey, CustomerId, ListId, MembershipKey
from worker.store import accounts, dead_letters, ledger
from worker.store.accounts import AccountSettings
from worker.store.changed_rows import Changed
from worker.store.database import Database
from worker.store.dead_letters import DeadLetter
from worker.store.ledger import LedgerEntry

pytestmark = pytest.mark.kafka
ACCOUNT = AccountId("acct-1")
LIST = ListId("master")


class Worker:
    """One worker's parts, with a database of its own."""

    def __init__(self, folder: Path, topic: Topic) -> None:
        folder.mkdir(exist_ok=True)
        secret = SecretStr(base64.b64encode(b"k" * 32).decode())
        self.app = App(Config(kafka=topic.settings(), staging=Staging(path=folder / "worker.db"), secret_key=secret))
        self.db = self.app.open_database()
        self.lost: list[tuple[int, bool]] = []
        self.app.changelog.lost = lambda partition, fenced: self.lost.append((partition, fenced))

    @property
    def changelog(self) -> ChangelogWriter:
        """What writes."""
        return self.app.changelog

    @property
    def partition(self) -> int:
        """The account's partition of the ledger."""
        return self.changelog.ledger_partition(ACCOUNT)

    def take(self) -> None:
        """Takes the account's partition of the ledger and reads it."""
        with closing(self.app.open_database()) as copy, closing(self.app.open_reader(copy)) as reader:
            self.changelog.take(
                self.changelog.topics.ledger, self.partition, lambda: reader.read_ledger(self.partition)
            )

    def writer(self, *, signed: bool) -> PartitionWriter:
        """What writes any records to that partition, with or without a signature."""
        sign = partial(self.app.signatures.headers_of, "ledger") if signed else lambda key, value: []
        return PartitionWriter(self.app.config.kafka, self.changelog.topics.ledger.name, self.partition, sign)

    def write(self, address: str, customer: str = "cus-1") -> None:
        """Writes an entry of the ledger."""
        entry = LedgerEntry(
            MembershipKey(LIST, AddressKey(address)), CustomerId(customer), "present", "added", "2026-11-22T10:00:00Z"
        )
        self.changelog.commit(self.db, lambda: Changed(None, ledger.put_entries(self.db, ACCOUNT, [entry])))

    def ledger(self) -> dict[str, str]:
        """Address to customer, as this worker's database has it."""
        return {row["address"]: row["customer_id"] for row in self.db.execute("SELECT * FROM ledger")}

    def make_account(self) -> None:
        """Gives the account settings."""
        chosen = AccountSettings(ACCOUNT, key_hint="-us1", enabled=True)
        self.changelog.commit(self.db, lambda: Changed(None, accounts.save(self.db, chosen)))

    def settings(self) -> AccountSettings:
        """The account's settings, after reading them."""
        with closing(self.app.open_database()) as copy, closing(self.app.open_reader(copy)) as reader:
            reader.read_settings()
        return settings.load(self.db, ACCOUNT)


@pytest.fixture
def hire(whole_kafka: object, topic: Topic, tmp_path: Path) -> Iterator[Callable[[str], Worker]]:
    """Makes workers by their names."""
    made: list[Worker] = []

    def new(name: str) -> Worker:
        made.append(Worker(tmp_path / name, topic))
        return made[-1]

    yield new
    for one in made:
        one.db.close()


# One writer a partition


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


def test_what_several_threads_write_at_one_time_is_acknowledged_once(
    hire: Callable[[str], Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for a transaction shares the next one with all others who wait."""
    writing, left, changed = 0, 64, threading.Condition()
    write, carry_out = PartitionWriter.write, PartitionWriter._carry_out

    def counted(self: PartitionWriter, *records: object) -> range:
        nonlocal writing
        with changed:
            writing += 1
            changed.notify_all()
        try:
            return write(self, *records)  # type: ignore[arg-type]
        finally:
            with changed:
                writing -= 1

    def once_all_wait(self: PartitionWriter, group: object) -> None:
        with changed:
            assert changed.wait_for(lambda: writing >= min(16, left), 30)
        carry_out(self, group)  # type: ignore[arg-type]

    def put(number: int) -> None:
        nonlocal left
        with closing(first.app.open_database()) as db:
            place = MembershipKey(LIST, AddressKey(f"{number}@example.com"))
            entry = LedgerEntry(place, CustomerId(f"cus-{number}"), "present", "added", "2026-11-22T10:00:00Z")
            first.changelog.commit(db, lambda: Changed(None, ledger.put_entries(db, ACCOUNT, [entry])))
        with changed:
            left -= 1
            changed.notify_all()

    first = hire("first")
    first.take()
    monkeypatch.setattr(PartitionWriter, "write", counted)
    group = first.changelog._writers[first.changelog.topics.ledger.name, first.partition]._group
    monkeypatch.setattr(group, "_carry_out", partial(once_all_wait, group._carry_out.__self__))
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(put, range(64)))
    monkeypatch.undo()
    second = hire("second")
    second.take()
    assert second.ledger() == {f"{number}@example.com": f"cus-{number}" for number in range(64)}
    topic = first.changelog.topics.ledger
    (known,) = first.db.execute(
        "SELECT next_offset FROM next_offset WHERE topic = ? AND partition = ?", (topic.name, first.partition)
    ).fetchone()
    assert 64 < known < 64 + 40  # a marker for each transaction


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


# Settings of several workers


def test_settings_that_another_worker_changed_meanwhile_are_not_undone(hire: Callable[[str], Worker]) -> None:
    """A change is made to the settings as they are, not as they were when the command began."""
    first, second = hire("first"), hire("second")
    first.make_account()
    second.settings()
    with changing(first.app) as slow:
        assert settings.load(slow, ACCOUNT).enabled
        with changing(second.app) as db:
            settings.disable(db, second.changelog, ACCOUNT)
        # As lists refresh does when Mailchimp has answered.
        first.changelog.commit(slow, lambda: rename(slow))
    for one in (first, second, hire("third")):
        found = one.settings()
        assert not found.enabled
        assert found.status_if_new == "pending"


def rename(db: Database) -> Changed[None]:
    """Changes one setting and leaves the others."""
    found = settings.load(db, ACCOUNT)
    pending = AccountSettings(ACCOUNT, found.enabled, found.key_hint, status_if_new="pending")
    return Changed(None, accounts.save(db, pending))


def test_two_workers_change_settings_in_turn(hire: Callable[[str], Worker]) -> None:
    """Each takes the settings from the other when it has something to write, and knows what that one wrote."""
    first, second = hire("first"), hire("second")
    first.make_account()
    second.settings()
    for worker, act in ((second, settings.disable), (first, settings.enable), (second, settings.disable)):
        act(worker.db, worker.changelog, ACCOUNT)
    assert not first.settings().enabled


# Records that cannot be applied


def test_a_record_that_cannot_be_applied_costs_its_account_only(hire: Callable[[str], Worker], topic: Topic) -> None:
    """It becomes a dead letter, its account waits, nothing is written over it; a newer record ends that."""
    first = hire("first")
    first.make_account()
    first.take()
    first.write("a@example.com")
    key = b'["place","acct-1","master","a@example.com"]'
    writer = first.writer(signed=True)
    writer.open()
    writer.write([(key, b'{"format":99}'), (b"no key of ours", b"?"), (b'["later","acct-2"]', b"{}")])
    first.take()
    assert first.ledger() == {"a@example.com": "cus-1"}
    letters = {one.key: one for one in dead_letters.all_letters(first.db)}
    assert letters[key].account_id == ACCOUNT
    assert "format 99" in letters[key].reason
    assert letters[b"no key of ours"].account_id is None
    assert letters[b'["later","acct-2"]'].account_id == "acct-2"
    assert settings.missing(settings.load(first.db, ACCOUNT))[0].code == "record_not_applied"
    with pytest.raises(KafkaError, match="This release cannot apply"):
        first.write("a@example.com", "older-state")
    first.write("b@example.com")
    writer = first.writer(signed=True)
    writer.open()
    writer.write([(key, b"{}")])
    first.take()
    assert first.ledger() == {"b@example.com": "cus-1"}
    assert {one.key for one in dead_letters.of_changelog(first.db)} == {b'["later","acct-2"]'}
    assert settings.load(first.db, ACCOUNT).unapplied is None


def test_a_release_that_can_applies_what_the_one_before_could_not(hire: Callable[[str], Worker]) -> None:
    """At its start, without anybody's doing."""
    first = hire("first")
    key = b'["place","acct-1","master","a@example.com"]'
    row = b'{"format":2,"customer_id":"cus-1","state":"gone","origin":"added","fields":"{}","sent_at":"now"}'
    name, signed = first.changelog.topics.ledger.name, first.app.signatures.headers_of("ledger", key, row)
    letter = DeadLetter(name, "", 0, 0, key, row, signed, "a later release wrote it", "now", account_id=ACCOUNT)
    with closing(first.app.open_database()) as copy, closing(first.app.open_reader(copy)) as reader:
        with copy.transaction():
            dead_letters.keep(copy, [letter])
        assert reader.apply_dead_letters() == 1
    assert first.ledger() == {"a@example.com": "cus-1"}
    assert dead_letters.count(first.db) == 0


def test_what_is_written_while_the_end_is_asked_is_not_taken_for_a_topic_that_was_cut(
    hire: Callable[[str], Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread may write settings between the question where the topic ends and its answer's use."""
    worker, asked, written = hire("one"), TopicLog.bounds_beyond, []
    worker.make_account()
    worker.settings()

    def written_meanwhile(log: TopicLog, topic: ChangelogTopic, partition: int, known: int) -> tuple[int, int]:
        found = asked(log, topic, partition, known)
        if not written:
            written.append(partition)
            worker.make_account()
        return found

    monkeypatch.setattr(TopicLog, "bounds_beyond", written_meanwhile)
    assert worker.settings().enabled
    assert written
