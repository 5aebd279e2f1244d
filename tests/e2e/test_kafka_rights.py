"""The rights that the operators' page asks for, on a Kafka that gives each user those alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests.e2e.conftest import Cli
from tests.integration.broker import PASSWORD, RIGHTS, Broker, can_run_kafka, kafka_process
from tests.integration.topic import Topic, event
from worker.changelog.topics import check_topics
from worker.config import Kafka
from worker.kafka.group import members_of
from worker.publish import publish
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
EVENTS, GROUP, READERS = "billmywork.customers", "mailchimp-worker", "billmywork-app"
LEDGER, SETTINGS, OUTCOMES = (f"{EVENTS}.{one}" for one in ("ledger", "settings", "outcomes"))
USERS = {"Publisher": "publisher", "Worker": "worker", "Reader of outcomes": "reader"}
KINDS = {
    "transactional": (ResourceType.TRANSACTIONAL_ID, ResourcePatternType.PREFIXED),
    "group": (ResourceType.GROUP, ResourcePatternType.LITERAL),
    "topic": (ResourceType.TOPIC, ResourcePatternType.LITERAL),
}
"""By a word of the resource, the first that is in it."""
NO_RIGHT = "Authorization failed"
FORBIDDEN = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}


def rights() -> Iterator[AclBinding]:
    """The table of the operators' page, as the access control entries that it asks for."""
    table = PAGE.read_text().partition("### Rights")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", table, re.MULTILINE)
    for who, resource, operations in rows[1:]:
        if who.startswith("---"):
            continue
        kind, pattern = next(how for word, how in KINDS.items() if word in resource)
        named = re.findall("`([^`]+)`", resource) or [READERS]
        for name in named:
            name = name.replace("<topic>", EVENTS).replace("<kafka.group_id>", GROUP).replace("kafka.group_id", GROUP)
            for operation in re.split("[;,] ", operations):
                # The words behind the first one say when it is needed.
                word = re.sub("(?<=[a-z])(?=[A-Z])", "_", operation.split()[0]).upper()
                yield AclBinding(
                    kind, name, pattern, f"User:{USERS[who]}", "*", AclOperation[word], AclPermissionType.ALLOW
                )


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A Kafka with the topic of events, whose users have the rights of the table; without a password all is allowed."""
    problem = can_run_kafka()
    if problem is not None:
        pytest.skip(f"needs a Kafka process of its own: {problem}")
    with kafka_process(tmp_path, RIGHTS) as process:
        everybody = Broker(process.bootstrap_servers, "one that asks for rights")
        topic = Topic(everybody, EVENTS, 2)
        topic.create()
        topic.configure(cleanup_policy="compact")
        admin = AdminClient({"bootstrap.servers": process.bootstrap_servers})
        for made in admin.create_acls(list(rights())).values():
            made.result(10)
        yield Broker(f"127.0.0.1:{process.sasl_port}", everybody.kind)


@pytest.fixture
def cli(tmp_path: Path, broker: Broker, sandbox: SandboxServer) -> Cli:
    """Commands that the worker's user gives."""
    topic = Topic.__new__(Topic)  # without its own clients, which have no password
    topic.broker, topic.name = broker, EVENTS
    made = Cli(tmp_path, topic, sandbox.base_url)
    made.environment |= {"WORKER_KAFKA__CLIENT": json.dumps(login("worker")), "WORKER_KAFKA__GROUP_ID": GROUP}
    return made


def login(user: str) -> dict[str, Any]:
    """Properties of a client of that user."""
    return {
        "security.protocol": "sasl_plaintext",
        "sasl.mechanism": "PLAIN",
        "sasl.username": user,
        "sasl.password": PASSWORD,
    }


class User:
    """A program with a user's password.

    Attributes:
        settings: as this project's commands take them.
    """

    def __init__(self, broker: Broker, name: str) -> None:
        self.settings = Kafka(
            bootstrap_servers=broker.bootstrap_servers, topic=EVENTS, group_id=GROUP, client=login(name)
        )
        self._group = GROUP if name == "worker" else READERS
        self._properties = {"bootstrap.servers": broker.bootstrap_servers, "log_level": 0} | login(name)

    def write(self, topic: str, transactional_id: str = "") -> None:
        """Writes a record."""
        own = {"transactional.id": transactional_id} if transactional_id else {}
        producer = Producer(self._properties | own)
        if transactional_id:
            producer.init_transactions(10)
            return
        answers: list[KafkaError | None] = []
        producer.produce(topic, b"{}", b"key", 0, on_delivery=lambda error, message: answers.append(error))
        producer.flush(10)
        _raise(answers[0])

    def read(self, topic: str, group: str = "") -> list[bytes]:
        """Returns the values in a topic's first partition with any; with a group, as its member."""
        own = {"group.id": group or self._group, "auto.offset.reset": "earliest", "enable.partition.eof": True}
        with closing(Consumer(self._properties | own)) as consumer:
            _raise(consumer.list_topics(topic, 10).topics[topic].error)
            if group:
                consumer.subscribe([topic])
            else:
                consumer.assign([TopicPartition(topic, 0, 0)])
            found: list[bytes] = []
            while (message := consumer.poll(10)) is not None:
                if (error := message.error()) is None:
                    found.append(message.value() or b"")
                elif error.code() != KafkaError._PARTITION_EOF:
                    _raise(error)
                elif found or not group:
                    break
            return found

    def delete(self, topic: str) -> None:
        """Deletes a topic."""
        admin = AdminClient(self._properties)
        admin.delete_topics([topic])[topic].result(10)


class NotDone(Exception):
    """What Kafka answered instead."""


def _raise(error: KafkaError | None) -> None:
    if error is not None:
        raise NotDone(error)


def refused(act: Callable[..., object], *arguments: str) -> bool:
    """Returns whether Kafka refuses something for want of a right."""
    try:
        act(*arguments)
    except (NotDone, KafkaException) as error:
        return error.args[0].code() in FORBIDDEN
    return False


@pytest.mark.kafka
def test_the_rights_of_the_table_are_enough_and_no_more(
    tmp_path: Path, broker: Broker, cli: Cli, standin: StandIn
) -> None:
    """Each user can do its work with them; none can read or write what is another's."""
    users = {name: User(broker, name) for name in ("publisher", "worker", "reader")}
    events = tmp_path / "events.jsonl"
    events.write_text(json.dumps(event("ann", email="ann@example.com")) + "\n")
    assert publish(users["publisher"].settings, events) == 1
    assert [one.wrong for one in check_topics(users["worker"].settings, outcomes=True)] == [None] * 3
    for one in check_topics(users["publisher"].settings, outcomes=True):
        assert f"does not let the worker create it: {NO_RIGHT}. Create it: kafka-topics.sh" in (one.wrong or "")
    cli.connect()
    assert publish(users["worker"].settings, events) == 1
    cli("run", "--once")
    assert standin.find_list("master").find("ann@example.com") is not None
    told = cli("check")
    assert "complete, from its beginning" in told
    assert told.count("compacted") == len((LEDGER, SETTINGS, OUTCOMES))
    assert "cleanup.policy" in told
    assert members_of(users["worker"].settings) is not None
    assert any(b"ann" in value for value in users["reader"].read(OUTCOMES, READERS))

    publisher, worker, reader = users.values()
    others = (LEDGER, SETTINGS, OUTCOMES)
    assert [one for one in others if not refused(publisher.write, one)] == []
    assert [one for one in (EVENTS, *others) if not refused(publisher.read, one)] == []
    assert [one for one in (EVENTS, *others) if not refused(reader.write, one)] == []
    assert [one for one in (EVENTS, LEDGER, SETTINGS) if not refused(reader.read, one)] == []
    for one in (publisher, reader):
        assert refused(one.write, "", f"{LEDGER}-0")
        assert refused(one.write, "", f"{SETTINGS}-0")
    assert refused(publisher.read, EVENTS, GROUP)
    assert refused(reader.read, OUTCOMES, GROUP)
    assert refused(worker.read, OUTCOMES)
    assert refused(worker.read, EVENTS, "another-group")
    for user in (publisher, worker, reader):
        assert [one for one in (EVENTS, *others) if not refused(user.delete, one)] == []
