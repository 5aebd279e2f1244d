"""Partitions that no worker has for a while, because a session of the worker's former process still has them."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]

from tests.integration.topic import Topic, event
from tests.reliability.commands import Commands
from worker.kafka.partitioner import partition_of
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn

pytestmark = pytest.mark.kafka
ACCOUNTS = ("acct-1", "acct-2")


def publish(topic: Topic, version: int) -> None:
    """Publishes a customer of each account whose first name is the version."""
    topic.publish(
        event("ann", account, version=version, email=f"{account}@example.com", first_name=f"v{version}")
        for account in ACCOUNTS
    )


def names(standin: StandIn) -> set[str]:
    """The first names of who is subscribed."""
    members = [*standin.members("master"), *standin.members("other")]
    return {one.merge_fields["FNAME"] for one in members if one.status == "subscribed"}


def test_a_flush_while_a_former_session_has_the_partitions_does_not_say_that_everything_was_settled(
    tmp_path: Path, topic: Topic, sandbox: SandboxServer, standin: StandIn, whole_kafka: object
) -> None:
    """Partitions were added, so the next process is another member: until the former session ends, it has only those.

    No other worker runs, so none delivers the accounts: exit code 3, and the reason.
    """
    assert {partition_of(account, 2) for account in ACCOUNTS} == {0, 1}
    commands = Commands(tmp_path, topic, sandbox.base_url)
    commands.environment["WORKER_KAFKA__GROUP_PROTOCOL"] = "consumer"
    commands.make_accounts({ACCOUNTS[0]: ("master",), ACCOUNTS[1]: ("other",)})
    publish(topic, 1)
    commands("run", "--once")
    assert names(standin) == {"v1"}
    commands("resync", ACCOUNTS[0])
    commands("resync", ACCOUNTS[1])
    topic.admin.create_partitions([NewPartitions(topic.name, 3)])[topic.name].result(30)
    told = " ".join(commands("flush", code=3).split())
    assert "No worker has partition" in told
    assert "Left to another worker" not in told
    assert "everything due was settled" not in told
