"""Queries a broker about topics: partitions, ids and configs, for the consumer, the changelog and `check`.

Not every broker answers every query: librdkafka's mock answers no admin request, an older broker has no topic ids, and
a user may lack the right. What a broker does not report is None here, and "" for a topic id.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from worker.config import Kafka
from worker.errors import KafkaError
from worker.kafka.client import ANSWER_SECONDS, MISSING, MOCK, Problems, client, no_topic, partitions_of_topic

POLICY, MIN_INSYNC = "cleanup.policy", "min.insync.replicas"
MOST_LAG, SEGMENT = "max.compaction.lag.ms", "segment.ms"
WATCH_SECONDS = 10.0
"""How often to check whether the topic was recreated, or has other partitions: a consumer reads on without an error."""
CREATED_SECONDS = 10.0
"""How long a new topic may take to appear."""
POLL_SECONDS = 0.1
_UNSUPPORTED = {LibraryError._UNSUPPORTED_FEATURE, LibraryError.UNSUPPORTED_VERSION}
_DENIED = {LibraryError.TOPIC_AUTHORIZATION_FAILED, LibraryError.CLUSTER_AUTHORIZATION_FAILED}


@dataclass(frozen=True, slots=True)
class Compaction:
    """A topic's compaction settings.

    Attributes:
        policy: its cleanup.policy.
        keeps_seconds: how long it keeps tombstones at least, for its readers to see: its delete.retention.ms.
    """

    policy: str
    keeps_seconds: float


@dataclass(frozen=True, slots=True)
class TopicLayout:
    """A topic's partitions and replicas.

    Attributes:
        replicas: copies of each partition; the fewest of any partition.
    """

    partitions: int
    replicas: int
    brokers: int


class Admin:
    """A connection to the cluster for admin queries.

    Attributes:
        bootstrap_servers: where it answers.
        kafka: the config.
        partitions: of the topic of events.
        mock: whether this is librdkafka's mock, which answers no admin request.
    """

    def __init__(self, kafka: Kafka, problems: Problems | None = None) -> None:
        """Connects.

        Args:
            problems: librdkafka's error callback; None for a new one.

        Raises:
            ConfigError: the operator's properties cannot be used.
            KafkaError: no broker answers, or the topic of events does not exist.
        """
        problems = problems or Problems()
        self.bootstrap_servers = kafka.bootstrap_servers
        self.kafka = kafka
        self._client = client(AdminClient, kafka, {"error_cb": problems})
        self.partitions, cluster_id = partitions_of_topic(self._client, kafka, problems)
        self.mock = cluster_id.startswith(MOCK)

    def layout(self, topic: str) -> TopicLayout | None:
        """Returns a topic's layout; None if it does not exist or this user may not see it.

        Raises:
            KafkaError: no broker answers.
        """
        answer = self._metadata()
        metadata = answer.topics.get(topic)
        if metadata is None or metadata.error is not None or not metadata.partitions:
            return None
        replicas = min(len(partition.replicas) for partition in metadata.partitions.values())
        return TopicLayout(len(metadata.partitions), replicas, len(answer.brokers))

    def brokers(self) -> int:
        """Returns the number of brokers in the cluster.

        Raises:
            KafkaError: no broker answers.
        """
        return len(self._metadata().brokers)

    def _metadata(self) -> Any:
        # Lists all topics: asking for one by name may create it.
        try:
            return self._client.list_topics(timeout=ANSWER_SECONDS)
        except KafkaException as error:
            raise KafkaError(f"Kafka did not list its topics: {_text(error)}", "Try again.") from error

    def config(self, topic: str) -> dict[str, str] | None:
        """Returns a topic's config; None if the broker does not report it, or not to this user.

        Raises:
            KafkaError: no broker answers.
        """
        if self.mock:
            return None
        resource = ConfigResource(ResourceType.TOPIC, topic)
        try:
            answer = self._client.describe_configs([resource], request_timeout=ANSWER_SECONDS)[resource]
            return {name: setting.value for name, setting in answer.result(ANSWER_SECONDS + 1).items()}
        except KafkaException as error:
            if error.args[0].code() in _UNSUPPORTED | _DENIED:
                return None
            raise KafkaError(
                f"Kafka did not report the config of the topic {topic}: {_text(error)}",
                "Check that its brokers answer, and start the worker again.",
            ) from error

    def compaction(self, topic: str) -> Compaction | None:
        """Returns a topic's compaction settings; None if the broker does not report them, or not to this user.

        Raises:
            KafkaError: no broker answers.
        """
        config = self.config(topic) or {}
        try:
            return Compaction(config[POLICY], int(config["delete.retention.ms"]) / 1000)
        except KeyError:
            return None

    def topic_id(self, topic: str) -> str:
        """Returns Kafka's id of a topic, which changes when it is recreated; "" if the broker does not report it.

        Raises:
            KafkaError: no broker answers, or the topic does not exist.
        """
        if self.mock:
            return ""
        try:
            return str(self.ask_topic(topic).result(ANSWER_SECONDS + 1).topic_id)
        except KafkaException as error:
            if error.args[0].code() in _UNSUPPORTED:
                return ""
            raise KafkaError(
                f"Kafka did not describe the topic {topic}: {_text(error)}",
                "The topic must exist, and this Kafka user needs the right to describe it.",
            ) from error

    def create(self, new: NewTopic, advice: str) -> None:
        """Creates a topic and waits until it appears. One that another worker creates meanwhile will do.

        Raises:
            KafkaError: the broker refuses.
        """
        name = new.topic
        if self.mock:
            self._client.list_topics(name, timeout=ANSWER_SECONDS)  # the mock creates a topic when it is asked for
            return
        try:
            self._client.create_topics([new], request_timeout=ANSWER_SECONDS)[name].result(ANSWER_SECONDS + 1)
        except KafkaException as error:
            if error.args[0].code() != LibraryError.TOPIC_ALREADY_EXISTS:
                raise KafkaError(
                    f"Kafka has no topic {name}, and does not let the worker create it: {_text(error)}", advice
                ) from error
        ends = time.monotonic() + CREATED_SECONDS
        while self.layout(name) is None and time.monotonic() < ends:
            time.sleep(POLL_SECONDS)

    def why_not_created(self, new: NewTopic) -> str | None:
        """Returns why the broker would not create a topic for this user; None if it would. Creates nothing."""
        if self.mock:
            return None
        answer = self._client.create_topics([new], request_timeout=ANSWER_SECONDS, validate_only=True)[new.topic]
        try:
            answer.result(ANSWER_SECONDS + 1)
        except KafkaException as error:
            return _text(error)
        return None

    # Asynchronous queries, which the mock never answers

    def ask_topic(self, topic: str) -> Future[Any]:
        """Requests a topic's description."""
        return self._client.describe_topics(TopicCollection([topic]), request_timeout=ANSWER_SECONDS)[topic]

    def ask_ends(self, topic: str, partitions: Iterable[int]) -> dict[TopicPartition, Future[Any]]:
        """Requests the end offset of each partition."""
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        requests = {TopicPartition(topic, partition): latest for partition in partitions}
        return self._client.list_offsets(requests, request_timeout=ANSWER_SECONDS) if requests else {}

    def ask_group(self, group: str) -> Future[Any]:
        """Requests a consumer group's members and their assignments."""
        return self._client.describe_consumer_groups([group], request_timeout=ANSWER_SECONDS)[group]


class TopicWatch:
    """The id and the partitions of the events topic, queried now and then. Not thread-safe."""

    def __init__(self, admin: Admin, missing: Callable[[str | None], None]) -> None:
        """Queries nothing yet.

        Args:
            missing: called with each answer of the broker: that the topic is missing, in words, or None if it exists.
        """
        self._admin, self._missing = admin, missing
        self._topic = admin.kafka.topic
        self._asked_at = time.monotonic()
        self._asked: Future[Any] | None = None

    def topic_id(self) -> str:
        """Returns the id; see :meth:`Admin.topic_id`.

        Raises:
            KafkaError: no broker answers, or the topic does not exist.
        """
        self._asked_at = time.monotonic()
        return self._admin.topic_id(self._topic)

    def news(self) -> tuple[str, int] | None:
        """Returns the id and the number of partitions if a new answer has arrived, else None. Never blocks."""
        if self._admin.mock:
            return None
        if self._asked is None:
            if time.monotonic() - self._asked_at >= WATCH_SECONDS:
                self._asked_at = time.monotonic()
                self._asked = self._admin.ask_topic(self._topic)
            return None
        if not self._asked.done():
            return None
        asked, self._asked = self._asked, None
        if (error := asked.exception()) is not None:
            if isinstance(error, KafkaException) and error.args[0].code() in MISSING:
                missing = no_topic(self._admin.kafka, _text(error))
                self._missing(f"{missing.message} {missing.advice}")
            return None
        self._missing(None)
        described = asked.result()
        return str(described.topic_id), len(described.partitions)


def _text(error: KafkaException) -> str:
    return str(error.args[0].str())
