"""How the topic forgets, as the broker tells."""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]

from worker.config import Kafka
from worker.errors import KafkaError
from worker.kafka.client import ANSWER_SECONDS

_NOT_TOLD = (
    LibraryError._UNSUPPORTED_FEATURE,
    LibraryError.UNSUPPORTED_VERSION,
    LibraryError.TOPIC_AUTHORIZATION_FAILED,
    LibraryError.CLUSTER_AUTHORIZATION_FAILED,
)


@dataclass(frozen=True, slots=True)
class Compaction:
    """How a topic forgets.

    Attributes:
        policy: its cleanup.policy.
        keeps_seconds: how long it keeps a null at least, for its readers to see: its delete.retention.ms.
    """

    policy: str
    keeps_seconds: float


def compaction_of(admin: AdminClient, settings: Kafka) -> Compaction | None:
    """Returns how the topic forgets; None where the broker does not tell, or not this user.

    Raises:
        KafkaError: no broker answers.
    """
    which = ConfigResource(ResourceType.TOPIC, settings.topic)
    try:
        asked = admin.describe_configs([which], request_timeout=ANSWER_SECONDS)
        told = asked[which].result(ANSWER_SECONDS + 1)
    except KafkaException as error:
        if error.args[0].code() in _NOT_TOLD:
            return None
        raise KafkaError(
            f"Kafka does not tell how the topic {settings.topic} is configured: {error.args[0].str()}",
            "See that its brokers answer, and start the worker again.",
        ) from error
    try:
        return Compaction(told["cleanup.policy"].value, int(told["delete.retention.ms"].value) / 1000)
    except KeyError:
        return None
