"""Publishing to a real Kafka, and what is said when it cannot be reached as configured."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer as LibraryConsumer
from confluent_kafka import TopicPartition

from tests.integration.broker import PASSWORD, KafkaProcess
from tests.integration.topic import Topic, event
from worker.clock import utc_now
from worker.config import Kafka
from worker.consumer.consumer import Consumer
from worker.consumer.owned_partitions import OwnedPartitions
from worker.demo.broker import EmbeddedBroker
from worker.errors import KafkaError, UsageError
from worker.kafka.partitioner import partition_of
from worker.publish import publish
from worker.sqlite.database import open_database


def consumer(settings: Kafka) -> Consumer:
    """A consumer that has asked the broker."""
    return Consumer(settings, open_database(":memory:"), OwnedPartitions(), utc_now)


def test_publishes_by_the_contract(topic: Topic, tmp_path: Path) -> None:
    """Keyed by account and customer, each account in the partition that its id gives; progress is reported."""
    path, told = tmp_path / "events.jsonl", []
    events = [event(f"cus-{n}", f"acct-{n % 5}") for n in range(50)]
    path.write_text("\n".join(json.dumps(one) for one in events))
    assert publish(topic.settings(), path, told.append) == 50
    assert told[-1] == 50
    reader = LibraryConsumer({"bootstrap.servers": topic.broker.bootstrap_servers, "group.id": "reader"})
    reader.assign([TopicPartition(topic.name, number, 0) for number in range(topic.partitions)])
    read: list[tuple[bytes | None, int | None]] = []
    ended = time.monotonic() + 30
    while len(read) < 50 and time.monotonic() < ended:
        read += [(one.key(), one.partition()) for one in reader.consume(50, 0.2) if one.error() is None]
    reader.close()
    assert set(read) == {
        (f"acct-{n % 5}/cus-{n}".encode(), partition_of(f"acct-{n % 5}", topic.partitions)) for n in range(50)
    }


def test_a_file_with_a_mistake_publishes_nothing(topic: Topic, tmp_path: Path) -> None:
    """A file with one invalid line publishes nothing."""
    path = tmp_path / "events.jsonl"
    path.write_text(json.dumps(event("cus-1")) + "\nhello\n")
    with pytest.raises(UsageError, match="Line 2"):
        publish(topic.settings(), path)
    reader = LibraryConsumer({"bootstrap.servers": topic.broker.bootstrap_servers, "group.id": "reader"})
    ends = [reader.get_watermark_offsets(TopicPartition(topic.name, n), 10)[1] for n in range(topic.partitions)]
    reader.close()
    assert not any(ends)


def test_a_topic_that_is_missing_is_named_with_what_creates_it(whole_kafka: object, topic: Topic) -> None:
    """The error about a missing topic has the command that creates it."""
    missing = topic.settings().model_copy(update={"topic": "missing-here"})
    with pytest.raises(KafkaError) as caught:
        consumer(missing)
    assert "missing-here" in caught.value.message
    assert "kafka-topics.sh --create --topic missing-here" in caught.value.advice


def test_a_broker_that_does_not_answer_is_named() -> None:
    """A broker that does not answer is one message with its address."""
    with pytest.raises(KafkaError) as caught:
        consumer(Kafka(bootstrap_servers="127.0.0.1:9"))
    assert "127.0.0.1:9" in caught.value.message


def test_credentials_that_are_refused_are_reported_as_such(own_kafka: KafkaProcess) -> None:
    """Wrong credentials are reported as such, and not as an unreachable broker."""
    client: dict[str, str | int | float | bool] = {
        "security.protocol": "sasl_plaintext",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "worker",
        "sasl.password": "wrong",
    }
    settings = Kafka(bootstrap_servers=f"127.0.0.1:{own_kafka.sasl_port}", topic="missing", client=client)
    with pytest.raises(KafkaError, match="refuses the credentials"):
        consumer(settings)
    right = settings.model_copy(update={"client": client | {"sasl.password": PASSWORD}})
    with pytest.raises(KafkaError, match="has no topic missing"):
        consumer(right)


def test_the_embedded_broker_is_told_apart_at_once() -> None:
    """The mock answers no admin requests: nothing waits for them."""
    began = time.monotonic()
    with EmbeddedBroker("customers") as broker:
        made = consumer(Kafka(bootstrap_servers=broker.bootstrap_servers, topic="customers"))
        assert made.topic.id == ""
        assert made.topic.partitions >= 1
    assert time.monotonic() - began < 5
