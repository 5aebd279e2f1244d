"""Looks at Kafka as the worker needs it, without joining the group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]

from worker.config import Kafka
from worker.errors import KafkaError
from worker.kafka.client import ANSWER_SECONDS, MOCK, Problems, client, partitions_of_topic


@dataclass(frozen=True, slots=True)
class Examined:
    """One thing that was looked at; ok is None where the broker does not tell."""

    what: str
    ok: bool | None
    told: str


def examine(settings: Kafka) -> Iterator[Examined]:
    """Gives what is right and wrong about the broker and the topic.

    Raises:
        ConfigError: the operator's properties cannot be used.
    """
    problems = Problems()
    admin = client(AdminClient, settings, {"error_cb": problems})
    try:
        partitions, cluster_id = partitions_of_topic(admin, settings, problems)
    except KafkaError as error:
        yield Examined("Kafka", False, f"{error.what} {error.advice}")
        return
    yield Examined("Kafka", True, f"{settings.bootstrap_servers} answers")
    yield Examined("topic", True, f"{settings.topic} has {partitions} partitions")
    yield _policy(admin, settings, cluster_id)


def _policy(admin: AdminClient, settings: Kafka, cluster_id: str) -> Examined:
    what = "cleanup.policy"
    if cluster_id.startswith(MOCK):
        return Examined(what, None, "not available from this broker")
    asked = admin.describe_configs([ConfigResource(ResourceType.TOPIC, settings.topic)], request_timeout=ANSWER_SECONDS)
    try:
        policy = next(iter(asked.values())).result(ANSWER_SECONDS + 1)[what].value
    except (KafkaException, KeyError) as error:
        return Examined(what, None, f"not told: {error}")
    if "compact" in policy:
        return Examined(what, True, policy)
    return Examined(
        what,
        False,
        f"{policy}: customers' last events expire, and a new worker would not know them. Set it to compact.",
    )
