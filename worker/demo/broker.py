"""An embedded broker for the demo: librdkafka's mock cluster, in this process. Too limited for anything else."""

from __future__ import annotations

from typing import Self

from confluent_kafka import Producer


class EmbeddedBroker:
    """A broker on a free port, until the end of the context or the process."""

    def __init__(self, topic: str) -> None:
        """Starts nothing yet. `topic` is created at the start, with the broker's default number of partitions."""
        self._topic = topic
        self._producer: Producer | None = None
        self.bootstrap_servers = ""

    def __enter__(self) -> Self:
        self._producer = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 1, "log_level": 0})
        metadata = self._producer.list_topics(self._topic, timeout=10)
        broker = next(iter(metadata.brokers.values()))
        self.bootstrap_servers = f"{broker.host}:{broker.port}"
        return self

    def __exit__(self, *raised: object) -> None:
        self._producer = None
