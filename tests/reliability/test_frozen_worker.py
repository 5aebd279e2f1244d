"""A worker is frozen past its session in the midst of a flush, and goes on while another one delivers its partition."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import pytest

from tests.e2e.door import Door
from tests.integration.topic import Topic, event
from tests.reliability.commands import Commands, end
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn
from worker.status.live import read_live

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("whole_kafka")]
Until = Callable[..., None]
ACCOUNT, COUNT = "acct-1", 60
SESSION = {"session.timeout.ms": 2000, "heartbeat.interval.ms": 300}
CALL_SECONDS, CONNECTIONS = 2, 4
LATENCY = 0.2
UNWRITTEN = 4 * CONNECTIONS
"""At most so many answers were not committed when the worker was frozen: half a second is gathered at most."""


class Worker(Commands):
    """A worker with a database and a door of its own."""

    def __init__(self, folder: Path, topic: Topic, server: SandboxServer, door: Door, secret: Path) -> None:
        super().__init__(folder, topic, server.base_url, **SESSION)
        self.door = door
        self.environment |= {
            "WORKER_SECRET_KEY_FILE": str(secret),
            "WORKER_MAILCHIMP__CONNECTIONS": str(CONNECTIONS),
            "WORKER_MAILCHIMP__TIMEOUT": str(CALL_SECONDS),
        }

    def partitions(self) -> list[int]:
        """Returns its partitions, by what it says each second."""
        live = read_live(self.path)
        return sorted(live.partitions) if live is not None else []


@pytest.fixture
def two(tmp_path: Path, new_topic: Callable[..., Topic], standin: StandIn) -> Iterator[tuple[Worker, Worker]]:
    """Two workers of one group and one partition, which do not run yet; the first one knows the account."""
    secret = tmp_path / "secret"
    secret.write_text("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n")
    secret.chmod(0o600)
    topic = new_topic(1)
    with ExitStack() as servers:
        made = []
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            door = Door(standin)
            server = servers.enter_context(SandboxServer(cast(StandIn, door)))
            made.append(Worker(tmp_path / name, topic, server, door, secret))
        made[0].make_accounts({ACCOUNT: ("master", "other")})
        yield made[0], made[1]


def publish(topic: Topic, version: int) -> None:
    """Publishes a state of all customers, which its version names."""
    topic.publish(
        event(f"c{n}", ACCOUNT, version=version, email=f"c{n}@example.com", first_name=f"v{version}")
        for n in range(COUNT)
    )


def names(standin: StandIn) -> list[str]:
    """The names of all members."""
    return [str(one.merge_fields["FNAME"]) for one in standin.find_list("master").members.values()]


def test_a_worker_that_goes_on_after_its_session_makes_no_call_for_what_another_one_has(
    two: tuple[Worker, Worker], standin: StandIn, until: Until
) -> None:
    """Its flush ends and says so. The other worker delivers the rest, and calls for hardly anybody again."""
    first, second = two
    publish(first.topic, 1)
    running = first.spawn("run")
    until(lambda: names(standin) == ["v1"] * COUNT)
    until(lambda: first.json("status")["runs"][0]["ended"] == "done")
    other = second.spawn("run")
    until(lambda: read_live(second.path) is not None)
    assert first.partitions() == [0]
    before = len(first.door.written_at)
    first.door.latency = second.door.latency = LATENCY
    publish(first.topic, 2)
    asked = first.start("flush")
    try:
        until(lambda: len(first.door.written_at) > before + 10)
        running.send_signal(signal.SIGSTOP)
        until(lambda: len(second.door.written_at) > 5, seconds=60)
        calls_before = len(first.door.calls)
        running.send_signal(signal.SIGCONT)
        until(lambda: names(standin) == ["v2"] * COUNT)
        _, told = asked.communicate(timeout=60)
        assert asked.returncode == 1, told
        publish(first.topic, 3)
        second("flush")
        assert names(standin) == ["v3"] * COUNT
        assert first.door.calls[calls_before:] == []
        assert len(first.door.written_at) - before + len(second.door.written_at) <= 2 * COUNT + UNWRITTEN
        assert (first.partitions(), second.partitions()) == ([], [0])
    finally:
        running.send_signal(signal.SIGCONT)
        asked.kill()
        codes = end(running), end(other)
    assert codes == (0, 0), first.log() + second.log()
    assert "Traceback" not in first.log() + second.log()
    assert first.intact()
    assert second.intact()
    assert standin.audit.put_back() == []
