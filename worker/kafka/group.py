"""Asks Kafka who is in the consumer group now."""

from __future__ import annotations

import logging
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from worker.config import Kafka
from worker.errors import WorkerError
from worker.kafka.client import Problems, client

ANSWER_SECONDS = 5.0
"""How long a person waits at most to learn which worker it is."""


def owner_of(settings: Kafka, partition: int) -> str | None:
    """Returns host and name of the group's member that has a partition now; None where Kafka does not say."""
    try:
        admin = client(AdminClient, settings, {"error_cb": Problems()})
        asked = admin.describe_consumer_groups([settings.group_id], request_timeout=ANSWER_SECONDS)
        group = asked[settings.group_id].result(ANSWER_SECONDS + 1)
    except (KafkaException, WorkerError, TimeoutError) as error:
        logging.getLogger("worker").debug("the group was not described: %s", error, extra={"reason": str(error)})
        return None
    return member_with(group.members, settings.topic, partition)


def member_with(members: Any, topic: str, partition: int) -> str | None:
    """Returns host and name of the member that has a partition; None where none has it."""
    for one in members:
        if any(each.topic == topic and each.partition == partition for each in one.assignment.topic_partitions):
            return f"{one.client_id} on {one.host.lstrip('/')}"
    return None
