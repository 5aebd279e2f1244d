"""A person is erased at two workers, one of them away, while a flush runs: no byte of the address is left anywhere."""

from __future__ import annotations

import base64
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.conftest import KEY
from tests.integration.broker import Broker, KafkaProcess
from tests.integration.topic import Topic, event
from tests.reliability.commands import Commands
from tests.reliability.test_several_workers import Worker
from worker.kafka.partitioner import partition_of
from worker.model import partition_key
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn

pytestmark = pytest.mark.kafka
ADDRESS, OLD, NAME = "erased.person@example.com", "former.person@example.com", "Zyxwvutia"
ACCOUNT = "acct-1"
SOON = {"segment_ms": "500", "max_compaction_lag_ms": "500", "delete_retention_ms": "500", "file_delete_delay_ms": "50"}
SECRET = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def topic(own_kafka: KafkaProcess) -> Topic:
    """A topic of two partitions, which forgets soon, with those of ledger and settings."""
    broker = Broker(own_kafka.bootstrap_servers, "its own")
    made = Topic(broker, "customers", 2)
    for one in (made, Topic(broker, "customers.ledger", 2), Topic(broker, "customers.settings", 1)):
        one.create()
        one.configure(cleanup_policy="compact", **SOON)
    return made


@pytest.fixture
def workers(tmp_path: Path, topic: Topic, sandbox: SandboxServer) -> Iterator[list[Worker]]:
    """Two workers of one group, which do not run yet."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    made = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        commands = Commands(tmp_path / name, topic, sandbox.base_url)
        session = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 300}
        commands.environment["WORKER_KAFKA__CLIENT"] = json.dumps(session)
        commands.environment["WORKER_SECRET_KEY_FILE"] = str(secret)
        commands.environment["WORKER_MAILCHIMP__TIMEOUT"] = "2"  # a new owner waits so long for calls of the one before
        made.append(Worker(commands))
    yield made
    for one in made:
        one.end(signal.SIGKILL)


def holding(folder: Path, *secrets: str) -> list[str]:
    """Files under a folder that hold one of some texts, in any case."""
    wanted = [one.lower().encode() for one in secrets]
    found = []
    for path in sorted(folder.rglob("*")):
        try:
            content = path.read_bytes().lower() if path.is_file() else b""
        except OSError:  # Kafka removed it meanwhile
            continue
        found += [f"{path.relative_to(folder)}: {one.decode()}" for one in wanted if one in content]
    return found


def test_no_byte_of_an_erased_person_or_of_a_key_is_left_anywhere(
    tmp_path: Path, topic: Topic, workers: list[Worker], standin: StandIn, until: Callable[..., None]
) -> None:
    """Not in a segment, a database, its log, a file beside it, a worker's log or a backup from after that."""
    first, second = workers
    first.commands.make_accounts({ACCOUNT: ["master"]})
    key = partition_key(ACCOUNT, "person").encode()
    where = partition_of(ACCOUNT, 2)
    topic.publish([event("person", ACCOUNT, version=1, email=OLD, first_name=NAME)])
    topic.publish(
        [event(f"other-{number}", ACCOUNT, version=1, email=f"o{number}@example.com") for number in range(40)]
    )
    topic.produce(b"?", b"acct-9/x", where, headers=[("to", ADDRESS.upper())])
    topic.flush()
    second.commands("run", "--once", code=0)
    topic.publish([event("person", ACCOUNT, version=2, email=ADDRESS, first_name=NAME)])
    second.commands("run", "--once")
    assert standin.find_list("master").find(ADDRESS) is not None
    # The second one is away from now on; the first one has both partitions.
    first.start()

    def is_ready() -> bool:
        told = json.loads(first.commands("status", "--json"))
        return bool(told["worker"]["running"]) and len(told["partitions"]) == 2 and told["customers"] == 41

    until(is_ready)
    assert {path.split(":")[0].split("/")[0] for path in holding(tmp_path, ADDRESS)} >= {"first", "second", "data"}
    topic.publish(
        [event(f"other-{number}", ACCOUNT, version=2, email=f"n{number}@example.com") for number in range(40)]
    )
    first.ask()
    topic.produce(None, key, where)
    topic.produce(None, b"acct-9/x", where)
    topic.flush()
    told = json.loads(first.commands("forget", ADDRESS, "--archive", "--yes", "--json"))
    assert told["erased"]["customers"] == 1
    member = standin.find_list("master").find(ADDRESS)
    assert member is None or member.status == "archived"
    second.start()

    def all_have() -> bool:
        erasures = json.loads(first.commands("status", "--json"))["erasures"]
        return bool(erasures) and len(erasures[0]["done_by"]) == 2

    until(all_have, 60)
    first.commands("backup", str(tmp_path / "first" / "copy.db"))
    left = [""]

    def is_gone() -> bool:
        # A segment is closed by the next record, and then compacted.
        with closing(first.commands.database()) as db:
            found = {row[0] for row in db.execute("SELECT max(version) FROM customer")}
        version = max(found) + 1
        topic.publish([event("other-1", ACCOUNT, version=version, email="n1@example.com", first_name=f"N{version}")])
        topic.publish([event("x", "acct-2", version=version, email="x@example.com")])
        for one in (first, second):
            one.ask()
        left[:] = holding(tmp_path, ADDRESS, OLD, NAME, KEY, SECRET)
        return not [one for one in left if one != f"secret: {SECRET.lower()}"]

    try:
        until(is_gone, 60)
    except AssertionError:
        raise AssertionError(left) from None
