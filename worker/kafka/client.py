"""Creates Kafka clients: librdkafka's properties, and its errors in this worker's words."""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import KafkaException, TopicPartition

from worker.config import Kafka
from worker.errors import ConfigError, KafkaError

log = logging.getLogger("worker.consumer")

ANSWER_SECONDS = 10.0
"""How long to wait for a broker's answer."""
PART_SECONDS = 2.5
"""How long to wait before checking whether waiting is any use."""
ELECTION_SECONDS = 0.2
"""How long to wait before asking again for a partition that has no leader."""
_ELECTING = {LibraryError.NOT_LEADER_FOR_PARTITION, LibraryError.LEADER_NOT_AVAILABLE}
_FORGOTTEN = {LibraryError._UNKNOWN_PARTITION, LibraryError._UNKNOWN_TOPIC}
"""librdkafka's errors for a partition that it knew before its broker restarted, until it fetches metadata again."""
MISSING = {LibraryError.UNKNOWN_TOPIC_OR_PART, LibraryError.UNKNOWN_TOPIC_ID}
"""A broker's errors for a topic that does not exist."""
AWAY = {
    LibraryError._TRANSPORT,
    LibraryError._ALL_BROKERS_DOWN,
    LibraryError._DESTROY_BROKER,
    LibraryError._TIMED_OUT,
    LibraryError._TIMED_OUT_QUEUE,
}
"""librdkafka's errors for a request whose broker went away meanwhile."""
RESTART_SECONDS = 30.0
"""How long a partition's broker may be away, as in a restart, before a worker that was connected gives up."""
_UNREACHABLE = {LibraryError._ALL_BROKERS_DOWN, LibraryError._AUTHENTICATION, LibraryError.SASL_AUTHENTICATION_FAILED}
_ENDED = {LibraryError._FATAL, LibraryError.FENCED_INSTANCE_ID}
HEARTBEAT_MS = 3000
"""librdkafka's default."""
_HEARTBEAT = "heartbeat.interval.ms"
QUEUED_KIB = 16 * 1024
"""Memory of a consumer for fetched records that were not read yet; librdkafka's default is four times as much."""
FETCH_WAIT_MS = 100
_FETCH_WAIT = "fetch.wait.max.ms"
_CORRECT = "Correct [kafka.client] in the configuration file, or WORKER_KAFKA__CLIENT."
_Client = TypeVar("_Client")
_Answer = TypeVar("_Answer")
_NOISE = re.compile(r"^\S+/(?:bootstrap|\d+): | \(after \d+ms in state [^)]*\)$")
"""What librdkafka adds to the reason of a failed connection: the broker again, and its internal state."""
MOCK = "mockCluster"
"""The prefix of the cluster id of librdkafka's mock, which answers no admin requests."""


def client(kind: Callable[[dict[str, Any]], _Client], kafka: Kafka, own: Mapping[str, Any]) -> _Client:
    """Returns a librdkafka client with the operator's properties and the worker's own.

    Args:
        own: properties that the operator cannot change.

    Raises:
        ConfigError: the operator's properties cannot be used.
    """
    fixed = {"bootstrap.servers": kafka.bootstrap_servers, "logger": log, **own}
    taken = sorted(kafka.client.keys() & fixed.keys())
    if taken:
        raise ConfigError(f"kafka.client cannot set {', '.join(taken)}: the worker relies on its own.", _CORRECT)
    below = {
        "socket.connection.setup.timeout.ms": 10_000,
        "log_level": 2,  # a line for each failed connection is noise; Problems reports what matters
    }
    try:
        return kind({**below, **kafka.client, **fixed})
    except KafkaException as error:
        reason = error.args[0].str().strip().rstrip(".")
        raise ConfigError(f"kafka.client cannot be used: {reason}.", _CORRECT) from error
    except (TypeError, ValueError) as error:  # a text where the library expects a function
        raise ConfigError(f"kafka.client cannot be used: {error}.", _CORRECT) from error


def fetching(kafka: Kafka) -> dict[str, Any]:
    """Returns consumer properties that bound the memory for fetched records, and the wait at the end of a partition.

    A broker answers a fetch at the end only after this wait (librdkafka: 500 ms), and a start reads three topics to
    their ends, one after the other. The operator's own value of it wins.
    """
    wait = {} if _FETCH_WAIT in kafka.client else {_FETCH_WAIT: FETCH_WAIT_MS}
    return {"queued.max.messages.kbytes": QUEUED_KIB, "fetch.queue.backoff.ms": 20} | wait


def session_seconds(kafka: Kafka) -> float:
    """Returns the group's session timeout in seconds.

    With ``group_protocol = "consumer"`` the broker decides: its group.consumer.session.timeout.ms must not be below the
    default of 45 seconds.

    Raises:
        ConfigError: the operator's session.timeout.ms is not a number.
    """
    try:
        return float(kafka.client.get("session.timeout.ms", 45_000)) / 1000
    except ValueError as error:
        raise ConfigError("kafka.client's session.timeout.ms must be a number of milliseconds.", _CORRECT) from error


def heartbeat_ms(kafka: Kafka) -> int:
    """Returns the heartbeat interval of the classic protocol in milliseconds.

    At most a third of the session timeout, unless the operator chose: with librdkafka's three seconds in a short
    session, one late heartbeat ends it, and a static member is then fenced by its own earlier id.

    Raises:
        ConfigError: the operator's values are not numbers, or do not allow for a lost heartbeat.
    """
    session = session_seconds(kafka) * 1000
    try:
        chosen = float(kafka.client.get(_HEARTBEAT, min(HEARTBEAT_MS, session / 3)))
    except ValueError as error:
        raise ConfigError(f"kafka.client's {_HEARTBEAT} must be a number of milliseconds.", _CORRECT) from error
    if chosen > session / 2:
        raise ConfigError(
            f"kafka.client's {_HEARTBEAT} is {chosen:.0f}, more than half of session.timeout.ms ({session:.0f}): one "
            "heartbeat that is late would end the session.",
            f"Set it to a third of session.timeout.ms, or leave it out. {_CORRECT}",
        )
    return int(chosen)


def is_fatal(error: LibraryError) -> bool:
    """Returns whether an error is fatal for a client.

    error.fatal() alone is not enough: for a fenced member, librdkafka gives the consumer only an error with the code
    _FATAL whose fatal() is False (confluent-kafka-python issue 869).
    """
    return error.fatal() or error.code() in _ENDED


@dataclass(eq=False)
class Problems:
    """Collects librdkafka's error reports. It recovers by itself from all but fatal ones.

    Attributes:
        away: called with the reason, repeatedly, while no broker can be reached though one had answered.
        last: the latest report, for the message if a request finally fails.
        fatal: the report of a fatal error; None if there was none.
        connected: whether a broker has answered. Until then, the failed start reports everything.
    """

    away: Callable[[str], None] = lambda reason: None
    last: LibraryError | None = None
    fatal: LibraryError | None = None
    connected: bool = False
    _codes: set[int] = field(default_factory=set)

    def __call__(self, error: LibraryError) -> None:
        """Records a report."""
        self.last = error
        self._codes.add(error.code())
        if is_fatal(error):
            self.fatal = error
        if self.connected and error.code() in _UNREACHABLE:
            self.away(error.str())

    @property
    def no_broker(self) -> bool:
        """Whether no broker can be reached, or all refuse this client."""
        return not self._codes.isdisjoint(_UNREACHABLE)


def unreachable(kafka: Kafka, problem: LibraryError | None, error: Exception) -> KafkaError:
    """Returns the error for a broker that does not answer."""
    if problem is None and isinstance(error, KafkaException):
        problem = error.args[0]
    code = problem.code() if problem is not None else None
    reason = _NOISE.sub("", problem.str() if problem is not None else str(error)).rstrip(".")
    if code in (LibraryError._AUTHENTICATION, LibraryError.SASL_AUTHENTICATION_FAILED):
        return KafkaError(
            f"Kafka at {kafka.bootstrap_servers} refuses the credentials: {reason}.",
            "Check the sasl and ssl properties in [kafka.client].",
        )
    return KafkaError(
        f"No Kafka broker answers at {kafka.bootstrap_servers}: {reason}.",
        "Check kafka.bootstrap_servers (WORKER_KAFKA__BOOTSTRAP_SERVERS), the network and [kafka.client].",
    )


def _metadata(client: Any, kafka: Kafka, problems: Problems) -> Any:
    # In parts: librdkafka would keep trying for the whole time even if every broker refuses it.
    waited = 0.0
    while True:
        try:
            return client.list_topics(kafka.topic, timeout=PART_SECONDS)
        except KafkaException as error:
            waited += PART_SECONDS
            client.poll(0)  # runs the error callback
            if problems.no_broker or waited >= ANSWER_SECONDS:
                raise unreachable(kafka, problems.last, error) from error


def partitions_of_topic(client: Any, kafka: Kafka, problems: Problems) -> tuple[int, str]:
    """Returns the topic's number of partitions, and the cluster's id.

    Raises:
        KafkaError: no broker answers, or there is no such topic.
    """
    metadata = _metadata(client, kafka, problems)
    problems.connected = True
    topic = metadata.topics.get(kafka.topic)
    if topic is None or topic.error is not None or not topic.partitions:
        raise no_topic(kafka, topic.error.str() if topic is not None and topic.error is not None else None)
    return len(topic.partitions), metadata.cluster_id or ""


def no_topic(kafka: Kafka, reason: str | None) -> KafkaError:
    """Returns the error for a missing events topic.

    Args:
        reason: the broker's; None if it gave none.
    """
    return KafkaError(
        f"Kafka has no topic {kafka.topic} for this user{f': {reason}' if reason else ''}.",
        f"Create it (kafka-topics.sh --create --topic {kafka.topic} --bootstrap-server {kafka.bootstrap_servers} "
        "--partitions 12 --config cleanup.policy=compact), grant this Kafka user access to it, or correct "
        "kafka.topic (WORKER_KAFKA__TOPIC).",
    )


def bounds(
    client: Any, kafka: Kafka, partition: int, problems: Problems, if_missing: str | None = None
) -> tuple[int, int]:
    """Returns a partition's low and high watermark.

    Waits while a leader is elected: a new partition has none at first, nor has one whose broker just went away.

    Args:
        if_missing: advice for a topic that does not exist; None for that about the events topic.

    Raises:
        KafkaError: no broker answers, there is no such topic, or the partition gets no leader.
    """
    ends = time.monotonic() + ANSWER_SECONDS
    place = TopicPartition(kafka.topic, partition)
    while True:
        try:
            low, high = answer(lambda: client.get_watermark_offsets(place, ANSWER_SECONDS), client, kafka, problems)
        except KafkaException as error:
            if error.args[0].code() in MISSING | _FORGOTTEN:
                missing = no_topic(kafka, error.args[0].str())
                raise KafkaError(missing.message, if_missing or missing.advice) from error
            if error.args[0].code() not in _ELECTING:
                raise unreachable(kafka, problems.last, error) from error
            if time.monotonic() > ends:
                raise KafkaError(
                    f"Partition {partition} of the topic {kafka.topic} has no leader: {error.args[0].str()}",
                    "Find the missing broker with kafka-topics.sh --describe.",
                ) from error
            time.sleep(ELECTION_SECONDS)
        else:
            return low, high


def answer(ask: Callable[[], _Answer], client: Any, kafka: Kafka, problems: Problems) -> _Answer:
    """Returns a broker's answer, retrying for up to `RESTART_SECONDS` while a broker that had answered restarts.

    Raises:
        KafkaException: the broker is not restarting, or takes too long.
    """
    ends = time.monotonic() + RESTART_SECONDS
    while True:
        try:
            return ask()
        except KafkaException as error:
            code = error.args[0].code()
            restarting = code in _FORGOTTEN or (problems.connected and code in AWAY)
            if not restarting or time.monotonic() > ends:
                raise
        with contextlib.suppress(KafkaException):
            client.list_topics(kafka.topic, timeout=PART_SECONDS)
        time.sleep(ELECTION_SECONDS)
