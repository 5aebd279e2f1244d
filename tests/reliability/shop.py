"""One account whose customers are delivered by several workers and databases, and what Kafka keeps of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, TopicPartition
from confluent_kafka import Consumer as LibraryConsumer

from tests.e2e.conftest import Cli
from tests.integration.topic import Topic, event
from worker.mailchimp.calls import Call
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn


class Shop:
    """One account whose customers are delivered by whatever worker and database a test names."""

    def __init__(self, folder: Path, topic: Topic, server: SandboxServer, standin: StandIn) -> None:
        self.folder = folder
        self.topic = topic
        self.standin = standin
        self._server = server
        self._versions: dict[str, int] = {}

    def worker(self, name: str = "first") -> Cli:
        """Commands of the worker of that name, with its own database; all have one secret key."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        cli = Cli(folder, self.topic, self._server.base_url)
        cli.environment |= {
            "WORKER_SECRET_KEY_FILE": str(self.folder / "secret"),
            "WORKER_MAILCHIMP__TIMEOUT": "1",
            # A worker with another database is another member: the group waits so long for the one before.
            "WORKER_KAFKA__CLIENT": '{"session.timeout.ms": 5000}',
        }
        return cli

    def publish(self, customer: str, email: str | None, kind: str = "updated", **fields: Any) -> None:
        """Publishes a customer's next event."""
        self._versions[customer] = self._versions.get(customer, 0) + 1
        self.topic.publish([event(customer, "acct-1", kind, self._versions[customer], email=email, **fields)])

    def calls(self, cli: Cli, code: int = 0) -> list[Call]:
        """Lets a worker deliver what changed, and returns its calls about members, but for who left each list."""
        self.standin.audit.calls.clear()
        cli("run", "--once", code=code)
        calls = [one.call for one in self.standin.audit.calls]
        return [
            one
            for one in calls
            if one.method != "GET" or ("/members" in one.path and "members.email_address" not in one.query["fields"])
        ]

    def lose(self, name: str = "first") -> None:
        """Deletes a worker's database."""
        for path in (self.folder / name).glob("worker.db*"):
            path.unlink()

    def copy(self, source: str, target: str) -> None:
        """Makes a copy of one worker's folder, in place of another one."""
        shutil.rmtree(self.folder / target, ignore_errors=True)
        shutil.copytree(self.folder / source, self.folder / target)

    def status(self, email: str, list_id: str = "master") -> str | None:
        """A member's status."""
        member = self.standin.find_list(list_id).find(email)
        return member.status if member is not None else None

    def members(self) -> dict[str, str]:
        """Addresses on the master list, with their status."""
        return {one.email: one.status for one in self.standin.find_list("master").members.values()}


@pytest.fixture
def shop(tmp_path: Path, whole_kafka: object, topic: Topic, sandbox: SandboxServer, standin: StandIn) -> Shop:
    """An account with two stored lists, connected at the first worker."""
    (tmp_path / "secret").write_text("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n")
    (tmp_path / "secret").chmod(0o600)
    made = Shop(tmp_path, topic, sandbox, standin)
    made.worker().connect()
    return made


def records(
    topic: Topic, name: str, starts: Mapping[int, int] | None = None
) -> Iterator[tuple[bytes | None, bytes | None]]:
    """All records of a topic, key and value, from these offsets on."""
    servers = topic.broker.bootstrap_servers
    reading = LibraryConsumer({"bootstrap.servers": servers, "group.id": "a test", "enable.partition.eof": True})
    with closing(reading):
        for partition in reading.list_topics(name, 10).topics[name].partitions:
            reading.assign([TopicPartition(name, partition, (starts or {}).get(partition, OFFSET_BEGINNING))])
            # Transaction markers take offsets too, so only reading to the end shows how many records there are.
            while (message := reading.poll(10)) is not None and message.error() is None:
                yield message.key(), message.value()
            assert message is not None, f"{name} was not read to its end"


def committed(topic: Topic) -> set[str]:
    """Who committed the offsets of a topic's partitions: the beginning of each name."""
    reading = LibraryConsumer({"bootstrap.servers": topic.broker.bootstrap_servers, "group.id": f"group-{topic.name}"})
    with closing(reading):
        told = reading.committed([TopicPartition(topic.name, one) for one in range(topic.partitions)], 10)
        return {(one.metadata or "").partition("-")[0] for one in told}
