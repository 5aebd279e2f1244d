"""Offsets committed to Kafka: for tools that measure lag, to name a partition's owner, and to learn that one still is.

Reading itself goes on from SQLite.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import KafkaException, TopicPartition

from worker.config import Kafka
from worker.consumer.owned_partitions import OwnedPartitions
from worker.kafka.client import ANSWER_SECONDS, Problems, answer, is_fatal, unreachable

log = logging.getLogger("worker.consumer")

COMMIT_SECONDS = 5.0
"""How often offsets are committed while there is always something to read."""
CONFIRM_SECONDS = 15.0
"""How often they are committed though nothing was read: the group takes them from its members only."""


class Commits:
    """Commits offsets, the worker's name beside each. Belongs to the poll thread."""

    def __init__(
        self,
        settings: Kafka,
        instance: str,
        owned_partitions: OwnedPartitions,
        next_of: Callable[[int], int | None],
        wait: float,
    ) -> None:
        """Commits nothing yet.

        Args:
            owned_partitions: takes note when the group took offsets from this worker.
            next_of: returns where reading a partition goes on.
            wait: seconds that a call of a partition's former owner may last.
        """
        self._settings = settings
        self._topic = settings.topic
        self._instance = instance
        self._ownership = owned_partitions
        self._next_of = next_of
        self._wait = wait
        self._uncommitted: dict[int, int] = {}
        self._unclaimed: dict[int, float] = {}
        self._committed_at = self._confirmed_at = time.monotonic()
        self.released = False
        """Set before the end, where no call is under way that the next owner must wait for."""

    # Who had a partition last: its name is committed with the offset

    def former_owners(self, consumer: Any, partitions: Collection[int], problems: Problems) -> dict[int, float]:
        """Returns how long to wait for calls of other owners: Mailchimp would take them as well as this worker's.

        Raises:
            KafkaError: no broker answers.
            KafkaException: the client has met a fatal error.
        """
        asked = [TopicPartition(self._topic, one) for one in sorted(partitions)]
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
        others = [one.partition for one in known if one.metadata and one.metadata != self._instance]
        if others and self._wait:
            told = ", ".join(str(one) for one in others)
            message = "partition %s was another worker's: waiting up to %.0f s for its last calls"
            log.info(message, told, self._wait, extra={"partitions": others, "seconds": self._wait})
        return dict.fromkeys(others, self._wait)

    def given(self, partitions: Collection[int], waits: Mapping[int, float]) -> None:
        """Notes what was assigned: its owner is named once calls of the one before are over."""
        now = time.monotonic()
        self._unclaimed |= {one: now + waits.get(one, 0.0) for one in partitions}
        for one in partitions:
            self._uncommitted.pop(one, None)

    def dropped(self, partitions: Collection[int]) -> None:
        """Notes what is not this worker's any more."""
        for one in partitions:
            self._uncommitted.pop(one, None)
            self._unclaimed.pop(one, None)

    def staged(self, next_offsets: Mapping[int, int]) -> None:
        """Notes how far partitions are staged."""
        self._uncommitted |= next_offsets

    def release(self, partitions: Collection[int]) -> None:
        """Commits partitions once more with the next :meth:`commit`, without a name where no call is under way."""
        self._add(partitions - self._unclaimed.keys())

    def due(self) -> bool:
        """Returns whether the last commit was long ago."""
        return time.monotonic() - self._committed_at > COMMIT_SECONDS

    def claim(self, partitions: Collection[int]) -> None:
        """Names the owner of partitions, also of those where nothing is read, and again now and then."""
        now = time.monotonic()
        for partition in [one for one, after in self._unclaimed.items() if now >= after]:
            del self._unclaimed[partition]
            self._add([partition])
        if now - self._confirmed_at > CONFIRM_SECONDS:
            self._confirmed_at = now
            self._add(partitions - self._unclaimed.keys())

    def _add(self, partitions: Collection[int]) -> None:
        for partition in partitions:
            next_offset = self._next_of(partition)
            if next_offset is not None:
                self._uncommitted.setdefault(partition, next_offset)

    def commit(self, consumer: Any) -> None:
        """Commits what is staged. Waits for nothing, and a refusal changes nothing: reading goes on from SQLite."""
        self._committed_at = time.monotonic()
        name = "" if self.released else self._instance
        ready = {one: offset for one, offset in self._uncommitted.items() if one not in self._unclaimed}
        if not ready:
            return
        self._uncommitted = {one: offset for one, offset in self._uncommitted.items() if one in self._unclaimed}
        positions = [TopicPartition(self._topic, one, offset, metadata=name) for one, offset in ready.items()]
        try:
            consumer.commit(offsets=positions, asynchronous=True)
        except KafkaException as error:
            log.debug("offsets were not committed: %s", error, extra={"partitions": sorted(ready)})

    def answered(self, error: LibraryError | None, positions: Sequence[TopicPartition]) -> None:
        """Takes the group's answer to a commit."""
        if error is None and not any(one.error for one in positions):
            self._ownership.heard()
