"""A database that is lost together with the deletions that it knew: Kafka itself compacts the nulls away.

Judged by what Mailchimp holds and by the calls that it got; no table of the worker is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, TopicPartition
from confluent_kafka import Consumer as LibraryConsumer

from tests.e2e.test_main_job import members
from tests.integration.topic import Topic, event
from tests.reliability.commands import Commands
from worker.kafka.partitioner import partition_of
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn

ACCOUNT = "acct-1"
SECONDS = 60.0

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("whole_kafka")]


@pytest.fixture
def cli(tmp_path: Path, topic: Topic, sandbox: SandboxServer) -> Commands:
    """Commands with an account, which has stored two lists."""
    # A worker with another database is another member: the group waits so long for the one before.
    made = Commands(tmp_path, topic, sandbox.base_url, **{"session.timeout.ms": 5000})
    made.make_accounts({ACCOUNT: ("master", "other")})
    return made


def address(customer: str) -> str:
    """A customer's address."""
    return f"{customer}@example.com"


def keep_newest_only(topic: Topic, cleanup_policy: str = "compact") -> None:
    """Has Kafka compact the topic as fast as it can; a null goes with the next pass."""
    config = {"segment_ms": "1", "min_cleanable_dirty_ratio": "0.001", "delete_retention_ms": "0"}
    topic.configure(cleanup_policy=cleanup_policy, **config)


def publish(topic: Topic, version: int, *customers: str) -> None:
    """Publishes a state of customers."""
    topic.publish(event(one, ACCOUNT, version=version, email=address(one)) for one in customers)


def delete(topic: Topic, customer: str) -> None:
    """Publishes a customer's deletion as a null."""
    topic.produce(None, f"{ACCOUNT}/{customer}".encode(), partition_of(ACCOUNT, topic.partitions))
    topic.flush()


def lose_database(cli: Commands) -> None:
    """Deletes the file, but not the secret key: the settings in Kafka are encrypted with that."""
    for path in cli.folder.glob("worker.db*"):
        if path.suffix != ".key":
            path.unlink()


def compacted(topic: Topic, *customers: str) -> bool:
    """Publishes once more about somebody else, so that Kafka goes on; returns whether no record of these is left."""
    publish(topic, 1, "filler")
    return not {f"{ACCOUNT}/{one}".encode() for one in customers} & keys(topic)


def keys(topic: Topic) -> set[bytes | None]:
    """The keys of all records of the account's partition."""
    servers = topic.broker.bootstrap_servers
    reading = LibraryConsumer({"bootstrap.servers": servers, "group.id": "a test", "enable.partition.eof": True})
    found = set()
    with closing(reading):
        reading.assign([TopicPartition(topic.name, partition_of(ACCOUNT, topic.partitions), OFFSET_BEGINNING)])
        while (message := reading.poll(10)) is not None and message.error() is None:
            found.add(message.key())
    assert message is not None, "the partition was not read to its end"
    return found


def test_who_was_deleted_by_a_null_that_is_gone_is_archived_all_the_same(
    cli: Commands, standin: StandIn, until: Callable[..., None]
) -> None:
    """Added, deleted by a null that was not delivered, the file lost, the null compacted away; nobody else suffers.

    Another one's deletion was delivered before: a late event, which is all that the log has of that customer then, adds
    nobody. Who left by hand stays off the list, who is still in the log costs no call, and a newer event counts.
    """
    keep_newest_only(cli.topic)
    publish(cli.topic, 7, "ann", "bob", "dee", "eve", "left")
    cli("run", "--once")
    assert members(standin) == {address(one): "subscribed" for one in ("ann", "bob", "dee", "eve", "left")}
    standin.by_hand("master", address("left"), "unsubscribe")
    for one in ("dee", "eve"):
        delete(cli.topic, one)
    cli("run", "--once")
    delete(cli.topic, "ann")
    delete(cli.topic, "left")
    lose_database(cli)
    until(lambda: compacted(cli.topic, "ann", "dee", "eve", "left"), SECONDS)
    publish(cli.topic, 6, "dee")
    publish(cli.topic, 8, "eve")
    standin.audit.clear_calls()
    told = cli("run", "--once")
    assert members(standin) == {
        address("ann"): "archived",
        address("bob"): "subscribed",
        address("dee"): "archived",
        address("eve"): "subscribed",
        address("left"): "archived",
        address("filler"): "subscribed",
    }, told
    assert standin.audit.put_back() == []
    about_bob = [one.call for one in standin.audit.writes() if address("bob") in json.dumps(one.call.body)]
    assert about_bob == []
    standin.audit.clear_calls()
    cli("run", "--once")
    assert standin.audit.writes() == []


def test_where_records_may_have_expired_nobody_counts_as_deleted(
    cli: Commands, standin: StandIn, until: Callable[..., None]
) -> None:
    """By cleanup.policy=compact,delete a missing customer may be one that expired: it stays, and status says so."""
    keep_newest_only(cli.topic, "compact,delete")
    publish(cli.topic, 7, "ann", "bob")
    cli("run", "--once")
    delete(cli.topic, "ann")
    lose_database(cli)
    until(lambda: compacted(cli.topic, "ann"), SECONDS)
    cli("run", "--once")
    assert members(standin) == {address(one): "subscribed" for one in ("ann", "bob", "filler")}
    assert "1 customer in the ledger and not in the log" in cli("status")
