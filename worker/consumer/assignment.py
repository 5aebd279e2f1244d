"""What is read: the topic, and one record for each assigned partition. Used only by the poll thread. Does no I/O."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from enum import Enum


class ReadingState(Enum):
    """Whether records of a partition are taken."""

    STARTING = "starting"
    """Where to start is being looked up; nothing is read yet."""
    READING = "reading"
    INTERRUPTED = "interrupted"
    """What was read was dropped before it was staged. What comes is dropped too, until reading continues."""


class AssignmentOver(RuntimeError):
    """Something was read under an assignment that is over. This is a bug: it should have been dropped before."""


@dataclass(slots=True)
class EventsTopic:
    """The topic of customer events. Only the poll thread changes it.

    Attributes:
        partitions: how many it has.
        id: Kafka's id of it; "" if the broker does not report it.
        changed: called by the poll thread when the topic was recreated, or has another number of partitions now.
    """

    name: str
    partitions: int
    id: str = ""
    changed: Callable[[], None] = lambda: None

    @property
    def log(self) -> tuple[str, str]:
        """Its name and id, as in the tables of the database."""
        return self.name, self.id


@dataclass(slots=True)
class WholeReading:
    """A partition that is read from its beginning to its end.

    Attributes:
        known: for one that is reread, the offset from which it was never read; None for the first time.
        goal: the offset to reach.
        last: whether reaching that is enough.
    """

    known: int | None
    goal: int
    last: bool = False


@dataclass(slots=True, eq=False)
class Reading:
    """How far a partition is read, under one assignment and without interruption.

    Records count only as long as the reading that they were taken by is the current one of their partition.

    Attributes:
        end: the end of the log when the partition was assigned.
        position: the offset after the last record that was taken from librdkafka.
        next_offset: the first offset that is not staged yet.
        reported: the next offset of which the rest of the worker knows.
        found_end: whether librdkafka has found nothing after the records that were taken.
        caught_up: whether it was staged to its end, so that its age is known.
        whole: its reading from the beginning to the end; None if that is not needed, or done.
        claim_at: when the calls of a former owner are over, by the clock of the session; None once this worker has
            committed its name.
        uncommitted: the offset to commit; None if nothing has changed since the last commit.
    """

    partition: int
    state: ReadingState = ReadingState.STARTING
    end: int = 0
    position: int = 0
    next_offset: int = 0
    reported: int = 0
    found_end: bool = False
    caught_up: bool = False
    whole: WholeReading | None = None
    claim_at: float | None = None
    uncommitted: int | None = None

    @property
    def unread(self) -> int:
        """Offsets up to its end that were not taken yet."""
        return 0 if self.found_end else max(self.end - self.position, 0)

    @property
    def reread_from(self) -> int | None:
        """The offset from which it was never read, if it is being reread; else None."""
        return None if self.whole is None else self.whole.known

    def claim(self, now: float) -> None:
        """Lets its next offset be committed again, once the calls of a former owner are over."""
        if self.claim_at is None or now >= self.claim_at:
            self.claim_at = None
            if self.uncommitted is None:
                self.uncommitted = self.next_offset if self.reread_from is None else self.reread_from

    def find_start(self, start: int, end: int) -> None:
        """Records where reading is to start, and where the log ends now."""
        self.position = self.next_offset = self.reported = start
        self.end, self.caught_up = end, start >= end

    def start(self, claim_at: float) -> None:
        """Begins to take records."""
        self.state, self.claim_at = ReadingState.READING, claim_at


class Assignment:
    """The partitions of a topic that are read. Each has one current reading.

    The next_offset of a partition advances only past records that were taken by its current reading and follow those
    staged before, so that no dropped record is skipped.
    """

    def __init__(self, topic: EventsTopic) -> None:
        self.topic = topic
        self._readings: dict[int, Reading] = {}

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions that were assigned to this worker and started."""
        return frozenset(reading.partition for reading in self.readings())

    def readings(self) -> list[Reading]:
        """Returns those that were started."""
        return [reading for reading in self._readings.values() if reading.state is not ReadingState.STARTING]

    def current(self) -> dict[int, Reading]:
        """Returns those of which records count from now on, by partition."""
        return {
            partition: reading for partition, reading in self._readings.items() if reading.state is ReadingState.READING
        }

    def unread(self) -> dict[int, int]:
        """Returns how many offsets of each partition are unread."""
        return {reading.partition: reading.unread for reading in self.readings()}

    def holds(self, reading: Reading | None) -> bool:
        """Returns whether a reading is the current one of its partition."""
        return reading is not None and self._readings.get(reading.partition) is reading

    def begin(self, partitions: Iterable[int]) -> list[Reading]:
        """Returns a new reading for each partition, which is still to be started."""
        readings = [Reading(partition) for partition in partitions]
        self._readings |= {reading.partition: reading for reading in readings}
        return readings

    def drop(self, partitions: Collection[int]) -> None:
        """Removes revoked or lost partitions; the others keep their readings."""
        for partition in partitions:
            self._readings.pop(partition, None)

    def interrupt(self, partitions: Iterable[int]) -> None:
        """Ends the current readings of partitions, because some of what was read was dropped before it was staged."""
        for partition in self.current().keys() & set(partitions):
            self._readings[partition] = replace(self._readings[partition], state=ReadingState.INTERRUPTED)

    def resume(self) -> dict[int, int]:
        """Continues interrupted readings; returns their partitions, each with the offset to continue from."""
        starts = {}
        for partition, reading in self._readings.items():
            if reading.state is ReadingState.INTERRUPTED:
                reading.state, reading.position = ReadingState.READING, reading.next_offset
                starts[partition] = reading.next_offset
        return starts

    def check(self, reading: Reading, begin: int) -> None:
        """Checks that records may be staged and next_offset advanced past them.

        Args:
            begin: the offset after the last record that was taken before them.

        Raises:
            AssignmentOver: that reading is over, or records before them were dropped.
        """
        if not self.holds(reading):
            raise AssignmentOver(f"partition {reading.partition} is not read under that assignment any more")
        if begin > reading.next_offset:
            dropped = f"from offset {reading.next_offset} to {begin}"
            raise AssignmentOver(f"records of partition {reading.partition} {dropped} were dropped")
