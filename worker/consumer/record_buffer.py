"""Records that were taken from librdkafka, until they are staged together and the rest of the worker knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from worker.clock import Clock, as_text
from worker.consumer.assignment import Assignment, Reading
from worker.consumer.batch import Batch
from worker.consumer.decode import Record
from worker.consumer.owned_partitions import OwnedPartitions
from worker.consumer.report import ConsumerReport
from worker.consumer.retention_gap import RetentionGap


@dataclass(slots=True)
class RecordBuffer:
    """One batch after the other. Used only by the poll thread.

    Attributes:
        batch: what was taken and not staged yet.
        turn_is_over: whether a partition was read to its end since the batch began.
    """

    new_batch: Callable[[], Batch]
    assignment: Assignment
    owned_partitions: OwnedPartitions
    retention_gap: RetentionGap
    report: ConsumerReport
    clock: Clock
    batch: Batch = field(init=False)
    turn_is_over: bool = field(init=False)
    _begins: dict[Reading, int] = field(init=False)
    _ended: list[tuple[Reading, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.drop()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to stage and no end to tell of."""
        return not self.batch.size and not self._ended

    def drop(self) -> None:
        """Begins a new batch. What the former one has is read again, unless it was staged."""
        self.batch, self._begins, self.turn_is_over = self.new_batch(), {}, False

    def take(self, records: Sequence[Record], ended: Mapping[int, int]) -> None:
        """Takes records of current readings.

        Args:
            ended: the partitions whose end was found after them, each with its offset.

        Raises:
            DatabaseError: their customers cannot be looked up.
        """
        readings = self.assignment.current()
        unread = [reading for reading in readings.values() if reading.unread]
        for partition, end in {record.partition: record.offset + 1 for record in records}.items():
            reading = readings[partition]
            self._begins.setdefault(reading, reading.position)
            reading.position = end
        for partition in ended.keys() & readings.keys():
            readings[partition].found_end = True
            self._ended.append((readings[partition], ended[partition]))
        self.turn_is_over = self.turn_is_over or not all(reading.unread for reading in unread)
        self.retention_gap.records_read(records, readings)
        self.batch.add(records)

    def stage(self) -> int:
        """Stages what was taken, and returns how many records that were. May be called within a rebalance.

        Raises:
            DatabaseError: nothing was staged.
        """
        batch, begins = self.batch, self._begins
        self.drop()
        if batch.size:
            for reading, begin in begins.items():
                self.assignment.check(reading, begin)
            next_offsets = {reading: batch.next_offsets[reading.partition] for reading in begins}
            behind = {r.partition for r, offset in next_offsets.items() if not r.caught_up and offset < r.end}
            again = {r.partition: r.reread_from for r in begins if r.reread_from is not None}
            batch.write(as_text(self.clock()), behind, again)
            for reading, next_offset in next_offsets.items():
                reading.next_offset = max(next_offset, reading.next_offset)
                reading.uncommitted = next_offset
            self.report.staged(batch.results, batch.reason)
        return batch.size

    def tell(self) -> None:
        """Tells the rest of the worker what was staged. Not to be called within a rebalance: it may query brokers.

        Raises:
            KafkaError: the bounds of a partition cannot be queried.
        """
        ended, self._ended = self._ended, []
        for reading in self.assignment.current().values():
            if reading.reported != reading.next_offset:
                reading.reported = reading.next_offset
                self._read_to(reading, reading.next_offset, at_end=False)
        for reading, next_offset in ended:
            self._read_to(reading, next_offset, at_end=True)

    def _read_to(self, reading: Reading, next_offset: int, *, at_end: bool) -> None:
        # First the consequences, then a flush may start.
        if self.assignment.holds(reading):
            self.retention_gap.staged_to(reading, next_offset, at_end=at_end)
        if self.assignment.holds(reading):
            self.owned_partitions.read_to(reading.partition, next_offset, at_end=at_end)
