"""Compares how fast the worker and others read the events of one topic on a real Kafka.

The others are a plain consumer, Quix Streams with a batching SQLite sink, and the script that everybody writes first.
Each round is a separate process, so that its peak memory can be measured. Then the delay of single events is measured.
Prints Markdown. Exits with 1 if a side did not do its work. Run it with:
python -m benchmarks.stage [--events N] [--customers N] [--accounts N] [--rounds N] [--script N]
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from confluent_kafka import Consumer as LibraryConsumer
from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import Producer

from benchmarks.events import account_of, event, make_topic, publish
from benchmarks.processes import NotDone, measured
from benchmarks.report import GOAL_HEAD, goal, machine, table, times
from tests.integration.broker import Broker, any_broker
from worker.clock import utc_now
from worker.config import Kafka
from worker.consumer.consumer import MOST_AT_ONCE, Consumer
from worker.consumer.owned_partitions import OwnedPartitions
from worker.kafka.client import QUEUED_KIB
from worker.kafka.partitioner import partition_of
from worker.sqlite.database import open_database
from worker.store import customers

PLAIN, TUNED, STAGING = "plain consumer, defaults", "plain consumer, tuned", "the worker"
QUIX, SCRIPT = "Quix Streams, batching SQLite sink", "the first script: json, sqlite-utils upsert"
PEERS = Path(__file__).with_name("peers")
QUIX_PYTHON = Path(__file__).parents[1] / ".venv-bench" / "bin" / "python"
PARTITIONS = 6
MOST_ACCOUNTS = 1000
TOPIC = f"events-{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True)
class Round:
    """The result of one process.

    Attributes:
        events: number of events that it read.
        seconds: from the assignment, or the first event, to the last event.
        rows: records that it read, or customers in its table.
        memory_mb: peak memory.
    """

    kind: str
    events: int
    seconds: float
    memory_mb: float
    rows: int

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds


@dataclass(frozen=True)
class Load:
    """The load.

    Attributes:
        script: number of events that the first script reads; all would take it half an hour.
    """

    events: int
    customers: int
    accounts: int
    rounds: int
    script: int

    def drawn(self) -> Iterator[tuple[int, int]]:
        """Yields each event's number with the number of a random customer."""
        chance = random.Random(1)
        return ((number, chance.randrange(self.customers)) for number in range(self.events))


def alone(bootstrap_servers: str, topic: str, group: str, *, tuned: bool) -> tuple[float, int]:
    """Consumes the topic to its end, and only reads each record; returns seconds and the number of records.

    Args:
        bootstrap_servers: the broker.
        topic: the topic.
        group: a new consumer group.
        tuned: whether to read in batches with the worker's fetch settings; otherwise one by one with the library's
        defaults.
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
def staging(bootstrap_servers: str, topic: str, group: str, path: Path) -> Iterator[float]:
    """Stages the topic in a thread; yields the seconds from the assignment to the last record.

    Raises:
        NotDone: the thread has ended.
    """
    own, stop, owned_partitions = open_database(path), threading.Event(), OwnedPartitions()
    with own.transaction():
        # Connected, so that customers are staged with all fields.
        known = [(account_of(number, MOST_ACCOUNTS),) for number in range(MOST_ACCOUNTS)]
        own.executemany("INSERT OR IGNORE INTO account (account_id, key_hint) VALUES (?, '0000-us1')", known)
    config = Kafka(bootstrap_servers=bootstrap_servers, topic=topic, group_id=group)
    consumer = Consumer(config, own, owned_partitions, utc_now)
    thread = threading.Thread(target=consumer.read, args=(stop,))
    thread.start()
    try:
        while not owned_partitions.owned() and thread.is_alive():
            time.sleep(0.001)
        began = time.monotonic()
        while owned_partitions.behind():
            if not thread.is_alive():
                raise NotDone("reading Kafka ended early")
            time.sleep(0.001)
        yield time.monotonic() - began
    finally:
        stop.set()
        thread.join(30)
        own.close()


def stage(bootstrap_servers: str, topic: str, group: str) -> tuple[float, int]:
    """Stages the topic to its end; returns seconds and the number of customers in the database."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "worker.db"
        with staging(bootstrap_servers, topic, group, path) as seconds:
            pass
        with closing(open_database(path)) as db:
            return seconds, customers.total_count(db)


def trickle(bootstrap_servers: str, count: int = 100) -> list[float]:
    """Publishes one event at a time; returns the seconds from the broker's answer to the row, for each.

    Raises:
        NotDone: an event was not staged within a minute.
    """
    topic, delays = f"{TOPIC}-trickle", list[float]()
    make_topic(bootstrap_servers, topic, PARTITIONS)
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 0, "enable.idempotence": True})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "worker.db"
        with staging(bootstrap_servers, topic, topic, path), closing(open_database(path)) as db:
            for number in range(count):
                account, value = event(number, number, accounts=60)
                producer.produce(topic, value, f"{account}/cus-{number}", partition_of(account, PARTITIONS))
                producer.flush(10)
                began = time.monotonic()
                while customers.total_count(db) == number:
                    if time.monotonic() - began > 60:
                        raise NotDone(f"event {number} was not staged")
                    time.sleep(0.001)
                delays.append(time.monotonic() - began)
    return delays


def own_process(kind: str, load: Load, bootstrap_servers: str, group: str) -> Round:
    """Measures one side in a separate process."""
    events = min(load.events, load.script) if kind == SCRIPT else load.events
    with tempfile.TemporaryDirectory() as folder:
        peer = bootstrap_servers, TOPIC, group, str(Path(folder) / "peer.db"), str(events)
        command = {
            QUIX: [str(QUIX_PYTHON), str(PEERS / "quix.py"), *peer],
            SCRIPT: [sys.executable, str(PEERS / "script.py"), *peer],
        }.get(kind, [sys.executable, "-m", "benchmarks.stage", "--child", kind, bootstrap_servers, TOPIC, group])
        result = measured(command)
    seconds, rows = json.loads(result.output.splitlines()[-1])
    return Round(kind, events, seconds, result.memory_mb, rows)


def child(kind: str, bootstrap_servers: str, topic: str, group: str) -> None:
    """Is the main function of that process."""
    logging.basicConfig(level=logging.WARNING)
    act = stage if kind == STAGING else partial(alone, tuned=kind == TUNED)
    print(json.dumps(act(bootstrap_servers, topic, group)))


def compare(broker: Broker, load: Load) -> dict[str, list[Round]]:
    """Publishes the events, and lets each side read them, round by round.

    Raises:
        NotDone: a side has wrong rows.
    """
    servers = broker.bootstrap_servers
    make_topic(servers, TOPIC, PARTITIONS)
    publish(servers, TOPIC, PARTITIONS, load.drawn(), load.accounts)
    people = len({person for _, person in load.drawn()})
    kinds = [PLAIN, TUNED, STAGING, SCRIPT]
    if (QUIX_PYTHON.parents[1] / "made").exists():
        kinds.insert(3, QUIX)
    done: dict[str, list[Round]] = {kind: [] for kind in kinds}
    for number in range(load.rounds):
        for kind, rounds in done.items():
            one = own_process(kind, load, servers, f"{kinds.index(kind)}-{number}")
            wanted = {STAGING: people, QUIX: people, SCRIPT: None}.get(kind, load.events)
            if one.rows != wanted and (wanted is not None or not 0 < one.rows <= one.events):
                raise NotDone(f"{kind}: {one.rows} rows where {wanted} should be")
            rounds.append(one)
    return done


def report(load: Load, done: dict[str, list[Round]], delays: list[float]) -> str:
    """Returns the figures as Markdown: the result in a line, then all of them."""
    rate = {kind: statistics.median(one.rate for one in rounds) for kind, rounds in done.items()}
    own = rate[STAGING]
    first = [f"**{own:,.0f} events a second: {own / rate[PLAIN]:.2f} of a plain consumer"]
    if QUIX in rate:
        first.append(f"{own / rate[QUIX]:.1f} times Quix Streams")
    first.append(f"{own / rate[SCRIPT]:.0f} times the first script.**")
    rows = [
        [
            kind,
            f"{rate[kind]:,.0f}",
            " · ".join(f"{one.rate:,.0f}" for one in rounds),
            f"{own / rate[kind]:.2f}",
            f"{max(one.memory_mb for one in rounds):.0f} MB",
        ]
        for kind, rounds in done.items()
    ]
    goals = [goal("the worker ÷ plain consumer, defaults", own / rate[PLAIN], 0.5, least=True)]
    if QUIX in rate:
        goals.append(goal("the worker ÷ Quix Streams", own / rate[QUIX], 4.0, "{:.1f}", least=True))
    goals.append(goal("memory of the worker", max(one.memory_mb for one in done[STAGING]), 300, "{:.0f} MB"))
    goals.append(goal("the longest delay of a single event", max(delays) * 1000, 1000, "{:.0f} ms"))
    lines = [
        ", ".join(first),
        table(("Side", "Events a second, median", "each round", "the worker ÷ it", "Peak memory"), rows),
        table(GOAL_HEAD, goals),
        f"{load.events:,} events of {load.customers:,} customers and {load.accounts} accounts; the first script reads "
        f"{min(load.script, load.events):,} of them. A single event is in the database after "
        f"{times(statistics.median(delays))}, at most {times(max(delays))}.",
        machine(),
    ]
    if QUIX not in rate:
        lines.insert(1, "Quix Streams was left out: `make bench` installs it.")
    return "\n\n".join(lines)


def main(load: Load) -> int:
    """Measures all sides, and prints the report; returns the exit code."""
    with tempfile.TemporaryDirectory() as folder, any_broker(Path(folder)) as broker:
        if not broker.whole:
            print(f"This needs a real Kafka, and there is only {broker.kind}.")
            return 1
        try:
            print(report(load, compare(broker, load), trickle(broker.bootstrap_servers)))
        except NotDone as problem:
            print(f"NOT DONE: {problem}")
            return 1
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
        sys.exit(0)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--customers", type=int, default=200_000)
    parser.add_argument("--accounts", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--script", type=int, default=10_000)
    sys.exit(main(Load(**vars(parser.parse_args()))))
