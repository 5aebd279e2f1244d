"""Joins the consumer group by the classic protocol or by the newer one (KIP-848).

Both rebalance incrementally, so that a worker that joins or leaves disturbs the others only where partitions move.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future
from typing import Any

from confluent_kafka import ConsumerGroupState
from confluent_kafka import KafkaError as LibraryError

from worker.config import Kafka
from worker.consumer.group_session import MemberState
from worker.consumer.owned_partitions import OwnedPartitions
from worker.kafka.admin import Admin
from worker.kafka.client import fetching, heartbeat_ms
from worker.kafka.group import others_in

log = logging.getLogger("worker.consumer")

METADATA_MS = 10_000
"""How often librdkafka looks for new partitions of the topic; its default is five minutes."""
_METADATA = "topic.metadata.refresh.interval.ms"
ASK_SECONDS = 1.0
"""How often to query whether the group has partitions for this worker, while it has none."""


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


class Membership:
    """Finds out, while this worker has no partition, whether other workers have all of them.

    By the newer protocol, the group does not report either that it has no partition for this worker.
    """

    def __init__(self, settings: Kafka, name: str, client_id: str, admin: Admin | None) -> None:
        """Queries nothing yet.

        Args:
            name: the static member name.
            admin: None for a broker that does not answer the query.
        """
        self._settings, self._name, self._client_id, self._admin = settings, name, client_id, admin
        self._asked_at = time.monotonic()
        self._asked: Future[Any] | None = None
        self._refused = False

    def refused(self) -> None:
        """Logs once that the other members share no protocol with this one."""
        if not self._refused:
            message = "the group %s has workers of an earlier release, or with another kafka.group_protocol; "
            message += "this one waits until they have ended"
            log.error(message, self._settings.group_id, extra={"group": self._settings.group_id})
        self._refused = True

    def look(self, owned_partitions: OwnedPartitions, partitions: int) -> None:
        """Queries the group if this worker has no partition, and records its answer. Never blocks.

        Args:
            partitions: of the topic.
        """
        if self._admin is None or owned_partitions.owned():
            self._asked = None
        elif self._asked is None:
            if time.monotonic() - self._asked_at >= ASK_SECONDS:
                self._asked_at = time.monotonic()
                self._asked = self._admin.ask_group(self._settings.group_id)
        elif self._asked.done():
            answer, self._asked = self._asked, None
            if answer.exception() is None:
                self._take(answer.result(), owned_partitions, partitions)

    def _take(self, group: Any, owned_partitions: OwnedPartitions, partitions: int) -> None:
        elsewhere = others_in(group, self._settings.topic, self._client_id)
        owned_partitions.session.others_have_all = elsewhere.keys() >= set(range(partitions))
        if self._settings.group_protocol != "consumer" or owned_partitions.state is MemberState.ASSIGNED:
            return
        mine = [member for member in group.members if member.group_instance_id == self._name]
        has_nothing = mine and not any(member.assignment.topic_partitions for member in mine)
        if group.state == ConsumerGroupState.STABLE and has_nothing:
            owned_partitions.assigned({})
