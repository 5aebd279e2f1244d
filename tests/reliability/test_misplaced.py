"""Accounts with events and ledger in different partitions: each worker reports them, one alone delivers them."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]

from tests.integration.reading import reading
from tests.integration.topic import Topic, event
from tests.reliability.commands import Commands, end
from worker.kafka.partitioner import partition_of
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn
from worker.store import customers

pytestmark = pytest.mark.kafka
ONE, TWO = "acct-1", "acct-2"
CUSTOMERS = {ONE: "ann", TWO: "bob"}


@pytest.fixture
def commands(tmp_path: Path, topic: Topic, sandbox: SandboxServer, whole_kafka: object) -> Commands:
    """A worker, and two accounts that belong into different partitions of two."""
    assert {partition_of(one, 2) for one in (ONE, TWO)} == {0, 1}
    made = Commands(tmp_path, topic, sandbox.base_url, **{"session.timeout.ms": 6000})
    made.environment["WORKER_MAILCHIMP__TIMEOUT"] = "1"
    made.make_accounts({ONE: ("master",), TWO: ("other",)})
    return made


def publish(topic: Topic, number: int, membership: Callable[[str], int]) -> None:
    """Publishes a customer of each account, partitioned in some way."""
    for account, name in CUSTOMERS.items():
        told = event(f"{name}-{number}", account, version=1, email=f"{name}-{number}@example.com")
        topic.produce(json.dumps(told).encode(), f"{account}/{name}-{number}".encode(), membership(account))
    topic.flush()


def delivered(standin: StandIn) -> set[str]:
    """Who is subscribed on any list."""
    return {one.email for name in ("master", "other") for one in standin.members(name) if one.status == "subscribed"}


def test_events_in_another_partition_than_the_contracts_are_reported_and_delivered_by_one_worker(
    commands: Commands, topic: Topic, standin: StandIn, tmp_path: Path, until: Callable[..., None]
) -> None:
    """With two workers a run is not done and says so; check and status name the accounts; one alone delivers all."""
    publish(topic, 1, lambda account: 1 - partition_of(account, 2))
    with reading(topic, tmp_path / "other.db") as other:
        other.to_the_end()
        told = commands("run", "--once", code=1)
        assert "No worker delivers it: its events and its ledger are in partitions 0, 1" in " ".join(told.split())
        assert len(other.owned_partitions.owned()) == 1
    assert delivered(standin) == set()
    status = commands.json("status")
    assert status["counts"]["misplaced"] >= 1
    assert {one["account_id"] for one in status["misplaced_accounts"]} <= {ONE, TWO}
    assert status["misplaced_accounts"]
    # The other worker is a static member: the group gives its partition away once its session has ended.
    until(lambda: commands.spawn("run", "--once").wait(60) == 0)
    assert delivered(standin) == {"ann-1@example.com", "bob-1@example.com"}
    assert commands.json("status")["counts"]["misplaced"] >= 2
    told = commands("check", code=1)
    assert "2 accounts with events and ledger in different partitions" in " ".join(told.split())


def test_another_number_of_partitions_than_the_ledgers_is_reported_at_the_start(
    commands: Commands, topic: Topic, standin: StandIn
) -> None:
    """Partitions were added: the start and check say what that means and the way out, and one worker delivers all."""
    publish(topic, 1, lambda account: partition_of(account, 2))
    assert "numbers of partitions" not in commands("run", "--once")
    topic.admin.create_partitions([NewPartitions(topic.name, 6)])[topic.name].result(30)
    grown = Topic(topic.broker, topic.name, 6)
    grown._await_leaders()
    publish(grown, 2, lambda account: partition_of(account, 6))
    process = commands.start("run", "--once")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    said = " ".join(err.split())
    assert f"{topic.name} has 6 partitions, and its ledger's topic 2" in said
    assert "make a new topic with as many partitions as you want" in said
    assert delivered(standin) == {f"{name}-{number}@example.com" for name in ("ann", "bob") for number in (1, 2)}
    found = {one["what"]: one for one in json.loads(_failing(commands, "check", "--json"))}
    assert (found["numbers of partitions"]["level"], found["numbers of partitions"]["hinders"]) == ("failed", True)
    assert ONE in found["misplaced accounts"]["found"] or TWO in found["misplaced accounts"]["found"]


def test_partitions_added_while_the_worker_runs_are_read_and_counted_within_half_a_minute(
    commands: Commands, topic: Topic, standin: StandIn, until: Callable[..., None]
) -> None:
    """A flush delivers what is in them, without a restart; check counts by the numbers that the topics have now."""
    publish(topic, 1, lambda account: partition_of(account, 2))
    commands.environment["WORKER_FLUSH__SPREAD"] = "0"
    process = commands.spawn("run")
    try:
        until(lambda: len(delivered(standin)) == 2)
        topic.admin.create_partitions([NewPartitions(topic.name, 6)])[topic.name].result(30)
        found = {one["what"]: one for one in json.loads(_failing(commands, "check", "--json"))}
        assert found["numbers of partitions"]["level"] == "failed"
        assert "has 6 partitions, and this worker has found 2 so far" in found["new partitions"]["found"]
        grown = Topic(topic.broker, topic.name, 6)
        grown._await_leaders()
        publish(grown, 2, lambda account: partition_of(account, 6))
        until(lambda: _customers(commands) == 4)
        commands("flush")
        assert len(delivered(standin)) == 4
        until(lambda: "Publishers place accounts by the first number" in " ".join(commands.log().split()))
        found = {one["what"]: one for one in json.loads(_failing(commands, "check", "--json"))}
        assert {"new partitions", "partitions"}.isdisjoint(found)
        moved = [one for one in (ONE, TWO) if partition_of(one, 6) != partition_of(one, 2)]
        for account in moved:
            expected = f"by the contract in {partition_of(account, 6)}, with 6 partitions"
            assert expected in found["misplaced accounts"]["found"]
        assert moved
    finally:
        assert end(process) == 0


def _customers(commands: Commands) -> int:
    with closing(commands.database()) as db:
        return customers.total_count(db)


def _failing(commands: Commands, *arguments: str) -> str:
    process = commands.start(*arguments)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    return out
