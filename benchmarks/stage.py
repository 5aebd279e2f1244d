"""Stages events from a real Kafka beside consuming alone, round by round in one run, and events that trickle in.

Each round is a process of its own, so that its peak of memory is its own too. Prints a table; ends with 1 where a
target is missed. Run it with ``make bench``, or: python -m benchmarks.stage [--events N] [--customers N] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer as LibraryConsumer
from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.integration.broker import Broker, any_broker
from worker.clock import utc_now
from worker.config import Kafka
from worker.consumer.consumer import MOST_AT_ONCE, QUEUED_KIB, Consumer
from worker.consumer.owned_partitions import OwnedPartitions
from worker.kafka.partitioner import partition_of
from worker.store import customers
from worker.store.database import open_database

PLAIN, TUNED, STAGING = "consuming alone, plainly", "consuming alone, tuned", "staging"
PARTITIONS = 6
ACCOUNTS = 60
RATE_TARGET = 1 / 3
MEMORY_TARGET_MB = 300
DELAY_TARGET = 1.0


@dataclass(frozen=True)
class Round:
    """What one process measured.

    Attributes:
        seconds: from the assignment to the last record.
        staged: records read, or customers staged.
        memory_mb: its peak.
    """

    kind: str
    seconds: float
    memory_mb: float
    staged: int


def event(number: int, person: int, version: int) -> tuple[str, bytes]:
    """Returns account and value of an event of usual size."""
    account = f"acct-{person % ACCOUNTS}"
    value = {
        "specversion": "1.0",
        "id": f"7f5c1d0e-{number:08d}",
        "source": "/billmywork",
        "type": "com.billmywork.customer.updated",
        "time": "2026-11-22T10:00:00Z",
        "datacontenttype": "application/json",
        "data": {
            "account_id": account,
            "version": version,
            "customer": {
                "id": f"cus-{person}",
                "email": f"person{person}@example.com",
                "first_name": "Ann",
                "last_name": f"Lee {number}",
                "company": "Lee Ltd",
                "phone": "+44 113 496 0000",
                "list_id": "a1b2c3d4e5",
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


def fill(broker: Broker, topic: str, events: int, people: int) -> int:
    """Makes the topic and publishes the events, of customers drawn at random; returns of how many there are some."""
    properties = {"bootstrap.servers": broker.bootstrap_servers}
    admin = AdminClient(properties)
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
    producer = Producer(properties | {"linger.ms": 50, "enable.idempotence": True})
    chance, drawn = random.Random(1), set()
    for number in range(events):
        person = chance.randrange(people)
        drawn.add(person)
        account, value = event(number, person, number)
        while True:
            try:
                producer.produce(topic, value, f"{account}/cus-{person}", partition_of(account, PARTITIONS))
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(120) == 0
    return len(drawn)


def settings(bootstrap_servers: str, topic: str, group: str) -> Kafka:
    """Returns the worker's config."""
    return Kafka(bootstrap_servers=bootstrap_servers, topic=topic, group_id=group)


def alone(bootstrap_servers: str, topic: str, group: str, *, tuned: bool) -> tuple[float, int]:
    """Consumes the topic to its end and only looks at each record; returns seconds and how many there were.

    Args:
        bootstrap_servers: the broker.
        topic: the topic.
        group: a new one.
        tuned: as staging reads, in batches and fetching on at once; else one by one with the library's defaults.
    """
    most = MOST_AT_ONCE if tuned else 1
    own = {"queued.max.messages.kbytes": QUEUED_KIB, "fetch.queue.backoff.ms": 20} if tuned else {}
    consumer = LibraryConsumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
        | own
    )
    began: list[float] = []
    consumer.subscribe([topic], on_assign=lambda *_: began.append(time.monotonic()))
    read, ended, last = 0, 0, 0.0
    while ended < PARTITIONS:
        first = consumer.poll(1)
        others = consumer.consume(most - 1, 0) if most > 1 else []
        for message in [first, *others] if first is not None else others:
            error = message.error()
            if error is None:
                message.partition(), message.offset(), message.key(), message.value(), message.headers()
                read += 1
            elif error.code() == LibraryError._PARTITION_EOF:
                ended += 1
        last = time.monotonic() if ended < PARTITIONS else last
    consumer.close()
    return last - began[0], read


@contextmanager
def staging(
    bootstrap_servers: str, topic: str, group: str, path: Path
) -> Iterator[tuple[OwnedPartitions, list[float]]]:
    """Stages the topic on a thread; gives the ownership, and when fetching began and the last record was staged."""
    own, stop, times = open_database(path), threading.Event(), [0.0, 0.0]
    owned_partitions = OwnedPartitions()
    consumer = Consumer(settings(bootstrap_servers, topic, group), own, owned_partitions, utc_now)

    def told(count: int) -> None:
        if count:
            times[1] = time.monotonic()

    thread = threading.Thread(target=consumer.read, args=(stop, told))
    thread.start()
    while not owned_partitions.owned():
        time.sleep(0.001)
    times[0] = time.monotonic()
    try:
        yield owned_partitions, times
    finally:
        stop.set()
        thread.join(30)
        own.close()


def stage(bootstrap_servers: str, topic: str, group: str) -> tuple[float, int]:
    """Stages the topic to its end; returns seconds and how many customers stand in the database."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "worker.db"
        with staging(bootstrap_servers, topic, group, path) as (owned_partitions, times):
            while not owned_partitions.wait_until_ready(1):
                pass
        seconds = times[1] - times[0]
        db = open_database(path)
        staged = customers.total_count(db)
        db.close()
    return seconds, staged


def trickle(bootstrap_servers: str, topic: str, group: str, count: int = 100) -> list[float]:
    """Publishes one event at a time; returns how long each took from the broker's answer to its row, in seconds."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 0, "enable.idempotence": True})
    delays = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "worker.db"
        with staging(bootstrap_servers, topic, group, path) as (owned_partitions, _):
            while not owned_partitions.wait_until_ready(1):
                pass
            db = open_database(path)
            before = customers.total_count(db)
            for number in range(count):
                account, value = event(number, number, 1)
                producer.produce(topic, value, b"", partition_of(account, PARTITIONS))
                producer.flush(10)
                began = time.monotonic()
                while customers.total_count(db) == before + number:
                    time.sleep(0.001)
                delays.append(time.monotonic() - began)
            db.close()
    return delays


def child(kind: str, bootstrap_servers: str, topic: str, group: str) -> Round:
    """Measures in a process of its own."""
    command = [sys.executable, "-m", __spec__.name, "--child", kind, bootstrap_servers, topic, group]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Round(kind, *json.loads(told.stdout))


def measure(kind: str, bootstrap_servers: str, topic: str, group: str) -> None:
    """Runs as that process."""
    logging.basicConfig(level=logging.WARNING)
    if kind == STAGING:
        seconds, count = stage(bootstrap_servers, topic, group)
    else:
        seconds, count = alone(bootstrap_servers, topic, group, tuned=kind == TUNED)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([seconds, peak, count]))


def run(events: int, people: int, rounds: int) -> bool:
    """Runs it all and prints it; returns whether every target was met."""
    with tempfile.TemporaryDirectory() as folder, any_broker(Path(folder)) as broker:
        if not broker.whole:
            print(f"This needs a real Kafka, and there is only {broker.kind}.")
            return False
        servers = broker.bootstrap_servers
        drawn = fill(broker, "events", events, people)
        fill(broker, "trickle", 0, 1)
        print(f"{events:,} events of {people:,} customers, {PARTITIONS} partitions; {broker.kind}\n")
        done: dict[str, list[Round]] = {PLAIN: [], TUNED: [], STAGING: []}
        print("| round | what | events/s | peak memory |\n| --- | --- | ---: | ---: |")
        for number in range(1, rounds + 1):
            for kind, measured in done.items():
                one = child(kind, servers, "events", f"{kind} {number}")
                assert one.staged == (drawn if kind == STAGING else events), "something is missing"
                measured.append(one)
                print(f"| {number} | {kind} | {events / one.seconds:,.0f} | {one.memory_mb:.0f} MB |", flush=True)
        delays = trickle(servers, "trickle", "trickle")
    seconds = {kind: statistics.median(one.seconds for one in measured) for kind, measured in done.items()}
    share, of_tuned = seconds[PLAIN] / seconds[STAGING], seconds[TUNED] / seconds[STAGING]
    memory = max(one.memory_mb for one in done[STAGING])
    usual, longest = statistics.median(delays) * 1000, max(delays) * 1000
    print(f"\nMedians: {share:.2f} of consuming alone plainly (target {RATE_TARGET:.2f}), {of_tuned:.2f} of it tuned.")
    print(f"Memory: at most {memory:.0f} MB (target {MEMORY_TARGET_MB}).")
    print(f"Delay of a single event: {usual:.0f} ms; longest of {len(delays)}: {longest:.0f} ms (target 1 s).")
    return share >= RATE_TARGET and memory < MEMORY_TARGET_MB and max(delays) < DELAY_TARGET


def main() -> int:
    """Reads the arguments and runs."""
    if sys.argv[1:2] == ["--child"]:
        measure(*sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--customers", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    return 0 if run(chosen.events, chosen.customers, chosen.rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
