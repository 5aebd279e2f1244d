"""The topics in which Kafka keeps the ledger and the settings: found, made where the broker allows it, and checked."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from worker.config import Kafka
from worker.errors import KafkaError
from worker.kafka.client import ANSWER_SECONDS, MOCK, Problems, client, partitions_of_topic
from worker.kafka.partitioner import partition_of
from worker.model import AccountId

MADE_SECONDS = 10.0
"""How long a topic that was made may take to appear."""
LOOK_SECONDS = 0.1
_POLICY, _MIN_INSYNC = "cleanup.policy", "min.insync.replicas"


@dataclass(frozen=True, slots=True)
class ChangelogTopic:
    """One of the two topics.

    Attributes:
        topic_id: Kafka's id of it; "" where the broker does not tell.
    """

    name: str
    topic_id: str
    partitions: int

    def partition_of(self, account_id: AccountId | str) -> int:
        """Returns the partition of an account's records: for the ledger, that of its events by the contract."""
        return partition_of(account_id, self.partitions)


@dataclass(frozen=True, slots=True)
class ChangelogTopics:
    """Both."""

    ledger: ChangelogTopic
    settings: ChangelogTopic


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found of a topic.

    Attributes:
        partitions: 0 where there is no such topic.
        wrong: what is wrong with it and what to do, so that no worker starts; None where nothing is.
        weak: how it could be lost, and what to do; None where it is kept well enough.
        warning: what an operator should know of it; None where there is nothing to know.
    """

    name: str
    partitions: int
    wrong: str | None
    weak: str | None = None
    warning: str | None = None


def topics(settings: Kafka) -> ChangelogTopics:
    """Returns both topics, made where they were not there.

    Raises:
        ConfigError: the operator's properties cannot be used.
        KafkaError: no broker answers, or a topic is not there and cannot be made, or cannot keep what it must.
    """
    admin, partitions, mock = _connect(settings)
    for name, wanted in ((settings.ledger_topic, partitions), (settings.settings_topic, 1)):
        if not _partitions(admin, name):
            _make(admin, name, wanted, mock=mock)
    looked = list(_look(admin, settings, partitions, mock=mock))
    for one in looked:
        if one.wrong is not None:
            raise KafkaError(f"The topic {one.name} cannot keep what it must.", one.wrong)
    ids = {one.name: "" for one in looked} if mock else _ids(admin, [one.name for one in looked])
    ledger, stored_settings = (ChangelogTopic(one.name, ids[one.name], one.partitions) for one in looked)
    return ChangelogTopics(ledger, stored_settings)


def look(settings: Kafka) -> Iterator[Looked]:
    """Gives what is there of both topics, and makes nothing.

    Raises:
        ConfigError: the operator's properties cannot be used.
        KafkaError: no broker answers, or the topic of events is not there.
    """
    admin, partitions, mock = _connect(settings)
    yield from _look(admin, settings, partitions, mock=mock)


def _connect(settings: Kafka) -> tuple[AdminClient, int, bool]:
    problems = Problems()
    admin = client(AdminClient, settings, {"error_cb": problems})
    partitions, cluster_id = partitions_of_topic(admin, settings, problems)
    return admin, partitions, cluster_id.startswith(MOCK)


def _look(admin: AdminClient, settings: Kafka, partitions: int, *, mock: bool) -> Iterator[Looked]:
    for name, most in ((settings.ledger_topic, partitions), (settings.settings_topic, None)):
        there = _partitions(admin, name)
        if not there:
            wanted = partitions if most is not None else 1
            yield Looked(name, 0, f"It is not there, and the worker makes it if it may. {_how(name, wanted)}")
        elif most is not None and there > most:
            told = f"It has {there} partitions, and {settings.topic} has {most}: a partition of it would be nobody's."
            yield Looked(name, there, f"{told} Give {settings.topic} as many.")
        else:
            yield Looked(name, there, None) if mock else _look_closer(admin, name, there)


def _look_closer(admin: AdminClient, name: str, partitions: int) -> Looked:
    told = admin.list_topics(timeout=ANSWER_SECONDS)
    replicas = min(len(one.replicas) for one in told.topics[name].partitions.values())
    asked = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name)], request_timeout=ANSWER_SECONDS)
    try:
        configs = next(iter(asked.values())).result(ANSWER_SECONDS + 1)
        policy, min_insync = configs[_POLICY].value, int(configs[_MIN_INSYNC].value)
    except (KafkaException, KeyError):
        return Looked(name, partitions, None, warning="how it is kept is not told to this user")
    weak, warning = durability_of(name, len(told.brokers), replicas, min_insync)
    return Looked(name, partitions, _wrong_policy(name, policy), weak, warning)


def durability_of(name: str, brokers: int, replicas: int, min_insync: int) -> tuple[str | None, str | None]:
    """Returns how a topic could be lost, and what an operator should know; each None where there is nothing.

    Args:
        name: the topic's.
        brokers: how many the cluster has.
        replicas: copies of a partition, the fewest of any.
        min_insync: its min.insync.replicas: how many have a record before it counts as written.
    """
    if brokers == 1:
        return None, "one broker has the only copy: for trying out, not for real use"
    if replicas < 2:
        return (
            f"It has one copy, on one of {brokers} brokers: with that one's disk everybody who left a list is "
            f"forgotten. Give it three: kafka-reassign-partitions.sh, and min.insync.replicas=2.",
            None,
        )
    if min_insync < 2:
        return (
            "Its min.insync.replicas is 1, so a record that only one broker has counts as written, and may be lost. "
            f"Set it: kafka-configs.sh --alter --topic {name} --add-config min.insync.replicas=2",
            None,
        )
    if replicas <= min_insync:
        return None, f"nothing can be written while one of its {replicas} brokers is away: one copy more helps"
    return None, None


def new_topic(name: str, partitions: int, brokers: int) -> NewTopic:
    """Returns a topic that keeps what it must, on as many brokers as there are, up to three."""
    config = {_POLICY: "compact"} | ({_MIN_INSYNC: "2"} if brokers > 1 else {})
    return NewTopic(name, partitions, replication_factor=min(brokers, 3) if brokers > 1 else -1, config=config)


def _wrong_policy(name: str, policy: str | None) -> str | None:
    if policy == "compact":
        return None
    return (
        f"Its cleanup.policy is {policy}, so that Kafka would forget who left a list. Set it: kafka-configs.sh "
        f"--alter --topic {name} --add-config cleanup.policy=compact"
    )


def _partitions(admin: AdminClient, name: str) -> int:
    # All topics are asked for: by its name, a broker may make a topic that is only asked for.
    try:
        found = admin.list_topics(timeout=ANSWER_SECONDS).topics.get(name)
    except KafkaException as error:
        raise KafkaError(f"Kafka does not tell of its topics: {error.args[0].str()}", "Try again.") from error
    return 0 if found is None or found.error is not None else len(found.partitions)


def _make(admin: AdminClient, name: str, partitions: int, *, mock: bool) -> None:
    if mock:
        admin.list_topics(name, timeout=ANSWER_SECONDS)  # the mock makes what is asked for, and answers nothing else
        return
    try:
        new = new_topic(name, partitions, len(admin.list_topics(timeout=ANSWER_SECONDS).brokers))
        admin.create_topics([new], request_timeout=ANSWER_SECONDS)[name].result(ANSWER_SECONDS + 1)
    except KafkaException as error:
        # Another worker may be quicker.
        if error.args[0].code() != LibraryError.TOPIC_ALREADY_EXISTS:
            raise KafkaError(
                f"Kafka has no topic {name}, and does not let the worker make it: {error.args[0].str()}",
                _how(name, partitions),
            ) from error
    ends = time.monotonic() + MADE_SECONDS
    while not _partitions(admin, name) and time.monotonic() < ends:
        time.sleep(LOOK_SECONDS)


def _how(name: str, partitions: int) -> str:
    return (
        f"Create it: kafka-topics.sh --create --topic {name} --partitions {partitions} --config cleanup.policy=compact"
        " --replication-factor 3 --config min.insync.replicas=2"
    )


def _ids(admin: AdminClient, names: list[str]) -> dict[str, str]:
    asked: dict[str, Any] = admin.describe_topics(TopicCollection(names), request_timeout=ANSWER_SECONDS)
    ids = dict.fromkeys(names, "")
    for name, told in asked.items():
        with contextlib.suppress(KafkaException):  # a broker that does not tell
            ids[name] = str(told.result(ANSWER_SECONDS + 1).topic_id)
    return ids
