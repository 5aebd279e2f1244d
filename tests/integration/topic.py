"""A topic for one test, and ways to write to it as publishers do."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from tests.integration.broker import Broker
from worker.config import Kafka
from worker.kafka.partitioner import partition_of


def event(
    customer_id: str, account_id: str = "acct-1", kind: str = "updated", version: int | None = None, **members: Any
) -> dict[str, Any]:
    """An event about a customer; what is not named here goes into its state."""
    return {
        "id": f"{account_id}-{customer_id}-{version}",
        "type": f"com.billmywork.customer.{kind}",
        "data": {"account_id": account_id, "version": version, "customer": {"id": customer_id} | members},
    }


class Topic:
    """A topic on the tests' broker."""

    def __init__(self, broker: Broker, name: str, partitions: int) -> None:
        self.broker = broker
        self.name = name
        # The mock makes topics by itself, of four partitions.
        self.partitions = partitions if broker.whole else 4
        self.admin = AdminClient(self._properties())
        self._producer = Producer(self._properties() | {"linger.ms": 1, "enable.idempotence": True})

    def _properties(self) -> dict[str, Any]:
        return {"bootstrap.servers": self.broker.bootstrap_servers, "topic.metadata.refresh.sparse": False}

    def settings(self, group_id: str = "", group_protocol: Any = "classic", **client: Any) -> Kafka:
        """The worker's config for it."""
        # With the newer protocol the broker sets the session's timeout.
        classic = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 100}
        session = classic if group_protocol == "classic" else {}
        return Kafka(
            bootstrap_servers=self.broker.bootstrap_servers,
            topic=self.name,
            group_id=group_id or f"group-{self.name}",
            group_protocol=group_protocol,
            client={"topic.metadata.refresh.interval.ms": 1000} | session | client,
        )

    def create(self) -> None:
        """Makes it."""
        if self.broker.whole:
            made = self.admin.create_topics([NewTopic(self.name, self.partitions, 1)])
            made[self.name].result(30)
            self._await_leaders()
        else:
            self._producer.list_topics(self.name, timeout=10)

    def _await_leaders(self) -> None:
        # A broker tells of a topic a little before it serves all of its partitions.
        wanted = {TopicPartition(self.name, number): OffsetSpec.earliest() for number in range(self.partitions)}
        ends = time.monotonic() + 30
        while True:
            try:
                for answer in self.admin.list_offsets(wanted).values():
                    answer.result(10)
            except KafkaException:
                if time.monotonic() > ends:
                    raise
                time.sleep(0.05)
            else:
                return

    def configure(self, **config: str) -> None:
        """Changes its configuration; a name has _ for each dot."""
        entries = [
            ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
            for name, value in config.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, self.name, incremental_configs=entries)
        self.admin.incremental_alter_configs([resource])[resource].result(30)

    def delete(self) -> None:
        """Deletes it."""
        if self.broker.whole:
            self.admin.delete_topics([self.name])[self.name].result(30)

    def delete_all(self) -> None:
        """Deletes it, and those that workers made for it."""
        if self.broker.whole:
            there = [name for name in self.admin.list_topics(timeout=10).topics if name.startswith(self.name)]
            for deleted in self.admin.delete_topics(there).values() if there else ():
                deleted.result(30)

    def truncate(self, partition: int, before: int) -> None:
        """Deletes a partition's records before an offset, as retention does."""
        one = TopicPartition(self.name, partition, before)
        self.admin.delete_records([one])[one].result(30)

    def publish(self, events: Iterable[dict[str, Any]]) -> None:
        """Publishes events as the contract says, and waits until the broker has them."""
        for one in events:
            data = one["data"]
            key = f"{data['account_id']}/{data['customer']['id']}"
            self.produce(json.dumps(one).encode(), key.encode(), partition_of(data["account_id"], self.partitions))
        self.flush()

    def produce(
        self,
        value: bytes | None,
        key: bytes | None = None,
        partition: int = 0,
        headers: list[tuple[str, str | bytes | None]] | None = None,
    ) -> None:
        """Produces a record of any bytes; :meth:`flush` waits for it."""
        while True:
            try:
                self._producer.produce(self.name, value, key, partition, headers=headers or [])
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def flush(self) -> None:
        """Waits until the broker has all that was produced."""
        left = self._producer.flush(60)
        assert left == 0, f"{left} records were not taken"
