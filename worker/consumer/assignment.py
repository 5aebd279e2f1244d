"""Which partitions are read, under which assignment, and how far: the consumer's state. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """What this worker is to its consumer group."""

    IDLE = "idle"
    """The group has not answered yet."""
    ASSIGNED = "assigned"
    """The group has answered; it may have given no partition."""
    REVOKED = "revoked"
    """The group asked for all partitions back; the next assignment is awaited."""
    LOST = "lost"
    """The group took all partitions without asking: another worker may have them already."""
    FENCED = "fenced"
    """The group no longer accepts this worker. Nothing follows this state."""


class AssignmentOver(RuntimeError):
    """Something was read under an assignment that is over. That is a defect: it should have been dropped before."""


@dataclass(slots=True)
class _Reading:
    """How far a partition is read.

    Attributes:
        number: of its assignment; None while its reading is interrupted.
        taken: the offset after the last record that was taken from the library.
        next_offset: the offset from which on nothing is staged yet.
    """

    number: int | None
    taken: int
    next_offset: int


class Assignment:
    """The partitions that are read. Each has the number of its assignment; no two assignments share one.

    next_offset of a partition is moved only by records that were taken under its present number and that follow those
    staged before, so no record that was dropped can be passed. A partition whose reading is interrupted has no number:
    what is read of it counts for nothing until reading is resumed at its next_offset. Belongs to the poll thread.
    """

    def __init__(self) -> None:
        self.state = State.IDLE
        self._last_number = 0
        self._readings: dict[int, _Reading] = {}

    def __contains__(self, partition: int) -> bool:
        return partition in self._readings

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions that are this worker's."""
        return frozenset(self._readings)

    def numbers(self) -> dict[int, int]:
        """Returns each partition with the number of its assignment: what is read from now on belongs to these."""
        return {partition: one.number for partition, one in self._readings.items() if one.number is not None}

    def holds(self, partition: int, number: int | None) -> bool:
        """Returns whether a partition is still read under that number."""
        one = self._readings.get(partition)
        return one is not None and number is not None and one.number == number

    def next_offset(self, partition: int) -> int:
        """Returns the offset from which on nothing of a partition is staged yet.

        Raises:
            AssignmentOver: it is not assigned.
        """
        if partition not in self._readings:
            raise AssignmentOver(f"partition {partition} is not assigned")
        return self._readings[partition].next_offset

    def assign(self, starts: Mapping[int, int]) -> None:
        """Takes partitions that the group gives, in addition to those that it gave before.

        Raises:
            AssignmentOver: this worker was fenced.
        """
        if self.state is State.FENCED:
            raise AssignmentOver("the group has fenced this worker")
        self.state = State.ASSIGNED
        self._last_number += 1
        for partition, start in starts.items():
            self._readings[partition] = _Reading(self._last_number, start, start)

    def revoke(self, partitions: Iterable[int]) -> None:
        """Gives back partitions for which the group asked; the others keep their numbers."""
        self._drop(partitions, State.REVOKED)

    def lose(self, partitions: Iterable[int]) -> None:
        """Drops partitions that the group took; the others keep their numbers."""
        self._drop(partitions, State.LOST)

    def fence(self) -> None:
        """Drops everything, for good."""
        self._readings = {}
        self.state = State.FENCED

    def _drop(self, partitions: Iterable[int], state: State) -> None:
        for partition in partitions:
            self._readings.pop(partition, None)
        if not self._readings and self.state is not State.FENCED:
            self.state = state

    def interrupt(self, partitions: Iterable[int]) -> None:
        """Stops counting what is read of partitions: some of it was dropped before it was staged."""
        for partition in partitions:
            if partition in self._readings:
                self._readings[partition].number = None

    def interrupted(self) -> frozenset[int]:
        """Returns the partitions whose reading is interrupted."""
        return frozenset(partition for partition, one in self._readings.items() if one.number is None)

    def resume(self, partitions: Iterable[int]) -> dict[int, int]:
        """Counts what is read of partitions again, under a new number.

        Returns:
            where reading each goes on, those that are assigned.
        """
        self._last_number += 1
        starts = {}
        for partition in partitions:
            if partition in self._readings:
                one = self._readings[partition]
                one.number, one.taken = self._last_number, one.next_offset
                starts[partition] = one.next_offset
        return starts

    def take(self, partition: int, number: int | None, end: int) -> int:
        """Notes that records of a partition were taken from the library.

        Args:
            end: the offset after the last of them.

        Returns:
            where they begin: the offset after those that were taken before.

        Raises:
            AssignmentOver: that assignment is over.
        """
        one = self._of(partition, number)
        begin, one.taken = one.taken, end
        return begin

    def may_move(self, partition: int, number: int | None, begin: int) -> None:
        """Does nothing where records of a partition may be staged, and its next_offset be moved past them.

        Raises:
            AssignmentOver: that assignment is over, or records before them were dropped.
        """
        staged = self._of(partition, number).next_offset
        if begin > staged:
            raise AssignmentOver(f"records of partition {partition} from offset {staged} to {begin} were dropped")

    def move(self, partition: int, number: int | None, next_offset: int) -> None:
        """Notes that a partition is staged up to an offset.

        Raises:
            AssignmentOver: the assignment under which that was read is over.
        """
        one = self._of(partition, number)
        one.next_offset = max(next_offset, one.next_offset)

    def _of(self, partition: int, number: int | None) -> _Reading:
        if not self.holds(partition, number):
            raise AssignmentOver(f"partition {partition} is not read under assignment {number} any more")
        return self._readings[partition]
