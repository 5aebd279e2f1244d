"""Partitions that nobody read for longer than they keep tombstones: rereads them, and deletes missing customers.

A tombstone disappears some time after compaction. A reader that missed it finds the customer in no record at all, so
only rereading the whole partition shows it: a customer staged from it that is no longer in it was deleted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import TopicPartition

from worker.clock import Clock, as_text
from worker.config import Kafka
from worker.consumer.decode import Record, whose
from worker.consumer.owned_partitions import OwnedPartitions
from worker.consumer.start_offset import why_absence_proves_nothing
from worker.kafka.admin import Admin, Compaction
from worker.kafka.client import session_seconds
from worker.sqlite.database import Database
from worker.store import counts, first_reading, offsets, reread_customers
from worker.text.plural import counted

log = logging.getLogger("worker.consumer")

REFRESH_SECONDS = 600.0
"""How often to record that idle partitions have nothing unread, so that they do not look unread."""


@dataclass(slots=True)
class _WholeReading:
    """A partition that is read from its beginning to its end.

    Attributes:
        known: for one that is reread, the offset from which it was never read; None for the first time.
        goal: the offset to reach.
        last: whether reaching that is enough.
        read: the next offset.
    """

    known: int | None
    goal: int
    last: bool = False
    read: int = 0


class RetentionGap:
    """Tracks which partitions are behind and which are reread. Used only by the poll thread."""

    def __init__(
        self,
        settings: Kafka,
        db: Database,
        owned_partitions: OwnedPartitions,
        clock: Clock,
        admin: Admin | None,
        bounds: Callable[[int], tuple[int, int]],
    ) -> None:
        """Queries nothing yet.

        Args:
            db: the poll thread's own connection.
            owned_partitions: updated with what was reread.
            admin: None for a broker that does not answer its queries.
            bounds: returns a partition's low and high watermark.
        """
        self._settings, self._db, self._ownership = settings, db, owned_partitions
        self._clock, self._admin, self._bounds = clock, admin, bounds
        self._session_seconds = session_seconds(settings)
        self.compaction: Compaction | None = None
        """The topic's compaction settings; None if unknown."""
        self._topic_id = ""
        self._ends: dict[int, int] = {}
        self._whole: dict[int, _WholeReading] = {}
        self._looked_at = clock()
        self._asked_at = time.monotonic()
        self._asked: tuple[str, dict[TopicPartition, Future[Any]]] | None = None

    # At an assignment

    def ask(self) -> Compaction | None:
        """Returns the topic's compaction settings; None if the broker does not report them.

        Raises:
            KafkaError: no broker answers.
        """
        self.compaction = None if self._admin is None else self._admin.compaction(self._settings.topic)
        return self.compaction

    def assigned(self, topic_id: str, ends: Mapping[int, int], again: Mapping[int, int]) -> None:
        """Records an assignment, in addition to earlier ones.

        Args:
            ends: the end offset of each partition that has anything to read.
            again: partitions to reread from their beginning, each with the offset from which it was never read.
        """
        self._topic_id = topic_id
        added = {partition: end for partition, end in ends.items() if partition not in again}
        self._ends |= added
        self._whole |= {partition: _WholeReading(known, ends[partition]) for partition, known in again.items()}
        self._whole |= {
            partition: _WholeReading(None, end) for partition, end in added.items() if self._is_first_reading(partition)
        }
        for partition in again:
            reread_customers.begin(self._db, partition)

    def _is_first_reading(self, partition: int) -> bool:
        topic = self._settings.topic
        known = first_reading.state_of(self._db, topic, self._topic_id, partition)
        if known is None:
            # For a database of an earlier release, this starts with what it reads from now on.
            begins = offsets.next_of(self._db, topic, self._topic_id, partition) == self._bounds(partition)[0]
            known = "begun" if begins else "judged"
            with self._db.transaction():
                first_reading.note(self._db, topic, self._topic_id, partition, known)
        return known == "begun"

    def removed(self, partitions: Collection[int]) -> None:
        """Records partitions that are no longer assigned: an unfinished rereading must be repeated another time."""
        for partition in partitions:
            self._ends.pop(partition, None)
            self._whole.pop(partition, None)

    # While records are read

    @property
    def again(self) -> Mapping[int, int]:
        """Partitions that are being reread, each with the offset from which it was never read."""
        return {partition: reading.known for partition, reading in self._whole.items() if reading.known is not None}

    def behind(self, next_offsets: Mapping[int, int]) -> set[int]:
        """Returns the partitions not yet read to the end that they had when they were assigned."""
        return {partition for partition, offset in next_offsets.items() if offset < self._ends.get(partition, 0)}

    def records_read(self, records: Sequence[Record]) -> None:
        """Records whose records were read, for partitions that are being reread."""
        again = self.again
        if not again:
            return
        people: dict[int, set[tuple[str, str]]] = {}
        for record in records:
            ids = whose(record) if record.partition in again else None
            if ids is not None:
                people.setdefault(record.partition, set()).add(ids)
        for partition, keys in people.items():
            reread_customers.note(self._db, partition, sorted(keys))

    def staged_to(self, partition: int, next_offset: int, *, at_end: bool) -> None:
        """Records how far a partition was read and staged; deletes missing customers once it was reread.

        Args:
            next_offset: the offset to read next.

        Raises:
            KafkaError: its bounds cannot be queried.
        """
        reading = self._whole.get(partition)
        if reading is None or reading.known is None:
            self._arrived(partition, next_offset, at_end=at_end)
        if reading is None or (low := self._low_once_read(partition, reading, next_offset)) is None:
            return
        if reading.known is not None:
            self._delete_missing(partition, reading.read, low)
        else:
            with self._db.transaction():
                self._note_whole(partition, reading.read, self._why_absence_proves_nothing(partition, low))
            del self._whole[partition]

    def _low_once_read(self, partition: int, reading: _WholeReading, next_offset: int) -> int | None:
        # Returns where the log begins, once the partition was read completely.
        reading.read = max(reading.read, next_offset)
        if reading.read < reading.goal:
            return None
        low, high = self._bounds(partition)
        if reading is not self._whole.get(partition):
            return None  # it was revoked while its broker was queried
        if not reading.last:
            # Records compacted before they were reached have newer ones, which may come after the first goal.
            reading.goal, reading.last = high, True
        return low if reading.read >= reading.goal else None

    def _why_absence_proves_nothing(self, partition: int, low: int) -> str | None:
        if self.compaction is None:
            return "its cleanup.policy is not known"
        misnamed = counts.in_partition(self._db, self._settings.topic, partition, "key_disagrees")
        return why_absence_proves_nothing(self.compaction, low, misnamed)

    def _note_whole(self, partition: int, next_offset: int, reason: str | None) -> None:
        topic = self._settings.topic
        first_reading.note(self._db, topic, self._topic_id, partition, "read", next_offset, reason)

    def _arrived(self, partition: int, next_offset: int, *, at_end: bool) -> None:
        if partition in self._ends and (at_end or next_offset >= self._ends[partition]):
            del self._ends[partition]
            if at_end:  # though no batch recorded it: there is a transaction marker
                self._note_end([partition], as_text(self._clock()))

    def _delete_missing(self, partition: int, next_offset: int, low: int) -> None:
        assert self.compaction is not None, "without it nothing is read again"
        topic, at = self._settings.topic, as_text(self._clock())
        reason = self._why_absence_proves_nothing(partition, low)
        with self._db.transaction():
            self._note_whole(partition, next_offset, reason)
            gone = 0
            if reason is None:
                gone = reread_customers.delete_others(self._db, topic, self._topic_id, partition, next_offset - 1, at)
            offsets.move_on(self._db, topic, self._topic_id, partition, next_offset, at)
        reread_customers.forget(self._db, partition)
        del self._whole[partition]
        self._ownership.reread(partition)
        if reason is None:
            message = "partition %d was read again. Missing from it, and therefore deleted: %s"
            log.warning(message, partition, counted(gone, "customer"), extra={"partition": partition, "count": gone})
        else:
            log.warning(
                "partition %d was read again. Deletions may have been missed, because %s. Publish those again as "
                ".deleted",
                partition,
                reason,
                extra={"partition": partition, "reason": reason},
            )

    # While nothing is read

    def was_frozen(self) -> bool:
        """Returns whether this process was frozen for longer than tombstones are kept, since the last call."""
        before, self._looked_at = self._looked_at, self._clock()
        if self.compaction is None or not self._ownership.owned():
            return False
        return (self._looked_at - before).total_seconds() > max(self.compaction.keeps_seconds, self._session_seconds)

    def watch(self) -> None:
        """Records now and then which partitions have nothing unread, as the broker reports. Never blocks."""
        if self._asked is None:
            self._ask_ends()
            return
        asked_at, answers = self._asked
        if not all(answer.done() for answer in answers.values()):
            return
        self._asked = None
        read = self._ownership.at_end()
        idle = [
            position.partition
            for position, answer in answers.items()
            if answer.exception() is None and answer.result().offset <= read.get(position.partition, -1)
        ]
        self._note_end(idle, asked_at)

    def _ask_ends(self) -> None:
        if self._admin is None or self.compaction is None:
            return
        if time.monotonic() - self._asked_at < min(REFRESH_SECONDS, self.compaction.keeps_seconds / 2):
            return
        self._asked_at = time.monotonic()
        if at_end := self._ownership.at_end():
            self._asked = as_text(self._clock()), self._admin.ask_ends(self._settings.topic, at_end)

    def _note_end(self, partitions: Sequence[int], at: str) -> None:
        if partitions:
            with self._db.transaction():
                offsets.still_at_end(self._db, self._settings.topic, self._topic_id, partitions, at)
