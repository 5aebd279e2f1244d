"""Commits offsets to Kafka, for tools that measure lag, to name a partition's owner, and to confirm that it still is.

The worker itself continues from SQLite.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import KafkaException, TopicPartition

from worker.clock import as_text
from worker.config import Kafka
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

    def __init__(
        self,
        settings: Kafka,
        instance: str,
        session: GroupSession,
        next_of: Callable[[int], int | None],
        wait: float,
    ) -> None:
        """Commits nothing yet.

        Args:
            session: notified when the group accepted offsets from this worker; its clock counts.
            next_of: returns the next offset of a partition.
            wait: how long a call of a partition's former owner may take, in seconds.
        """
        self._settings, self._topic, self._instance = settings, settings.topic, instance
        self._session, self._next_of, self._wait = session, next_of, wait
        self._uncommitted: dict[int, int] = {}
        self._unclaimed: dict[int, float] = {}
        self._committed_at = self._confirmed_at = session.clock()
        self._sent_at = deque[float]()  # of the commits that the group has not answered yet
        self.released = False
        """Set before the end if no call is in flight that the next owner must wait for."""

    def began_again(self) -> None:
        """Records that commits go to a new consumer, which answers none of those before."""
        self._sent_at.clear()

    # The last owner of a partition: its name is committed with the offset

    def last_owners(self, consumer: Any, partitions: Collection[int], problems: Problems) -> LastOwners:
        """Returns who had partitions last. Mailchimp would accept calls of other owners as well as this worker's.

        Raises:
            KafkaError: no broker answers.
            KafkaException: the client has met a fatal error.
        """
        asked = [TopicPartition(self._topic, partition) for partition in sorted(partitions)]
        try:
            known = (
                answer(lambda: consumer.committed(asked, timeout=ANSWER_SECONDS), consumer, self._settings, problems)
                if asked
                else []
            )
        except KafkaException as error:
            if is_fatal(error.args[0]):
                raise
            raise unreachable(self._settings, problems.last, error) from error
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

    def assigned(self, partitions: Collection[int], waits: Mapping[int, float]) -> None:
        """Records an assignment. The owner is named once the calls of the previous one are over."""
        now = self._session.clock()
        self._unclaimed |= {partition: now + waits.get(partition, 0.0) for partition in partitions}
        for partition in partitions:
            self._uncommitted.pop(partition, None)

    def dropped(self, partitions: Collection[int]) -> None:
        """Records partitions that are no longer assigned to this worker."""
        for partition in partitions:
            self._uncommitted.pop(partition, None)
            self._unclaimed.pop(partition, None)

    def staged(self, next_offsets: Mapping[int, int]) -> None:
        """Records how far partitions are staged."""
        self._uncommitted |= next_offsets

    def release(self, partitions: Collection[int]) -> None:
        """Makes the next :meth:`commit` include partitions once more, saying whether a call is in flight."""
        self._add(partitions - self._unclaimed.keys())

    def due(self) -> bool:
        """Returns whether it is time for a commit."""
        return self._session.doubted_at is not None or self._session.clock() - self._committed_at > COMMIT_SECONDS

    def claim(self, partitions: Collection[int]) -> None:
        """Names the owner of partitions, even idle ones, and repeats it now and then, or at once after a silence."""
        now, doubted_at = self._session.clock(), self._session.doubted_at
        for partition in [partition for partition, free_at in self._unclaimed.items() if now >= free_at]:
            del self._unclaimed[partition]
            self._add([partition])
        new = doubted_at is not None and self._confirmed_at < doubted_at
        if new or now - self._confirmed_at > (CONFIRM_SECONDS if doubted_at is None else DOUBT_SECONDS):
            self._confirmed_at = now
            self._add(partitions - self._unclaimed.keys())

    def _add(self, partitions: Collection[int]) -> None:
        for partition in partitions:
            next_offset = self._next_of(partition)
            if next_offset is not None:
                self._uncommitted.setdefault(partition, next_offset)

    def commit(self, consumer: Any) -> None:
        """Commits what is staged. Never blocks, and a refusal changes nothing: reading continues from SQLite."""
        self._committed_at = self._session.clock()
        name = f"{RELEASED}{self._instance}" if self.released else self._instance
        ready = {
            partition: offset for partition, offset in self._uncommitted.items() if partition not in self._unclaimed
        }
        if not ready:
            return
        self._uncommitted = {
            partition: offset for partition, offset in self._uncommitted.items() if partition in self._unclaimed
        }
        positions = [
            TopicPartition(self._topic, partition, offset, metadata=name) for partition, offset in ready.items()
        ]
        try:
            consumer.commit(offsets=positions, asynchronous=True)
            self._sent_at.append(self._committed_at)
        except KafkaException as error:
            log.debug("offsets were not committed: %s", error, extra={"partitions": sorted(ready)})

    def answered(self, error: LibraryError | None, positions: Sequence[TopicPartition]) -> None:
        """Handles the group's answer to a commit. They come in the order in which the commits were sent."""
        sent_at = self._sent_at.popleft()
        if error is None and not any(position.error for position in positions):
            self._session.answered()
            self._session.confirmed(sent_at)
