"""Fixtures on a real Kafka."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.broker import Broker, KafkaProcess, can_run_kafka, kafka_process
from tests.integration.changelog_worker import Worker
from tests.integration.shared import FOLDER, the_broker
from tests.integration.topic import Topic


@pytest.fixture(scope="session")
def kafka() -> Broker:
    """The broker of these tests."""
    return the_broker(Path(os.environ[FOLDER]))


@pytest.fixture
def whole_kafka(kafka: Broker) -> Broker:
    """The same, for what librdkafka's mock cannot do."""
    if not kafka.whole:
        pytest.skip(f"needs a real Kafka, and this is {kafka.kind}")
    return kafka


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The database's file."""
    return tmp_path / "worker.db"


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[KafkaProcess]:
    """A Kafka for one test alone, which may stop and kill it."""
    problem = can_run_kafka()
    if problem is not None:
        pytest.skip(f"needs a Kafka process of its own: {problem}")
    with kafka_process(tmp_path) as process:
        yield process


@pytest.fixture
def new_topic(kafka: Broker) -> Iterator[Callable[..., Topic]]:
    """Makes topics for one test, gone after it."""
    made: list[Topic] = []

    def make(partitions: int = 2) -> Topic:
        topic = Topic(kafka, f"customers-{uuid.uuid4().hex[:12]}", partitions)
        topic.create()
        made.append(topic)
        return topic

    yield make
    for topic in made:
        topic.delete_all()


@pytest.fixture
def topic(new_topic: Callable[..., Topic]) -> Topic:
    """A topic of two partitions."""
    return new_topic()


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
