"""How this worker joins the consumer group, by the classic protocol or by the newer one (KIP-848).

Both take and give single partitions, so that a worker that joins or leaves ends nothing on the others but what moves.
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

QUEUED_KIB = 16 * 1024
"""Memory for records that were fetched and not read yet."""
ASK_SECONDS = 1.0
"""How often to ask whether the group has anything for this worker."""


def properties(settings: Kafka, name: str) -> dict[str, Any]:
    """Returns librdkafka's properties of a member.

    Args:
        name: which this worker has in its group, so that it gets its partitions back after a restart.

    Raises:
        ConfigError: the operator's times do not go together.
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
        "queued.max.messages.kbytes": QUEUED_KIB,
        "fetch.queue.backoff.ms": 20,
        **fetching(settings),
    }
    if settings.group_protocol == "classic":
        own["partition.assignment.strategy"] = "cooperative-sticky"
        interval = heartbeat_ms(settings)
        if "heartbeat.interval.ms" not in settings.client:
            own["heartbeat.interval.ms"] = interval
    return own


def says_name_is_taken(error: LibraryError) -> bool:
    """Returns whether the newer protocol refuses a member since the one before it has the name still.

    Only the text shows it: the error comes with the code _FATAL.
    """
    return LibraryError(LibraryError.UNRELEASED_INSTANCE_ID).str() in error.str()


def refusal(settings: Kafka) -> str:
    """Returns what to say where the group's other members share no protocol with this one."""
    return (
        f"the group {settings.group_id} has workers of an earlier release, or with another kafka.group_protocol; "
        "this one waits until they have ended"
    )


class Membership:
    """Learns that the group has no partition for this worker: the newer protocol says nothing then."""

    def __init__(self, settings: Kafka, name: str, admin: Admin | None) -> None:
        """Asks nothing yet.

        Args:
            admin: asks the broker; None for one that does not answer it.
        """
        self._group = settings.group_id
        self._name = name
        self._admin = admin if settings.group_protocol == "consumer" else None
        self._asked_at = time.monotonic()
        self._asked: Future[Any] | None = None

    def has_nothing(self, state: State) -> bool:
        """Returns whether this worker is in a group that is settled and gives it no partition. Waits for nothing.

        Args:
            state: what is known already; asked is only where no assignment is known.
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
        mine = [one for one in answer.result().members if one.group_instance_id == self._name]
        return bool(mine) and not any(one.assignment.topic_partitions for one in mine)
