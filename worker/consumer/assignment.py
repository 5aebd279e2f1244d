"""The consumer's state: which partitions are read, under which assignment, and how far. Does no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


class AssignmentOver(RuntimeError):
    """Something was read under an assignment that is over. This is a bug: it should have been dropped before."""


@dataclass(slots=True)
class _Reading:
    """How far a partition is read.

    Attributes:
        number: of its assignment; None while its reading is interrupted.
        taken: the offset after the last record taken from the library.
        next_offset: the first offset that is not staged yet.
    """

    number: int | None
    taken: int
    next_offset: int


class Assignment:
    """The partitions that are read. Each has the number of its assignment, which is never reused.

    The next_offset of a partition advances only past records that were taken under its current number and follow those
    staged before, so that no dropped record is skipped. A partition whose reading is interrupted has no number: what is
    read from it is ignored until reading resumes at its next_offset. Used only by the poll thread.
    """

    def __init__(self) -> None:
        self._last_number = 0
        self._readings: dict[int, _Reading] = {}

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions assigned to this worker."""
        return frozenset(self._readings)

    def numbers(self) -> dict[int, int]:
        """Returns each partition with the number of its assignment, under which it is read from now on."""
        return {
            partition: reading.number for partition, reading in self._readings.items() if reading.number is not None
        }

    def holds(self, partition: int, number: int | None) -> bool:
        """Returns whether a partition is still read under this number."""
        reading = self._readings.get(partition)
        return reading is not None and number is not None and reading.number == number

    def assign(self, starts: Mapping[int, int]) -> None:
        """Adds newly assigned partitions."""
        self._last_number += 1
        for partition, start in starts.items():
            self._readings[partition] = _Reading(self._last_number, start, start)

    def drop(self, partitions: Iterable[int]) -> None:
        """Removes revoked or lost partitions; the others keep their numbers."""
        for partition in partitions:
            self._readings.pop(partition, None)

    def interrupt(self, partitions: Iterable[int]) -> None:
        """Ignores what is read from partitions from now on, because some of it was dropped before it was staged."""
        for partition in partitions:
            if partition in self._readings:
                self._readings[partition].number = None

    def interrupted(self) -> frozenset[int]:
        """Returns the partitions whose reading is interrupted."""
        return frozenset(partition for partition, reading in self._readings.items() if reading.number is None)

    def resume(self, partitions: Iterable[int]) -> dict[int, int]:
        """Accepts what is read from partitions again, under a new number.

        Returns:
            The offsets where reading of the assigned ones continues.
        """
        self._last_number += 1
        starts = {}
        for partition in partitions:
            if partition in self._readings:
                reading = self._readings[partition]
                reading.number, reading.taken = self._last_number, reading.next_offset
                starts[partition] = reading.next_offset
        return starts

    def take(self, partition: int, number: int | None, end: int) -> int:
        """Records that records of a partition were taken from the library.

        Args:
            end: the offset after the last of them.

        Returns:
            The offset after the records taken before.

        Raises:
            AssignmentOver: that assignment is over.
        """
        reading = self._of(partition, number)
        begin, reading.taken = reading.taken, end
        return begin

    def may_move(self, partition: int, number: int | None, begin: int) -> None:
        """Checks that records of a partition may be staged and its next_offset advanced past them.

        Raises:
            AssignmentOver: that assignment is over, or records before them were dropped.
        """
        staged = self._of(partition, number).next_offset
        if begin > staged:
            raise AssignmentOver(f"records of partition {partition} from offset {staged} to {begin} were dropped")

    def move(self, partition: int, number: int | None, next_offset: int) -> None:
        """Records that a partition is staged up to an offset.

        Raises:
            AssignmentOver: the assignment under which that was read is over.
        """
        reading = self._of(partition, number)
        reading.next_offset = max(next_offset, reading.next_offset)

    def _of(self, partition: int, number: int | None) -> _Reading:
        if not self.holds(partition, number):
            raise AssignmentOver(f"partition {partition} is not read under assignment {number} any more")
        return self._readings[partition]
