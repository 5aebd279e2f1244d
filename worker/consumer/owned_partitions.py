"""The partitions that this worker owns, and how far each is read. The poll thread writes it; flushes query it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping

from worker.consumer.group_session import SESSION_SECONDS, GroupSession, MemberState
from worker.consumer.owned_partition import Lag, OwnedPartition

NOTHING_SECONDS = 10.0
"""How long a new member waits for partitions: two heartbeats of the other members, and time to release them."""

Held = frozenset[tuple[int, int]]
"""Partitions, each with the number of its assignment."""


class OwnedPartitions:
    """The partitions that the consumer group assigned to this worker. Thread-safe: a lock guards them and the state.

    Attributes:
        session: has the signs of life, without the lock.
        state: the worker's state in the group.
        has_settings: whether the settings were read, so that they can be used, even if the ledger was not.
        changelog_faults: why ledger or settings cannot be read, and what to do, by the thread that reads them.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        session_seconds: float = SESSION_SECONDS,
        *,
        follows: bool = False,
    ) -> None:
        """Starts without partitions.

        Args:
            clock: monotonic, in seconds.
            session_seconds: see SESSION_SECONDS.
            follows: whether ledger and settings must be read from Kafka before a flush.
        """
        self.session = GroupSession(clock, session_seconds)
        self.changelog_faults: dict[str, str] = {}
        self._clock, self._follows, self.has_settings = clock, follows, not follows
        self._lock = threading.Condition()
        self._partitions: dict[int, OwnedPartition] = {}
        self.state, self._assigned_at, self._last_number = MemberState.JOINING, 0.0, 0

    # Called by the poll thread

    def fenced(self) -> None:
        """Records that the group fenced this worker: from now on, no call may start."""
        with self._lock:
            self.state = MemberState.FENCED
            self._partitions = {}
            self._lock.notify_all()

    def assigned(
        self,
        spans: Mapping[int, tuple[int, int]],
        waits: Mapping[int, float] | None = None,
        again: Collection[int] = (),
    ) -> None:
        """Records newly assigned partitions; others keep their state.

        Args:
            spans: for each, the offset where reading starts, and the end of its log now.
            waits: seconds that calls of a former owner may still take.
            again: those that are reread, and may be delivered only after that.
        """
        now = self._clock()
        with self._lock:
            if self.state is MemberState.FENCED:
                return
            self.state, self._assigned_at = MemberState.ASSIGNED, now
            self.session.answered()
            if spans:
                self.session.missing_topic = None
            self._last_number += 1
            for partition, (start, end) in spans.items():
                self._partitions[partition] = OwnedPartition(
                    self._last_number,
                    start,
                    end,
                    free_at=now + (waits or {}).get(partition, 0.0),
                    rereading=partition in again,
                    ledger_read=not self._follows,
                )
            self._lock.notify_all()

    def removed(self, partitions: Collection[int]) -> None:
        """Records revoked or lost partitions: from now on, no call may start for them."""
        with self._lock:
            if self.state is not MemberState.FENCED:
                self.state = MemberState.REVOKED
            for partition in partitions:
                self._partitions.pop(partition, None)

    def read_to(self, partition: int, next_offset: int, *, at_end: bool) -> None:
        """Records how far a partition was read and staged.

        Args:
            next_offset: the offset to read next.
        """
        with self._lock:
            if partition in self._partitions:
                self._partitions[partition].read_to(next_offset, at_end=at_end)
                self._lock.notify_all()

    def reread(self, partition: int) -> None:
        """Records that a partition was reread, so that customers missing from it are known."""
        with self._lock:
            if partition in self._partitions:
                self._partitions[partition].rereading = False
                self._lock.notify_all()

    def read_times(self, times: Mapping[int, float]) -> None:
        """Records the time of the last record read from each partition, in seconds since 1970."""
        with self._lock:
            for partition in times.keys() & self._partitions.keys():
                known = self._partitions[partition]
                known.up_to_date_at = max(known.up_to_date_at or 0.0, times[partition])

    def ends_at(self, ends: Mapping[int, int], at: float) -> None:
        """Records where the logs of partitions ended at a time, in seconds since 1970."""
        with self._lock:
            for partition in ends.keys() & self._partitions.keys():
                known = self._partitions[partition]
                known.log_end = max(known.end, ends[partition])
                if known.next_offset >= known.log_end:
                    known.up_to_date_at = at

    # Called by the threads that read ledger and settings

    def settings_read(self) -> None:
        """Records that the settings were read."""
        with self._lock:
            self.has_settings = True
            self._lock.notify_all()

    def wait_for_ledger(self, timeout: float) -> dict[int, int]:
        """Waits for partitions whose ledger must be read; returns them, each with the number of its assignment."""
        with self._lock:
            self._lock.wait_for(self._awaited, timeout)
            return self._awaited()

    def awaits_ledger(self, partition: int, assignment: int) -> bool:
        """Returns whether a partition's ledger must still be read under this assignment."""
        with self._lock:
            return self._awaited().get(partition) == assignment

    def ledger_read(self, partition: int, assignment: int) -> None:
        """Records that a partition's ledger was read; ignored if the partition was assigned again since."""
        with self._lock:
            if self._awaited().get(partition) == assignment:
                self._partitions[partition].ledger_read = True
                self._lock.notify_all()

    def ledger_lost(self, partition: int, fenced: bool) -> None:
        """Records that a partition's ledger can no longer be written: it must be taken over and read again.

        No call that depends on what was read before may start.

        Args:
            fenced: whether another writer took it over. The group may then have assigned the partition to another
            worker, which is certain one session later. Until then, this worker does not take it back.
        """
        with self._lock:
            known = self._partitions.get(partition)
            if known is not None:
                self._last_number += 1
                known.assignment, known.ledger_read = self._last_number, False
                if fenced:
                    known.free_at = max(known.free_at, self._clock() + self.session.seconds)

    def _awaited(self) -> dict[int, int]:
        # Not before the former owner's calls have ended, because it may still write their results. Nor in doubt: if
        # another worker has the partition now, that would end its flush.
        if self.session.doubted_at is not None:
            return {}
        now = self._clock()
        waiting = ((number, known) for number, known in self._partitions.items() if not known.ledger_read)
        return {number: known.assignment for number, known in waiting if now >= known.free_at}

    # Queried by any thread

    def owned(self) -> frozenset[int]:
        """Returns the partitions assigned to this worker."""
        with self._lock:
            return frozenset(self._partitions)

    def ready(self) -> frozenset[int]:
        """Returns the owned partitions that may be delivered.

        These are read to where they ended when they were assigned, their ledger and the settings are read, and no call
        of a former owner can be in flight.
        """
        with self._lock:
            return frozenset(number for number, known in self._partitions.items() if self._is_ready(known))

    def _is_ready(self, known: OwnedPartition) -> bool:
        return self.has_settings and known.is_ready(self._clock())

    def wait_until_ready(self, timeout: float) -> bool:
        """Waits until the group has assigned partitions and all of them may be delivered.

        Returns:
            Whether all of them may be delivered.
        """
        with self._lock:
            return self._lock.wait_for(self._all_ready, timeout)

    def _all_ready(self) -> bool:
        if self.state is not MemberState.ASSIGNED:
            return False
        if not self._partitions:
            # A new member gets nothing at first if other members must release partitions before.
            waited = self._clock() - self._assigned_at >= NOTHING_SECONDS
            return waited and self.session.others_have_all is not False
        return all(self._is_ready(known) for known in self._partitions.values())

    def held(self, partitions: Collection[int]) -> Held:
        """Returns those of these partitions that this worker owns, each with the number of its assignment."""
        with self._lock:
            return frozenset(
                (partition, self._partitions[partition].assignment)
                for partition in partitions
                if partition in self._partitions
            )

    def may_call(self, held: Held) -> bool:
        """Returns whether a call that depends on these assignments may start.

        False if a partition was revoked and assigned again: another worker may have had it in between.
        """
        return self.session.is_certain() and held == self.held([partition for partition, _ in held])

    def behind(self) -> bool:
        """Returns whether any partition is not yet read to where it ended when it was assigned."""
        with self._lock:
            return not all(known.caught_up for known in self._partitions.values())

    def at_end(self) -> dict[int, int]:
        """Returns the partitions read to their end, each with its next offset; without those that are being reread."""
        with self._lock:
            parts = self._partitions.items()
            return {number: known.next_offset for number, known in parts if known.caught_up and not known.rereading}

    def backlog(self) -> tuple[int, int]:
        """Returns how many of the records that were unread at assignment are read by now, and how many there were."""
        with self._lock:
            parts = self._partitions.values()
            total = sum(known.end - known.start for known in parts)
            return sum(min(known.next_offset, known.end) - known.start for known in parts), total

    def lags(self, at: float) -> dict[int, Lag]:
        """Returns how far each partition is behind, as far as known, at a time in seconds since 1970."""
        with self._lock:
            return {number: known.lag(at) for number, known in self._partitions.items()}

    def unread_ledgers(self) -> list[int]:
        """Returns the partitions whose ledger is not read yet, in order."""
        with self._lock:
            return sorted(number for number, known in self._partitions.items() if not known.ledger_read)

    def waiting_seconds(self) -> float:
        """Returns the seconds that calls of former owners may still take."""
        with self._lock:
            return max((known.free_at for known in self._partitions.values()), default=0.0) - self._clock()

    def seconds_since_assignment(self) -> float:
        """Returns the seconds since partitions were last assigned."""
        with self._lock:
            return self._clock() - self._assigned_at
