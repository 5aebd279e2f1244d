"""Commits offsets to Kafka, for tools that measure lag, to name a partition's owner, and to confirm that it still is.

The worker itself continues from SQLite.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import KafkaException, TopicPartition

from worker.clock import as_text
from worker.config import Kafka
from worker.consumer.assignment import Reading
from worker.consumer.group_session import GroupSession
from worker.kafka.client import ANSWER_SECONDS, Problems, answer, is_fatal, unreachable
from worker.sqlite.database import Database
from worker.store import offsets

log = logging.getLogger("worker.consumer")

COMMIT_SECONDS = 5.0
"""How often offsets are committed during continuous reading."""
CONFIRM_SECONDS = 15.0
"""How often they are committed when nothing was read: the group accepts them only from its members."""
DOUBT_SECONDS = 1.0
"""The same while it is in doubt whether this worker is still a member."""

RELEASED = "released:"
"""Before the name of an owner that had no call in flight at its end."""


@dataclass(frozen=True, slots=True)
class LastOwners:
    """Who had partitions last.

    Attributes:
        waits: seconds that calls of other owners may still take, by partition.
        names: the owners that are known, by partition; "" if an earlier release gave the partition back.
    """

    waits: Mapping[int, float]
    names: Mapping[int, str]

    def note(self, db: Database, topic: str, partitions: Collection[int], now: datetime) -> None:
        """Stores which of the partitions another worker had last: what it delivered has its receipts there.

        The same database has another name at another place or after a boot, but the same receipts.
        """
        own = offsets.known_instance_id(db) or ""
        taken = [
            (partition, as_text(now + timedelta(seconds=self.waits.get(partition, 0.0))))
            for partition, name in self.names.items()
            if partition in partitions and not name.startswith(own)
        ]
        if taken:
            with db.transaction():
                offsets.note_taken(db, topic, taken)


class Commits:
    """Commits offsets with the worker's name as metadata. Used only by the poll thread."""

    def __init__(self, settings: Kafka, problems: Problems, instance: str, session: GroupSession, wait: float) -> None:
        """Commits nothing yet.

        Args:
            session: notified when the group accepted offsets from this worker; its clock counts.
            wait: how long a call of a partition's former owner may take, in seconds.
        """
        self._settings, self._problems, self._topic = settings, problems, settings.topic
        self._instance, self._session, self._wait = instance, session, wait
        self._committed_at = self._confirmed_at = session.clock()
        self._sent_at = deque[float]()  # of the commits that the group has not answered yet
        self.released = False
        """Set before the end if no call is in flight that the next owner must wait for."""

    def began_again(self) -> None:
        """Records that commits go to a new consumer, which answers none of those before."""
        self._sent_at.clear()

    # The last owner of a partition: its name is committed with the offset

    def last_owners(self, consumer: Any, partitions: Collection[int]) -> LastOwners:
        """Returns who had partitions last. Mailchimp would accept calls of other owners as well as this worker's.

        Raises:
            KafkaError: no broker answers.
            KafkaException: the client has met a fatal error.
        """
        asked = [TopicPartition(self._topic, partition) for partition in sorted(partitions)]
        try:
            known = (
                answer(
                    lambda: consumer.committed(asked, timeout=ANSWER_SECONDS), consumer, self._settings, self._problems
                )
                if asked
                else []
            )
        except KafkaException as error:
            if is_fatal(error.args[0]):
                raise
            raise unreachable(self._settings, self._problems.last, error) from error
        names = {position.partition: position.metadata or "" for position in known if position.offset >= 0}
        in_flight = {partition for partition, name in names.items() if name and not name.startswith(RELEASED)}
        others = [partition for partition in sorted(in_flight) if names[partition] != self._instance]
        if others and self._wait:
            listed = ", ".join(str(partition) for partition in others)
            message = "partition %s was another worker's: waiting up to %.0f s for its last calls"
            log.info(message, listed, self._wait, extra={"partitions": others, "seconds": self._wait})
        return LastOwners(
            dict.fromkeys(others, self._wait),
            {partition: name.removeprefix(RELEASED) for partition, name in names.items()},
        )

    def due(self) -> bool:
        """Returns whether it is time for a commit."""
        doubtful = self._session.doubted_at is not None
        return doubtful or self._session.clock() - self._committed_at > COMMIT_SECONDS

    def claim(self, readings: Iterable[Reading]) -> None:
        """Names the owner of partitions, even idle ones, once the calls of the previous owner are over.

        Repeats it now and then, or at once after a silence.
        """
        now, doubted_at = self._session.clock(), self._session.doubted_at
        repeats = doubted_at is not None and self._confirmed_at < doubted_at
        if repeats or now - self._confirmed_at > (CONFIRM_SECONDS if doubted_at is None else DOUBT_SECONDS):
            self._confirmed_at, repeats = now, True
        for reading in readings:
            if repeats or reading.claim_at is not None:
                reading.claim(now)

    def end(self, consumer: Any, readings: Collection[Reading]) -> None:
        """Commits for the last time; if no call is in flight, all partitions once more, to say so."""
        if self.released:
            for reading in readings:
                reading.claim(self._session.clock())
        self.commit(consumer, readings)

    def commit(self, consumer: Any, readings: Collection[Reading]) -> None:
        """Commits what is staged. Never blocks, and a refusal changes nothing: reading continues from SQLite."""
        self._committed_at = self._session.clock()
        name = f"{RELEASED}{self._instance}" if self.released else self._instance
        positions = [
            TopicPartition(self._topic, reading.partition, reading.uncommitted, metadata=name)
            for reading in readings
            if reading.claim_at is None and reading.uncommitted is not None
        ]
        if not positions:
            return
        for reading in readings:
            if reading.claim_at is None:
                reading.uncommitted = None
        try:
            consumer.commit(offsets=positions, asynchronous=True)
            self._sent_at.append(self._committed_at)
        except KafkaException as error:
            partitions = [position.partition for position in positions]
            log.debug("offsets were not committed: %s", error, extra={"partitions": partitions})

    def answered(self, error: LibraryError | None, positions: Sequence[TopicPartition]) -> None:
        """Handles the group's answer to a commit. They come in the order in which the commits were sent."""
        sent_at = self._sent_at.popleft()
        if error is None and not any(position.error for position in positions):
            self._session.answered()
            self._session.confirmed(sent_at)
