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


def members_of(kafka: Kafka) -> list[Member] | None:
    """Returns the group's members; None if Kafka does not say."""
    # Imported here, because the library takes long to import, and most commands that only read do not need it.
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    from worker.kafka.client import Problems, client

    try:
        admin = client(AdminClient, kafka, {"error_cb": Problems()})
        futures = admin.describe_consumer_groups([kafka.group_id], request_timeout=ANSWER_SECONDS)
        group = futures[kafka.group_id].result(ANSWER_SECONDS + 1)
    except (KafkaException, WorkerError, TimeoutError) as error:
        logging.getLogger("worker").debug("the group was not described: %s", error, extra={"reason": str(error)})
        return None
    return [member(description, kafka.topic) for description in group.members]


def member(description: Any, topic: str) -> Member:
    """Converts the library's description of a member."""
    partitions = sorted(
        assigned.partition for assigned in description.assignment.topic_partitions if assigned.topic == topic
    )
    return Member(f"{description.client_id} on {description.host.lstrip('/')}", tuple(partitions))
