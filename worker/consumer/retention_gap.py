"""Partitions that nobody read for longer than they keep tombstones: rereads them, and deletes missing customers.

A tombstone disappears some time after compaction. A reader that missed it finds the customer in no record at all, so
only rereading the whole partition shows it: a customer staged from it that is no longer in it was deleted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import TopicPartition

from worker.clock import Clock, as_text
from worker.config import Kafka
from worker.consumer.assignment import Assignment, Reading, WholeReading
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


class RetentionGap:
    """Finds out what was missed, for partitions that are read from their beginning. Used only by the poll thread."""

    def __init__(
        self,
        settings: Kafka,
        db: Database,
        assignment: Assignment,
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
        self._db, self._topic, self._assignment, self._ownership = db, assignment.topic, assignment, owned_partitions
        self._clock, self._admin, self._bounds = clock, admin, bounds
        self._session_seconds = session_seconds(settings)
        self.compaction: Compaction | None = None
        """The topic's compaction settings; None if unknown."""
        self._looked_at = clock()
        self._asked_at = time.monotonic()
        self._asked: tuple[str, dict[TopicPartition, Future[Any]]] | None = None

    # At an assignment

    def ask(self) -> Compaction | None:
        """Returns the topic's compaction settings; None if the broker does not report them.

        Raises:
            KafkaError: no broker answers.
        """
        self.compaction = None if self._admin is None else self._admin.compaction(self._topic.name)
        return self.compaction

    def begin(self, reading: Reading, known: int | None) -> WholeReading | None:
        """Returns how a partition is read from its beginning; None if it is not.

        Args:
            reading: whose start was found.
            known: for one that is reread, the offset from which it was never read; else None.

        Raises:
            KafkaError: its bounds cannot be queried.
        """
        if known is not None:
            reread_customers.begin(self._db, reading.partition)
        elif reading.caught_up or not self._is_first_reading(reading.partition):
            return None
        return WholeReading(known, reading.end)

    def _is_first_reading(self, partition: int) -> bool:
        known = first_reading.state_of(self._db, *self._topic.log, partition)
        if known is None:
            # For a database of an earlier release, this starts with what it reads from now on.
            begins = offsets.next_of(self._db, *self._topic.log, partition) == self._bounds(partition)[0]
            known = "begun" if begins else "judged"
            with self._db.transaction():
                first_reading.note(self._db, *self._topic.log, partition, known)
        return known == "begun"

    # While records are read

    def records_read(self, records: Sequence[Record], readings: Mapping[int, Reading]) -> None:
        """Records whose records were read, for partitions that are being reread."""
        reread = {partition for partition, reading in readings.items() if reading.reread_from is not None}
        if not reread:
            return
        people: dict[int, set[tuple[str, str]]] = {}
        for record in records:
            ids = whose(record) if record.partition in reread else None
            if ids is not None:
                people.setdefault(record.partition, set()).add(ids)
        for partition, keys in people.items():
            reread_customers.note(self._db, partition, sorted(keys))

    def staged_to(self, reading: Reading, next_offset: int, *, at_end: bool) -> None:
        """Records how far a partition was read and staged; deletes missing customers once it was reread.

        Args:
            next_offset: the offset to read next.

        Raises:
            KafkaError: its bounds cannot be queried.
        """
        whole, of = reading.whole, (*self._topic.log, reading.partition)
        if reading.reread_from is None and not reading.caught_up and (at_end or next_offset >= reading.end):
            reading.caught_up = True
            if at_end:  # though no batch recorded it: there is a transaction marker
                self._note_end([reading.partition], as_text(self._clock()))
        if whole is None or (low := self._low_once_read(reading, whole, next_offset)) is None:
            return
        at, gone = as_text(self._clock()), 0
        reason = self._why_absence_proves_nothing(reading.partition, low)
        with self._db.transaction():
            first_reading.note(self._db, *of, "read", next_offset, reason)
            if whole.known is not None:
                if reason is None:
                    gone = reread_customers.delete_others(self._db, *of, next_offset - 1, at)
                offsets.move_on(self._db, *of, next_offset, at)
        reading.whole = None
        if whole.known is not None:
            reading.caught_up = True
            reread_customers.forget(self._db, reading.partition)
            self._ownership.reread(reading.partition)
            _log_reread(reading.partition, gone, reason)

    def _low_once_read(self, reading: Reading, whole: WholeReading, next_offset: int) -> int | None:
        # Returns where the log begins, once the partition was read completely.
        if next_offset < whole.goal:
            return None
        low, high = self._bounds(reading.partition)
        if not self._assignment.holds(reading):
            return None  # it was revoked while its broker was queried
        if not whole.last:
            # Records compacted before they were reached have newer ones, which may come after the first goal.
            whole.goal, whole.last = high, True
        return low if next_offset >= whole.goal else None

    def _why_absence_proves_nothing(self, partition: int, low: int) -> str | None:
        if self.compaction is None:
            return "its cleanup.policy is not known"
        misnamed = counts.in_partition(self._db, self._topic.name, partition, "key_disagrees")
        return why_absence_proves_nothing(self.compaction, low, misnamed)

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
            self._asked = as_text(self._clock()), self._admin.ask_ends(self._topic.name, at_end)

    def _note_end(self, partitions: Sequence[int], at: str) -> None:
        if partitions:
            with self._db.transaction():
                offsets.still_at_end(self._db, *self._topic.log, partitions, at)


def _log_reread(partition: int, gone: int, reason: str | None) -> None:
    if reason is None:
        message = "partition %d was read again. Missing from it, and therefore deleted: %s"
        log.warning(message, partition, counted(gone, "customer"), extra={"partition": partition, "count": gone})
    else:
        message = "partition %d was read again. Deletions may have been missed, because %s. Publish those again as "
        message += ".deleted"
        log.warning(message, partition, reason, extra={"partition": partition, "reason": reason})
