"""A broker that accepts connections and never answers: a worker still ends within ten seconds of SIGTERM."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.integration.broker import Broker, KafkaProcess
from tests.integration.topic import Topic, event
from tests.reliability.commands import Commands
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn

Until = Callable[..., None]
END_SECONDS = 10.0
ACCOUNTS = {f"acct-{n}": (f"list-{n}",) for n in range(3)}

pytestmark = pytest.mark.kafka


@pytest.fixture
def worker(
    tmp_path_factory: pytest.TempPathFactory, own_kafka: KafkaProcess, sandbox: SandboxServer, standin: StandIn
) -> Commands:
    """Commands on a broker that the test may freeze, with accounts that have a list each."""
    topic = Topic(Broker(own_kafka.bootstrap_servers, "a process"), "customers", 2)
    topic.create()
    made = Commands(tmp_path_factory.mktemp("worker"), topic, sandbox.base_url)
    for name, (list_id,) in ACCOUNTS.items():
        standin.create_list("owner", list_id, name)
    made.make_accounts(ACCOUNTS)
    return made


def people(version: int, count: int = 60) -> Iterator[dict[str, Any]]:
    """Events of so many customers of each account."""
    for n in range(count):
        for account in ACCOUNTS:
            yield event(
                f"c{n}", account, version=version, email=f"c{n}@{account}.example.com", first_name=f"v{version}"
            )


def test_in_the_midst_of_a_flush(worker: Commands, own_kafka: KafkaProcess, standin: StandIn, until: Until) -> None:
    """Though one thread waits for Kafka to take the ledger, and others for that one's transaction; and while idle."""
    worker.topic.publish(people(1))
    worker("run", "--once")
    idle = another(worker)
    waiting = idle.spawn("run")
    until(lambda: idle.path.exists() and idle.json("status")["customers"] > 0)
    worker.topic.publish(people(2))
    standin.audit.clear_calls()
    standin.latency = 0.1
    flushing = worker.spawn("run", "--once")
    until(lambda: len(standin.audit.writes()) > 10)
    own_kafka.freeze()
    # Until the threads of the flush are stuck: no call is made any more.
    until(lambda: stands_still(standin))
    for process in (flushing, waiting):
        process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    for process, one in ((flushing, worker), (waiting, idle)):
        process.wait(60)
        assert time.monotonic() - began < END_SECONDS, one.log()
        # 3: not everything due was settled.
        assert process.returncode == (3 if process is flushing else 0), one.log()
        assert "Traceback" not in one.log()
        assert one.intact()


def another(worker: Commands) -> Commands:
    """Commands of a worker with a topic of its own on the same broker, and no account."""
    folder = worker.folder / "another"
    folder.mkdir()
    topic = Topic(worker.topic.broker, "others", 1)
    topic.create()
    topic.publish([event("c", version=1, email="c@example.com")])
    return Commands(folder, topic, "http://127.0.0.1:9")


def stands_still(standin: StandIn) -> bool:
    """Returns whether no call is made for a second."""
    before = len(standin.audit.calls)
    time.sleep(1)
    return len(standin.audit.calls) == before


def test_at_the_start(tmp_path: Path) -> None:
    """A worker that waits for a first answer ends as well."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        silent.settimeout(30)
        topic: Any = SimpleNamespace(name="t", broker=SimpleNamespace(bootstrap_servers=address(silent)))
        process = Commands(tmp_path, topic, "http://127.0.0.1:9").spawn("run")
        with closing(silent.accept()[0]):
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            process.wait(60)
            assert time.monotonic() - began < END_SECONDS


def address(server: socket.socket) -> str:
    """Returns where a socket listens."""
    host, port = server.getsockname()
    return f"{host}:{port}"
