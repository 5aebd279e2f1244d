"""Kafka goes away, comes back, is recreated, loses its beginning, or is not what was configured."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]

from tests.e2e.conftest import Cli
from tests.integration.broker import Broker, KafkaProcess
from tests.integration.topic import Topic, event
from tests.reliability.commands import Commands, end
from worker.kafka.partitioner import partition_of
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn
from worker.store import customers

ACCOUNT = "acct-1"
LISTS = {ACCOUNT: ("master", "other")}
Until = Callable[..., None]
HANGS_SECONDS = 30.0
"""Less than the session timeout, for which a write may wait."""

pytestmark = pytest.mark.kafka


@pytest.fixture
def commands(tmp_path: Path, topic: Topic, sandbox: SandboxServer) -> Commands:
    """Commands on the shared broker, with an account."""
    made = Commands(tmp_path, topic, sandbox.base_url)
    made.make_accounts(LISTS)
    return made


@pytest.fixture
def own_commands(tmp_path_factory: pytest.TempPathFactory, own_kafka: KafkaProcess, sandbox: SandboxServer) -> Commands:
    """Commands on a broker that the test may kill, with an account."""
    topic = Topic(Broker(own_kafka.bootstrap_servers, "a process"), "customers", 2)
    topic.create()
    # Short waits before librdkafka tries the broker again: these tests are to end.
    made = Commands(tmp_path_factory.mktemp("worker"), topic, sandbox.base_url, **{"reconnect.backoff.max.ms": 500})
    made.make_accounts(LISTS)
    return made


def people(count: int, version: int, start: int = 0) -> Iterator[dict[str, Any]]:
    """Events of so many customers, the version as their first name."""
    for n in range(start, start + count):
        yield event(f"c{n}", ACCOUNT, version=version, email=f"c{n}@example.com", first_name=f"v{version}")


def names(standin: StandIn, list_id: str = "master") -> dict[str, str]:
    """Address to first name of all that are subscribed."""
    found = standin.members(list_id)
    return {one.email: one.merge_fields["FNAME"] for one in found if one.status == "subscribed"}


def staged(commands: Commands) -> int:
    """How many customers are staged."""
    with closing(commands.database()) as db:
        return customers.total_count(db)


def restart(kafka: KafkaProcess) -> None:
    """Kills the broker, and starts it again after a while that clients notice."""
    kafka.kill()
    time.sleep(1)
    kafka.start()


def test_a_broker_killed_while_events_are_staged(own_commands: Commands, own_kafka: KafkaProcess, until: Until) -> None:
    """The worker waits for it and reads on: every customer is staged that the broker took, before and after."""
    worker, topic = own_commands, own_commands.topic
    enough, published = threading.Event(), 0

    def flood() -> None:
        nonlocal published
        while not enough.is_set():
            topic.publish(people(200, 1, start=published))
            published += 200
            enough.wait(0.05)

    process, flooding = worker.spawn("run"), threading.Thread(target=flood)
    flooding.start()
    try:
        until(lambda: staged(worker) > 1000)
        restart(own_kafka)
        enough.set()
        flooding.join()
        until(lambda: staged(worker) == published)
    finally:
        enough.set()
        assert end(process) == 0, worker.log()
    assert worker.intact()
    assert "Traceback" not in worker.log()


def versions(commands: Commands) -> set[int | None]:
    """The versions of all staged customers."""
    with closing(commands.database()) as db:
        return {row[0] for row in db.execute("SELECT DISTINCT version FROM customer")}


def freeze_and_thaw(broker: KafkaProcess) -> None:
    """Hangs for half a minute."""
    broker.freeze()
    time.sleep(HANGS_SECONDS)
    broker.thaw()


@pytest.mark.parametrize("fault", [restart, freeze_and_thaw], ids=["killed", "hangs"])
def test_a_broker_that_is_killed_or_hangs_during_a_flush(
    own_commands: Commands,
    own_kafka: KafkaProcess,
    standin: StandIn,
    until: Until,
    fault: Callable[[KafkaProcess], None],
) -> None:
    """The partitions are this worker's still: the flush goes on, and each customer is delivered once."""
    worker = own_commands
    worker.topic.publish(people(150, 1))
    worker("run", "--once")
    worker.topic.publish(people(150, 2))
    standin.audit.clear_calls()
    standin.latency = 0.1
    process = worker.spawn("run", "--once")
    until(lambda: len(standin.audit.writes()) > 10)
    fault(own_kafka)
    assert process.wait(60) == 0, worker.log()
    assert names(standin) == {f"c{n}@example.com": "v2" for n in range(150)}
    assert len(standin.audit.writes()) == 150
    assert "Traceback" not in worker.log()


def test_a_broker_that_stays_away_during_a_flush_ends_the_calls(
    own_commands: Commands, own_kafka: KafkaProcess, standin: StandIn, until: Until
) -> None:
    """Nothing can be kept, and past the session timeout the partitions may be another worker's: no call is made.

    The command says so, with exit code 1; the next run does the rest.
    """
    worker = own_commands
    worker.environment["WORKER_KAFKA__CLIENT"] = json.dumps(
        {"session.timeout.ms": 2000, "heartbeat.interval.ms": 300, "reconnect.backoff.max.ms": 500}
    )
    worker.topic.publish(people(150, 1))
    worker("run", "--once")
    worker.topic.publish(people(150, 2))
    standin.audit.clear_calls()
    standin.latency = 0.4
    process = worker.spawn("run", "--once")
    until(lambda: len(standin.audit.writes()) > 5)
    own_kafka.kill()
    assert process.wait(60) == 1, worker.log()
    assert "Kafka rejected a ledger or settings write" in worker.log() or "error: The flush ended early" in worker.log()
    assert 5 < len(standin.audit.writes()) < 140
    assert "Traceback" not in worker.log()
    own_kafka.start()
    standin.latency = 0
    worker("run", "--once")
    assert names(standin) == {f"c{n}@example.com": "v2" for n in range(150)}


def test_a_flush_that_loses_its_partition_is_reported_and_ends_with_1(
    whole_kafka: object, commands: Commands, standin: StandIn, until: Until
) -> None:
    """A worker that was frozen past its session makes no more calls; its supervisor learns that something is left."""
    commands.environment["WORKER_KAFKA__CLIENT"] = json.dumps(
        {"session.timeout.ms": 2000, "heartbeat.interval.ms": 300}
    )
    commands.topic.publish(people(150, 1))
    commands("run", "--once")
    commands.topic.publish(people(150, 2))
    standin.audit.clear_calls()
    standin.latency = 0.2
    process = commands.spawn("run", "--once")
    until(lambda: len(standin.audit.writes()) > 5)
    process.send_signal(signal.SIGSTOP)
    time.sleep(3)
    process.send_signal(signal.SIGCONT)
    assert process.wait(30) == 1, commands.log()
    assert len(standin.audit.writes()) < 140
    assert commands.log().count("error: The flush ended early") == 1
    assert "Traceback" not in commands.log()
    standin.latency = 0
    commands("run", "--once")
    assert names(standin) == {f"c{n}@example.com": "v2" for n in range(150)}


def test_a_flush_that_a_person_ends_early_is_no_failure(
    commands: Commands, standin: StandIn, until: Until, whole_kafka: object
) -> None:
    """SIGTERM and SIGINT give no error, and 3 since not everything due was settled; the next run does the rest."""
    for version, number in ((1, signal.SIGTERM), (2, signal.SIGINT)):
        commands.topic.publish(people(150, version))
        standin.audit.clear_calls()
        # With nobody archived on the list, the first version's customers come in one call.
        standin.latency = 0.1 if version > 1 else 1
        process = commands.spawn("run", "--once")
        until(lambda: bool(standin.audit.calls))
        assert end(process, number) == 3, commands.log()
        standin.latency = 0
        commands("run", "--once")
        assert names(standin) == {f"c{n}@example.com": f"v{version}" for n in range(150)}
    assert "error:" not in commands.log()


def test_a_topic_recreated_is_read_from_its_beginning(
    whole_kafka: object, commands: Commands, standin: StandIn
) -> None:
    """Its events count, its offsets are not compared with the old ones, status says it; nobody is added twice."""
    commands.topic.publish(people(30, 1))
    commands("run", "--once")
    commands.topic.delete()
    create_again(commands.topic)
    commands.topic.publish(people(20, 2, start=20))
    commands("run", "--once")
    assert names(standin) == {f"c{n}@example.com": "v1" if n < 20 else "v2" for n in range(40)}
    assert "recreated" in json.dumps(commands.json("status"))
    assert commands.intact()


def test_a_log_truncated_past_what_was_read_is_reported_and_read_on(
    whole_kafka: object, commands: Commands, standin: StandIn
) -> None:
    """What expired unread cannot be delivered: status counts it, and what is left is delivered."""
    commands.topic.publish(people(10, 1))
    commands("run", "--once")
    commands.topic.publish(people(10, 1, start=10))
    commands.topic.truncate(partition_of(ACCOUNT, commands.topic.partitions), 15)
    commands("run", "--once")
    assert names(standin) == {f"c{n}@example.com": "v1" for n in range(20) if not 10 <= n < 15}
    assert "expired" in json.dumps(commands.json("status"))


@pytest.mark.parametrize("meanwhile", ["runs", "is down"])
def test_partitions_that_were_added_are_read_too(
    whole_kafka: object, commands: Commands, standin: StandIn, until: Until, meanwhile: str
) -> None:
    """Though the account's events are in two partitions then, the newest of each customer counts.

    A worker that is back within its session gets the partitions that it had, without a rebalance; the others follow.
    """
    topic = commands.topic
    commands.environment["WORKER_KAFKA__CLIENT"] = json.dumps(
        {"session.timeout.ms": 3000, "topic.metadata.refresh.interval.ms": 500}
    )
    topic.publish(people(10, 1))
    # Started again, it has its place in the group back without a rebalance, as it was.
    commands("run", "--once")
    process = commands.spawn("run")
    topic.publish(people(1, 1, start=10))
    until(lambda: staged(commands) == 11)
    if meanwhile == "is down":
        assert end(process) == 0
        group = f"group-{topic.name}"
        until(lambda: not topic.admin.describe_consumer_groups([group])[group].result(10).members)
    topic.admin.create_partitions([NewPartitions(topic.name, 7)])[topic.name].result(30)
    grown = Topic(topic.broker, topic.name, 7)
    assert partition_of(ACCOUNT, 7) != partition_of(ACCOUNT, topic.partitions)
    grown.publish(people(5, 3))
    topic.publish(people(10, 2))
    if meanwhile == "runs":
        until(lambda: versions(commands) == {1, 2, 3})
        assert end(process) == 0
    commands("run", "--once")
    assert names(standin) == {f"c{n}@example.com": "v3" if n < 5 else "v2" for n in range(10)} | {
        "c10@example.com": "v1"
    }


@pytest.mark.parametrize("arguments", [("run",), ("run", "--once"), ("flush",)])
def test_a_missing_topic_is_one_message_and_its_creation_helps(
    whole_kafka: object, commands: Commands, standin: StandIn, arguments: tuple[str, ...]
) -> None:
    """Exit code 1 with the topic's name and the command that makes it; once it is there the next start works."""
    topic = commands.topic
    topic.delete()
    told = one_message(commands, *arguments)
    assert f"Kafka has no topic {topic.name}" in told
    assert f"--create --topic {topic.name}" in told
    create_again(topic)
    topic.publish(people(1, 1))
    commands("run", "--once")
    assert names(standin) == {"c0@example.com": "v1"}


def test_wrong_credentials_and_an_unreachable_broker_are_one_message(
    own_commands: Commands, own_kafka: KafkaProcess
) -> None:
    """Each with exit code 1 and what to check, within seconds."""
    sasl: dict[str, Any] = {"security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN"}
    own_commands.environment["WORKER_KAFKA__BOOTSTRAP_SERVERS"] = f"127.0.0.1:{own_kafka.sasl_port}"
    own_commands.environment["WORKER_KAFKA__CLIENT"] = json.dumps(
        sasl | {"sasl.username": "worker", "sasl.password": "no secret of anybody"}
    )
    for arguments in (("run",), ("run", "--once")):
        told = one_message(own_commands, *arguments)
        assert "refuses the credentials" in told
        assert "[kafka.client]" in told
        assert "no secret of anybody" not in told
    own_kafka.kill()
    told = one_message(own_commands, "run", "--once")
    assert f"No Kafka broker answers at 127.0.0.1:{own_kafka.sasl_port}" in told


def one_message(cli: Cli, *arguments: str) -> str:
    """Runs a command that must fail with one line of what and one of advice, and returns them."""
    began = time.monotonic()
    told = cli(*arguments, code=1)
    assert time.monotonic() - began < 20
    assert len(told.strip().splitlines()) == 2, told
    assert told.startswith("error: ")
    return told


def create_again(topic: Topic) -> None:
    """Creates a topic that was just deleted; that goes on for a moment after it was answered."""
    for _ in range(200):
        try:
            topic.create()
        except KafkaException:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the topic could not be made again")
