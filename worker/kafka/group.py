"""Queries the current members of the consumer group."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from worker.config import Kafka
from worker.errors import WorkerError

ANSWER_SECONDS = 5.0
"""The longest that a person waits for the answer."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the group.

    Attributes:
        name: its client id and host.
        partitions: of the events topic, those assigned to it now.
    """

    name: str
    partitions: tuple[int, ...]


def owners_elsewhere(kafka: Kafka, own: str) -> dict[int, str] | None:
    """Returns the partitions of other workers, each with its worker's name; None if Kafka does not tell.

    Args:
        own: this worker's client id: a session that its former process left is not another worker.
    """
    group = _described(kafka)
    return None if group is None else others_in(group, kafka.topic, own)


def others_in(group: Any, topic: str, own: str) -> dict[int, str]:
    """Returns the same from the library's description of a group: empty while the group rebalances."""
    from confluent_kafka import ConsumerGroupState

    if group.state != ConsumerGroupState.STABLE:
        return {}
    other_members = (member(described, topic) for described in group.members if described.client_id != own)
    return {partition: other.name for other in other_members for partition in other.partitions}


def members_of(kafka: Kafka) -> list[Member] | None:
    """Returns the group's members; None if Kafka does not say."""
    group = _described(kafka)
    return None if group is None else [member(description, kafka.topic) for description in group.members]


def _described(kafka: Kafka) -> Any | None:
    # Imported here, because the library takes long to import, and most commands that only read do not need it.
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    from worker.kafka.client import Problems, client

    try:
        admin = client(AdminClient, kafka, {"error_cb": Problems()})
        futures = admin.describe_consumer_groups([kafka.group_id], request_timeout=ANSWER_SECONDS)
        return futures[kafka.group_id].result(ANSWER_SECONDS + 1)
    except (KafkaException, WorkerError, TimeoutError) as error:
        logging.getLogger("worker").debug("the group was not described: %s", error, extra={"reason": str(error)})
        return None


def member(description: Any, topic: str) -> Member:
    """Converts the library's description of a member."""
    partitions = sorted(
        assigned.partition for assigned in description.assignment.topic_partitions if assigned.topic == topic
    )
    return Member(f"{description.client_id} on {description.host.lstrip('/')}", tuple(partitions))
