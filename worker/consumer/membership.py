"""Joins the consumer group by the classic protocol or by the newer one (KIP-848).

Both rebalance incrementally, so that a worker that joins or leaves disturbs the others only where partitions move.
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import Any

from confluent_kafka import ConsumerGroupState
from confluent_kafka import KafkaError as LibraryError

from worker.config import Kafka
from worker.consumer.assignment import State
from worker.kafka.admin import Admin
from worker.kafka.client import fetching, heartbeat_ms

METADATA_MS = 10_000
"""How often librdkafka looks for new partitions of the topic; its default is five minutes."""
_METADATA = "topic.metadata.refresh.interval.ms"
ASK_SECONDS = 1.0
"""How often to query whether the group has partitions for this worker."""


def properties(settings: Kafka, name: str) -> dict[str, Any]:
    """Returns librdkafka's properties for a group member.

    Args:
        name: the static member name, with which it gets its partitions back after a restart.

    Raises:
        ConfigError: the operator's timeouts contradict each other.
    """
    own = {
        "group.id": settings.group_id,
        "group.instance.id": name,
        "group.protocol": settings.group_protocol,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        **fetching(settings),
    }
    if _METADATA not in settings.client:
        own[_METADATA] = METADATA_MS
    if settings.group_protocol == "classic":
        own["partition.assignment.strategy"] = "cooperative-sticky"
        interval = heartbeat_ms(settings)
        if "heartbeat.interval.ms" not in settings.client:
            own["heartbeat.interval.ms"] = interval
    return own


def says_name_is_taken(error: LibraryError) -> bool:
    """Returns whether the newer protocol refuses a member because its predecessor still has the name.

    Only the text shows it: the error has the code _FATAL.
    """
    return LibraryError(LibraryError.UNRELEASED_INSTANCE_ID).str() in error.str()


def refusal(settings: Kafka) -> str:
    """Returns the message for a group whose other members share no protocol with this one."""
    return (
        f"the group {settings.group_id} has workers of an earlier release, or with another kafka.group_protocol; "
        "this one waits until they have ended"
    )


class Membership:
    """Finds out that the group has no partition for this worker, which the newer protocol does not report."""

    def __init__(self, settings: Kafka, name: str, admin: Admin | None) -> None:
        """Queries nothing yet.

        Args:
            admin: None for a broker that does not answer the query.
        """
        self._group = settings.group_id
        self._name = name
        self._admin = admin if settings.group_protocol == "consumer" else None
        self._asked_at = time.monotonic()
        self._asked: Future[Any] | None = None

    def has_nothing(self, state: State) -> bool:
        """Returns whether the group is stable and has no partition for this worker. Never blocks.

        Args:
            state: the known state; queries only if no assignment is known.
        """
        if self._admin is None or state is State.ASSIGNED:
            self._asked = None
            return False
        if self._asked is None:
            if time.monotonic() - self._asked_at >= ASK_SECONDS:
                self._asked_at = time.monotonic()
                self._asked = self._admin.ask_group(self._group)
            return False
        if not self._asked.done():
            return False
        answer, self._asked = self._asked, None
        if answer.exception() is not None or answer.result().state != ConsumerGroupState.STABLE:
            return False
        mine = [member for member in answer.result().members if member.group_instance_id == self._name]
        return bool(mine) and not any(member.assignment.topic_partitions for member in mine)
