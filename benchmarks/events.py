"""Customer events of typical size, published as the event contract requires."""

from __future__ import annotations

import json
from collections.abc import Iterable

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.worker import list_of
from worker.kafka.partitioner import partition_of
from worker.model import AccountId


def account_of(person: int, accounts: int) -> AccountId:
    """Returns the account of a customer; `accounts` is their number."""
    return AccountId(f"acct-{person % accounts}")


def event(number: int, person: int, accounts: int) -> tuple[AccountId, bytes]:
    """Returns account and value of a customer's event. Its version is `number`, which the last name contains too."""
    account = account_of(person, accounts)
    value = {
        "specversion": "1.0",
        "id": f"7f5c1d0e-{number:08d}",
        "source": "/billmywork",
        "type": "com.billmywork.customer.updated",
        "time": "2026-11-22T10:00:00Z",
        "datacontenttype": "application/json",
        "data": {
            "account_id": account,
            "version": number,
            "customer": {
                "id": f"cus-{person}",
                "email": f"person{person}@example.com",
                "first_name": "Ann",
                "last_name": f"Lee {number}",
                "company": "Lee Ltd",
                "phone": "+44 113 496 0000",
                "list_id": list_of(account),
                "marketing_consent": True,
                "address": {
                    "line1": "1 High St",
                    "line2": "",
                    "city": "Leeds",
                    "state": "West Yorkshire",
                    "postcode": "LS1 1AA",
                    "country": "GB",
                },
            },
        },
    }
    return account, json.dumps(value).encode()


def make_topic(bootstrap_servers: str, topic: str, partitions: int) -> None:
    """Creates a compacted topic for events."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    wanted = NewTopic(topic, partitions, 1, config={"cleanup.policy": "compact"})
    admin.create_topics([wanted])[topic].result(30)


def publish(
    bootstrap_servers: str, topic: str, partitions: int, events: Iterable[tuple[int, int]], accounts: int
) -> None:
    """Publishes events, each given by its number and its customer's number; returns once Kafka has them."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 50, "enable.idempotence": True})
    for number, person in events:
        account, value = event(number, person, accounts)
        while True:
            try:
                producer.produce(topic, value, f"{account}/cus-{person}", partition_of(account, partitions))
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(120) == 0
