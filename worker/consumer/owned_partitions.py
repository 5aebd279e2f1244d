"""Which partitions are this worker's, and how far each was read: the poll thread writes it, the flush asks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

SESSION_SECONDS = 45.0
"""Without a sign of life for so long the group gives the partitions to another worker: librdkafka's default."""
SILENT, IN_DOUBT = 2 / 3, 1 / 8
"""Parts of that: without a poll for the first no call is begun, nor for the second after the next poll. A process that
was frozen for so long finds out within that time whether it lost its partitions meanwhile."""

NOTHING_SECONDS = 10.0
"""How long a worker that was given no partition waits for some: two heartbeats of the others, and time to give back."""

Held = frozenset[tuple[int, int]]
"""Partitions, each with the number of the assignment that gave it."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the staging of a partition is behind its log.

    Attributes:
        records: offsets that are not staged yet; some may hold no record.
        seconds: how old the last record is that was read, where there are more; 0 at the end; None if none was read.
    """

    records: int
    seconds: float | None


@dataclass(slots=True)
class _Partition:
    start: int
    end: int
    next_offset: int
    assignment: int
    free_at: float
    caught_up: bool = False
    ledger_read: bool = False
    again: bool = False
    log_end: int = 0
    up_to_date_at: float | None = None


class OwnedPartitions:
    """What the consumer group gave this worker. Thread-safe.

    One lock guards the partitions and their states. When the consumer was polled, when Kafka was heard, and since when
    it is away are single values without a lock: the poll thread writes them, and any thread reads them.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        session_seconds: float = SESSION_SECONDS,
        *,
        follows: bool = False,
    ) -> None:
        """Begins without any partition.

        Args:
            clock: returns seconds that never go back.
            session_seconds: see SESSION_SECONDS.
            follows: whether ledger and settings are read from Kafka too, before any flush.
        """
        self._clock, self._session_seconds = clock, session_seconds
        self._follows, self._settings_read = follows, not follows
        self._assignments, self._in_doubt_until = 0, 0.0
        self._lock = threading.Condition()
        self._partitions: dict[int, _Partition] = {}
        self._assigned, self._assigned_at, self._fenced = False, 0.0, False
        self._polled_at: float | None = None
        self._heard_at = clock()
        self.away_since: float | None = None
        """Since when no broker can be reached, in seconds since 1970; None if one can."""

    # Called by the poll thread

    def polled(self) -> None:
        """Records that the consumer was polled."""
        now = self._clock()
        if self._polled_at is not None and now - self._polled_at >= self._session_seconds * SILENT:
            self._in_doubt_until = now + self._session_seconds * IN_DOUBT
        self._polled_at = now

    def heard(self) -> None:
        """Records that the group or a partition's broker answered this worker."""
        self._heard_at = self._clock()

    def fenced(self) -> None:
        """Records that the group will not have this worker any more: from now on no call is begun, whatever follows."""
        with self._lock:
            self._fenced = True
            self._assigned = False
            self._partitions = {}
            self._lock.notify_all()

    def given(
        self,
        spans: Mapping[int, tuple[int, int]],
        waits: Mapping[int, float] | None = None,
        again: Collection[int] = (),
    ) -> None:
        """Notes partitions that were assigned; the others stay as they are.

        Args:
            spans: where reading each begins, and the end of its log at that moment.
            waits: seconds that calls of a former owner may still take, where there was another one.
            again: those that are read again, to be delivered only once that is done.
        """
        now = self._clock()
        with self._lock:
            if self._fenced:
                return
            self._heard_at = self._assigned_at = now
            self._assigned = True
            self._assignments += 1
            for partition, (start, end) in spans.items():
                free_at = now + (waits or {}).get(partition, 0.0)
                state = _Partition(start, end, start, self._assignments, free_at, again=partition in again)
                state.caught_up, state.ledger_read = start >= end, not self._follows
                self._partitions[partition] = state
            self._lock.notify_all()

    def taken(self, partitions: Collection[int]) -> None:
        """Notes partitions that were revoked or lost: from now on no call is begun for them."""
        with self._lock:
            self._assigned = False
            for partition in partitions:
                self._partitions.pop(partition, None)

    def read_to(self, partition: int, next_offset: int, *, at_end: bool) -> None:
        """Records how far a partition was read and staged.

        Args:
            next_offset: the offset to read next.
        """
        with self._lock:
            known = self._partitions.get(partition)
            if known is None:
                return
            known.next_offset = next_offset
            known.caught_up = known.caught_up or at_end or next_offset >= known.end
            self._lock.notify_all()

    def read_times(self, times: Mapping[int, float]) -> None:
        """Records the times of the last records that were read, in seconds since 1970."""
        with self._lock:
            for partition in times.keys() & self._partitions.keys():
                known = self._partitions[partition]
                known.up_to_date_at = max(known.up_to_date_at or 0.0, times[partition])

    def ends_at(self, ends: Mapping[int, int], at: float) -> None:
        """Records where the logs of partitions end, at a time in seconds since 1970."""
        with self._lock:
            for partition in ends.keys() & self._partitions.keys():
                known = self._partitions[partition]
                known.log_end = max(known.end, ends[partition])
                if known.next_offset >= known.log_end:
                    known.up_to_date_at = at

    def read_again(self, partition: int) -> None:
        """Records that a partition was read again, and who is gone from it is known."""
        with self._lock:
            if partition in self._partitions:
                self._partitions[partition].again = False
                self._lock.notify_all()

    # Called by what follows the ledger and the settings

    def settings_read(self) -> None:
        """Records that the settings are known."""
        with self._lock:
            self._settings_read = True
            self._lock.notify_all()

    def wait_for_ledger(self, timeout: float) -> dict[int, int]:
        """Returns partitions whose ledger is waited for, each with the number of its assignment; waits for some."""
        with self._lock:
            self._lock.wait_for(self._awaited, timeout)
            return self._awaited()

    def awaits_ledger(self, partition: int, assignment: int) -> bool:
        """Returns whether a partition's ledger is waited for still, under that assignment."""
        with self._lock:
            return self._awaited().get(partition) == assignment

    def ledger_read(self, partition: int, assignment: int) -> None:
        """Records that a partition's ledger is known; of no use if it was assigned again since."""
        with self._lock:
            if self._awaited().get(partition) == assignment:
                self._partitions[partition].ledger_read = True
                self._lock.notify_all()

    def ledger_lost(self, partition: int, fenced: bool) -> None:
        """Records that a partition's ledger cannot be written any more: it must be taken and read again.

        No call is begun any more that rests on what was known of it.

        Args:
            fenced: whether somebody else took it. The group may have given the partition to another worker then, which
                is certain one session later; until then this worker does not take it back.
        """
        with self._lock:
            known = self._partitions.get(partition)
            if known is not None:
                self._assignments += 1
                known.assignment, known.ledger_read = self._assignments, False
                if fenced:
                    known.free_at = max(known.free_at, self._clock() + self._session_seconds)

    def _awaited(self) -> dict[int, int]:
        # Not before the former owner's calls are over: it may write down what they did.
        now = self._clock()
        waiting = ((number, state) for number, state in self._partitions.items() if not state.ledger_read)
        return {number: state.assignment for number, state in waiting if now >= state.free_at}

    # Asked by the poll thread

    def behind(self) -> bool:
        """Returns whether any partition is not yet read to where it ended when it was assigned."""
        with self._lock:
            return not all(state.caught_up for state in self._partitions.values())

    def at_end(self) -> dict[int, int]:
        """Returns the partitions that were read to their end and not only again, each with the offset to read next."""
        with self._lock:
            parts = self._partitions.items()
            return {number: state.next_offset for number, state in parts if state.caught_up and not state.again}

    # Asked by the flush

    def ready(self) -> frozenset[int]:
        """Returns the partitions that are this worker's and may be delivered.

        They were read to where they ended when they were assigned, their ledger and the settings are known, and no
        call of a former owner can be under way.
        """
        with self._lock:
            return frozenset(number for number, state in self._partitions.items() if self._is_ready(state))

    def _is_ready(self, state: _Partition) -> bool:
        known = state.caught_up and not state.again and state.ledger_read and self._settings_read
        return known and self._clock() >= state.free_at

    def owned(self) -> frozenset[int]:
        """Returns the partitions that are this worker's."""
        with self._lock:
            return frozenset(self._partitions)

    def backlog(self) -> tuple[int, int]:
        """Returns how many of the records that were there at assignment were read, and how many there were."""
        with self._lock:
            parts = self._partitions.values()
            total = sum(state.end - state.start for state in parts)
            return sum(min(state.next_offset, state.end) - state.start for state in parts), total

    def lags(self, at: float) -> dict[int, Lag]:
        """Returns how far each partition is behind at a time, in seconds since 1970, as far as that is known by now."""
        with self._lock:
            return {number: _lag(state, at) for number, state in self._partitions.items()}

    def held(self, partitions: Collection[int]) -> Held:
        """Returns the assignments by which these partitions are this worker's now, those that are."""
        with self._lock:
            return frozenset(
                (partition, self._partitions[partition].assignment)
                for partition in partitions
                if partition in self._partitions
            )

    def may_call(self, held: Held) -> bool:
        """Returns whether a call may be begun that rests on these assignments.

        Not once a partition was taken, though it was given back: another worker may have had it meanwhile.
        """
        if self._polled_at is None:
            return False
        now = self._clock()
        if now - self._polled_at >= self._session_seconds * SILENT or now < self._in_doubt_until:
            return False
        return held == self.held([partition for partition, _ in held])

    def why_no_member(self, silent_seconds: float) -> str | None:
        """Returns why this worker does not count as a member of the group; None if it does.

        Args:
            silent_seconds: without an answer for so long it does not.
        """
        with self._lock:
            if self._fenced:
                return "The group no longer accepts this worker."
            if not self._assigned and not self._partitions:
                return "The group has given this worker no assignment."
        if self.seconds_since_heard() >= silent_seconds:
            return f"Kafka has confirmed nothing for {self.seconds_since_heard():.0f} seconds."
        return None

    def why_settings_unread(self) -> str | None:
        """Returns that the settings are not read yet; None if they are, whatever the ledger is waited for."""
        with self._lock:
            return None if self._settings_read else "The settings are not read from Kafka yet."

    def why_changelog_unread(self) -> str | None:
        """Returns what of ledger and settings is not read yet; None if all is that this worker needs."""
        if (why := self.why_settings_unread()) is not None:
            return why
        with self._lock:
            unread = sorted(number for number, state in self._partitions.items() if not state.ledger_read)
        return f"The ledger of these partitions is not read yet: {', '.join(map(str, unread))}." if unread else None

    def seconds_since_poll(self) -> float | None:
        """Returns how long ago the consumer was polled; None if never."""
        return None if self._polled_at is None else self._clock() - self._polled_at

    def seconds_since_heard(self) -> float:
        """Returns how long ago Kafka last confirmed that it serves this worker, or since this began.

        An assignment, a record, the end of a partition and a commit that the group took confirm it.
        """
        return self._clock() - self._heard_at

    def waiting_seconds(self) -> float:
        """Returns how long calls of former owners are still waited for."""
        with self._lock:
            return max((state.free_at for state in self._partitions.values()), default=0.0) - self._clock()

    def seconds_since_assignment(self) -> float:
        """Returns how long ago partitions were assigned last."""
        with self._lock:
            return self._clock() - self._assigned_at

    def wait_until_ready(self, timeout: float) -> bool:
        """Waits until the group has assigned partitions and all of them may be delivered.

        Returns:
            Whether they are.
        """
        with self._lock:
            return self._lock.wait_for(self._all_ready, timeout)

    def wait_for_records(self, count: int, timeout: float) -> bool:
        """Waits until so many records were read and staged since the partitions were assigned.

        Returns:
            Whether they were.
        """
        with self._lock:
            return self._lock.wait_for(
                lambda: sum(state.next_offset - state.start for state in self._partitions.values()) >= count, timeout
            )

    def _all_ready(self) -> bool:
        if not self._partitions:
            # A member that joins is given nothing at first where others must give partitions back before.
            return self._assigned and self._clock() - self._assigned_at >= NOTHING_SECONDS
        return self._assigned and all(self._is_ready(state) for state in self._partitions.values())


def _lag(state: _Partition, at: float) -> Lag:
    records = max(state.log_end - state.next_offset, 0)
    if not records:
        return Lag(0, 0.0)
    return Lag(records, None if state.up_to_date_at is None else max(at - state.up_to_date_at, 0.0))
