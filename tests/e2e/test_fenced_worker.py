"""A copy of the database that is started elsewhere under the same name in the group: the first worker is fenced."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from tests.e2e.door import Door
from tests.integration.topic import Topic, event
from tests.reliability.commands import Commands, end
from worker.cli.status import ALIVE_SECONDS
from worker.consumer import instance
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn
from worker.sqlite.lock import seconds_since_beat

ACCOUNT = "acct-1"
COUNT = 40
HANGS_SECONDS = 60.0
END_SECONDS = 15.0

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("whole_kafka")]
Until = Callable[..., None]


class Placed(Commands):
    """Commands of a worker with a door of its own."""

    def __init__(self, folder: Path, topic: Topic, server: SandboxServer, door: Door, secret: Path) -> None:
        super().__init__(folder, topic, server.base_url, **{"session.timeout.ms": 6000, "heartbeat.interval.ms": 300})
        self.door = door
        self.environment |= {"WORKER_SECRET_KEY_FILE": str(secret), "WORKER_MAILCHIMP__CONNECTIONS": "2"}

    def spawn_as(self, place: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts a command that takes its database for the file of that place."""
        with (self.folder / "worker.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.copied", *arguments],
                env=self.environment | {"PLACE": place},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


@pytest.fixture
def open_worker(tmp_path: Path, topic: Topic, standin: StandIn) -> Iterator[Callable[[str], Placed]]:
    """Makes workers by name, each with a folder and a door of its own; all have one secret key."""
    secret = tmp_path / "secret"
    secret.write_text("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n")
    secret.chmod(0o600)
    servers: list[SandboxServer] = []

    def make(name: str) -> Placed:
        door = Door(standin)
        server = SandboxServer(cast(StandIn, door))
        server.__enter__()
        servers.append(server)
        folder = tmp_path / name
        folder.mkdir()
        return Placed(folder, topic, server, door, secret)

    yield make
    for one in servers:
        one.__exit__(None, None, None)


def publish(topic: Topic, version: int) -> None:
    """Publishes a state of all customers, which its version names."""
    topic.publish(
        event(f"c{n}", ACCOUNT, version=version, email=f"c{n}@example.com", first_name=f"v{version}")
        for n in range(COUNT)
    )


def names(standin: StandIn) -> set[str]:
    """The names that members have."""
    return {str(one.merge_fields["FNAME"]) for one in standin.find_list("master").members.values()}


def copy_database(source: Commands, target: Commands) -> None:
    """Copies a database as a backup does, while its worker runs."""
    with closing(source.database()) as db:
        db.execute("VACUUM INTO ?", (str(target.path),))


def test_a_fenced_worker_ends_and_writes_nothing_more(
    open_worker: Callable[[str], Placed], topic: Topic, standin: StandIn, until: Until
) -> None:
    """A worker that is fenced during a flush exits with 1, is not alive, and makes no further call or ledger record.

    Its calls that hang are not waited out. The copy delivers; what it wrote is what Kafka and Mailchimp have in the
    end, as a third worker shows, to whom nothing is left to do.
    """
    first, copy = open_worker("first"), open_worker("copy")
    first.make_accounts({ACCOUNT: ("master", "other")})
    publish(topic, 1)
    worker = first.spawn("run")
    until(lambda: names(standin) == {"v1"} and len(standin.find_list("master").members) == COUNT)
    until(lambda: first.json("status")["runs"][0]["ended"] == "done")
    publish(topic, 2)
    asked = first.start("flush")
    before = len(first.door.written_at)
    first.door.latency = 0.1
    until(lambda: len(first.door.written_at) > before + 3)
    first.door.latency = HANGS_SECONDS
    copy_database(first, copy)
    second = copy.spawn_as(instance.place_of(first.path), "run")
    try:
        until(lambda: (seconds_since_beat(first.path) or 0) > ALIVE_SECONDS or worker.poll() is not None)
        assert worker.poll() is None, "it is not alive while it ends, too"
        began = time.monotonic()
        assert worker.wait(END_SECONDS * 2) == 1, first.log()
        assert time.monotonic() - began < END_SECONDS
        first("status", "--alive", code=1)
        written = len(first.door.written_at)
        assert "Kafka ended this worker's membership" in first.log()
        assert "look for another worker with this database's name" in first.log()
        _, told = asked.communicate(timeout=END_SECONDS)
        assert asked.returncode == 1
        assert "ended" in told
        publish(topic, 3)
        until(lambda: copy.json("status")["customers_waiting"] == COUNT or names(standin) == {"v3"})
        copy("flush")
        assert names(standin) == {"v3"}
        assert len(first.door.written_at) == written
    finally:
        assert end(second) == 0, copy.log()
        end(worker)
        asked.kill()
    third = open_worker("third")
    third("run", "--once")
    assert third.door.written_at == []
    assert names(standin) == {"v3"}
    assert standin.audit.put_back() == []
