"""Members join and leave the group while a worker reads, by both group protocols."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer as LibraryConsumer
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]

from tests.integration.reading import SECONDS, Reading, reading
from tests.integration.topic import Topic, event
from worker.consumer import instance, owned_partitions
from worker.errors import ConsumerStopped
from worker.kafka.partitioner import partition_of

JOINS = {"classic": 20, "consumer": 10}
"""By the newer protocol each takes some heartbeats: of five seconds, where the broker is not of these tests."""
SOAK_JOINS = int(os.environ.get("JOINS", "500"))
PROTOCOLS = ("classic", "consumer")

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("whole_kafka")]


class SlowConsumer:
    """The library's consumer, whose consume() is late: rebalances are waiting by then."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def consume(self, count: int, timeout: float) -> Any:
        """Serves what came meanwhile."""
        time.sleep(0.03)
        return self._consumer.consume(count, timeout)


@contextmanager
def published(topic: Topic) -> Iterator[None]:
    """Publishes, each record about a customer of its own, as long as the context lasts."""
    ended = threading.Event()

    def publish() -> None:
        number = 0
        while not ended.is_set():
            for _ in range(100):
                account = f"acct-{number % 16}"
                value = f'{{"type":"com.billmywork.customer.updated","data":{{"account_id":"{account}","customer":'
                value += f'{{"id":"cus-{number}"}}}}}}'
                topic.produce(value.encode(), None, partition_of(account, topic.partitions))
                number += 1
            topic.flush()
            ended.wait(0.02)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def member(topic: Topic, protocol: str) -> LibraryConsumer:
    """Another member of the group, which leaves it for good when it is closed."""
    settings = topic.settings(group_protocol=protocol)
    config = settings.client | {
        "bootstrap.servers": settings.bootstrap_servers,
        "group.id": settings.group_id,
        "group.protocol": protocol,
        "enable.auto.commit": False,
        "auto.offset.reset": "latest",
    }
    if protocol == "classic":
        config["partition.assignment.strategy"] = "cooperative-sticky"
    made = LibraryConsumer(config)
    made.subscribe([topic.name])
    return made


def passed_unstaged(worker: Reading) -> dict[int, int]:
    """How many records of each partition were passed and not staged."""
    with worker.db.transaction():  # both as they are at one moment
        counted = {row[0]: row[1] for row in worker.db.execute("SELECT partition, count(*) FROM customer GROUP BY 1")}
        missing = {one: offset - counted.get(one, 0) for one, offset in worker.next_offsets().items()}
    return {one: count for one, count in missing.items() if count}


def join_and_leave(topic: Topic, path: Path, protocol: str, joins: int) -> int:
    """Lets a member join and leave while a worker reads; returns how many assignments the worker was given."""
    with published(topic), reading(topic, path, group_protocol=protocol) as worker:
        worker.consumer._consumer = SlowConsumer(worker.consumer._consumer)  # type: ignore[assignment]
        worker.until(lambda: len(worker.owned_partitions.owned()) == topic.partitions)
        for _ in range(joins):
            other = member(topic, protocol)
            ends = time.monotonic() + SECONDS
            while not other.assignment() and time.monotonic() < ends:
                other.poll(0.05)
            assert other.assignment(), "the member that joined was given nothing"
            other.close()
            worker.until(lambda: len(worker.owned_partitions.owned()) == topic.partitions)
            assert passed_unstaged(worker) == {}
        given = worker.owned_partitions._last_number
    with reading(topic, path, group_protocol=protocol) as worker:
        worker.to_the_end()
        assert passed_unstaged(worker) == {}
        assert worker.owned_partitions.wait_until_ready(0)
    return given


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_event_is_lost_while_members_join_and_leave(topic: Topic, path: Path, protocol: str) -> None:
    """No event is lost under load while a slow consume() serves rebalances."""
    assert join_and_leave(topic, path, protocol, JOINS[protocol]) >= JOINS[protocol]


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_event_is_lost_while_members_join_and_leave_for_long(topic: Topic, path: Path, protocol: str) -> None:
    """The same as above, for longer."""
    assert join_and_leave(topic, path, protocol, SOAK_JOINS) >= SOAK_JOINS


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_stays_may_be_called_for_through_a_join(topic: Topic, path: Path, tmp_path: Path, protocol: str) -> None:
    """Another worker joins: of two partitions one stays, under its assignment, and the other is lost."""
    with reading(topic, path, group_protocol=protocol) as first:
        first.to_the_end()
        before = {one: first.owned_partitions.held({one}) for one in (0, 1)}
        broken: list[int] = []
        with reading(topic, tmp_path / "second.db", group_protocol=protocol) as second:

            def moved() -> bool:
                broken.extend(one for one, held in before.items() if not first.owned_partitions.may_call(held))
                return len(second.owned_partitions.owned()) == 1

            second.until(moved)
            (moves,) = second.owned_partitions.owned()
            assert set(broken) <= {moves}
            assert first.owned_partitions.owned() == {1 - moves}
            assert first.owned_partitions.may_call(before[1 - moves])
            assert not first.owned_partitions.may_call(before[moves])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_worker_that_is_given_nothing_is_ready(
    topic: Topic, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """With more workers than partitions, one has nothing to wait for."""
    monkeypatch.setattr(owned_partitions, "NOTHING_SECONDS", 2.0)
    names = ("second.db", "third.db")
    with reading(topic, path, group_protocol=protocol) as first:
        first.to_the_end()
        with (
            reading(topic, tmp_path / names[0], group_protocol=protocol) as second,
            reading(topic, tmp_path / names[1], group_protocol=protocol) as third,
        ):
            workers = (first, second, third)
            third.until(lambda: sorted(len(one.owned_partitions.owned()) for one in workers) == [0, 1, 1])
            idle = next(one for one in workers if not one.owned_partitions.owned())
            idle.to_the_end()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_partitions_added_meanwhile_are_read(topic: Topic, path: Path, protocol: str) -> None:
    """Partitions that are added are read, and the others keep their assignment."""
    with reading(topic, path, group_protocol=protocol) as worker:
        worker.to_the_end()
        before = worker.owned_partitions.held({0, 1})
        topic.admin.create_partitions([NewPartitions(topic.name, 3)])[topic.name].result(30)
        worker.until(lambda: worker.owned_partitions.owned() == {0, 1, 2})
        assert worker.owned_partitions.may_call(before)


def test_a_member_that_is_fenced_owns_nothing_and_ends(
    topic: Topic, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one has come under its name: no call is begun any more, then the worker ends with an error."""
    monkeypatch.setattr(instance, "place_of", lambda file: "same")
    topic.publish([event("cus-1")])
    with reading(topic, path) as first:
        first.to_the_end()
        held = first.owned_partitions.held({0, 1})
        first.db.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
        with reading(topic, tmp_path / "copy.db") as second:
            second.to_the_end()
            first.until_dead()
            assert isinstance(first.error, ConsumerStopped)
            assert not first.owned_partitions.may_call(held)
            assert first.owned_partitions.owned() == frozenset()


def test_a_copy_of_the_database_takes_no_name(topic: Topic, path: Path, tmp_path: Path) -> None:
    """A copy of the database joins the group under its own name, and shares the partitions."""
    topic.publish([event("cus-1")])
    with reading(topic, path) as first:
        first.to_the_end()
        first.db.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
        with reading(topic, tmp_path / "copy.db") as second:
            second.until(lambda: len(second.owned_partitions.owned()) == 1 and len(first.owned_partitions.owned()) == 1)
            assert first.error is None
