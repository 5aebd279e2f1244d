"""Topics are deleted while the worker runs: what status, flush and the log say, and what helps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.topic import Topic, event
from tests.reliability.commands import Commands, end
from tests.reliability.test_broker_faults import create_again
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn
from worker.status.live import read_live

pytestmark = pytest.mark.kafka
ACCOUNT = "acct-1"
Until = Callable[..., None]


@pytest.fixture
def commands(
    tmp_path: Path, topic: Topic, sandbox: SandboxServer, standin: StandIn, whole_kafka: object, until: Until
) -> Iterator[Commands]:
    """Commands beside a daemon that has delivered a customer."""
    made = Commands(tmp_path, topic, sandbox.base_url, **{"topic.metadata.refresh.interval.ms": 500})
    made.environment["WORKER_FLUSH__SPREAD"] = "0"
    made.make_accounts({ACCOUNT: ("master",)})
    publish(topic, 1)
    process = made.spawn("run")
    until(lambda: names(standin) == {"v1"})
    yield made
    assert end(process) == 0


def names(standin: StandIn) -> set[str]:
    """The first names of who is subscribed."""
    return {one.merge_fields["FNAME"] for one in standin.members("master") if one.status == "subscribed"}


def publish(topic: Topic, version: int) -> None:
    """Publishes a customer whose first name is the version."""
    topic.publish([event("ann", ACCOUNT, version=version, email="ann@example.com", first_name=f"v{version}")])


def said(commands: Commands) -> str:
    """What the daemon has logged, in one line."""
    return " ".join(commands.log().split())


def test_a_missing_events_topic_is_what_status_and_flush_name_and_its_creation_helps(
    commands: Commands, topic: Topic, standin: StandIn, until: Until
) -> None:
    """Not other workers that are not there, nor a Kafka that does not answer; flush waits until it exists again."""
    missing = f"Kafka has no topic {topic.name} for this user"
    topic.delete()
    until(lambda: missing in said(commands))
    until(lambda: missing in str((live := read_live(commands.path)) and live.waits_for))
    status = " ".join(commands("status").split())
    assert f"waiting before it can flush: {missing}" in status
    assert "has no partition yet" in status
    assert "workers of the group" not in status
    assert "has not answered" not in status
    flush = commands.spawn("flush")
    until(lambda: f"Waiting: {missing}" in said(commands))
    create_again(topic)
    publish(topic, 2)
    assert flush.wait(60) == 0
    commands("flush")
    assert names(standin) == {"v2"}
    until(lambda: f"the topic {topic.name} exists again" in said(commands))


def test_missing_ledger_and_settings_topics_are_named_with_what_to_do(
    commands: Commands, topic: Topic, until: Until
) -> None:
    """The broker answers, so nothing says that it does not; the log names the topic, what it means and the repair."""
    gone = [f"{topic.name}.ledger", f"{topic.name}.settings"]
    for deleted in topic.admin.delete_topics(gone).values():
        deleted.result(30)
    until(lambda: f"Kafka has no topic {topic.name}.settings" in said(commands), 60)
    log = said(commands)
    assert "No Kafka broker answers" not in log
    assert "move-ledger" in log
    assert "mailchimp-worker ledger accept-loss, which says what is lost" in log
