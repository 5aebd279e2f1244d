"""The partitions that this worker owns, and how far each is read. The poll thread writes it; flushes query it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

SESSION_SECONDS = 45.0
"""How long a member may be silent before the group assigns its partitions to others: librdkafka's default."""
SILENT = 2 / 3
"""Part of the session timeout. After so long without a poll, as in a process that was frozen, no call may start before
the group has confirmed that this worker is still its member."""
NOTHING_SECONDS = 10.0
"""How long a new member waits for partitions: two heartbeats of the other members, and time to release them."""

Held = frozenset[tuple[int, int]]
"""Partitions, each with the number of its assignment."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How far staging is behind the end of a partition's log.

    Attributes:
        records: offsets that are not staged yet; some may hold no record.
        seconds: age of the last record that was read, if there are more; 0 at the end; None if none was read.
    """

    records: int
    seconds: float | None


@dataclass(slots=True)
class Faults:
    """What is wrong with the topics now. Each value is replaced as a whole, so any thread may read it.

    Attributes:
        topic: that the events topic is missing, and what to do; None if it is not.
        changelog: why ledger or settings cannot be read, and what to do, by the thread that reads them.
    """

    topic: str | None = None
    changelog: dict[str, str] = field(default_factory=dict)


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
    """The partitions that the consumer group assigned to this worker. Thread-safe.

    One lock guards the partitions and their states. The times of the last poll, of Kafka's last answer and of an outage
    are single values without a lock, as is the doubt after a silence: the poll thread writes them, and any thread reads
    them.
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
        self._clock, self._session_seconds = clock, session_seconds
        self._follows, self._settings_read = follows, not follows
        self._assignments, self._doubts = 0, 0
        self.doubt: int | None = None
        """The number of the silence after which the group has not confirmed this worker yet; None without one."""
        self._lock = threading.Condition()
        self._partitions: dict[int, _Partition] = {}
        self._assigned, self._assigned_at, self._fenced = False, 0.0, False
        self._polled_at: float | None = None
        self._answered_at = clock()
        self.away_since: float | None = None
        """When the current outage of all brokers began, in seconds since 1970; None if there is none."""
        self.faults = Faults()
        self.others_have_all: bool | None = None
        """While this worker has no partition: whether other workers have all of them; None if Kafka does not tell."""

    # Called by the poll thread

    def polled(self) -> None:
        """Records that the consumer was polled."""
        now = self._clock()
        if self._polled_at is not None and now - self._polled_at >= self._session_seconds * SILENT:
            self._doubts += 1
            self.doubt = self._doubts
        self._polled_at = now

    def confirmed(self, doubt: int) -> None:
        """Records that the group confirmed this worker after a silence; does nothing after a later one."""
        if self.doubt == doubt:
            self.doubt = None

    def kafka_answered(self) -> None:
        """Records that the group or a partition's broker answered this worker."""
        self._answered_at = self._clock()

    def topic_is_missing(self, words: str | None) -> None:
        """Records the broker's answer that the events topic is missing, in words; None if it exists."""
        self.faults.topic = words
        if words is not None:
            self.kafka_answered()

    def fenced(self) -> None:
        """Records that the group fenced this worker: from now on, no call may start."""
        with self._lock:
            self._fenced = True
            self._assigned = False
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
            if self._fenced:
                return
            self._answered_at = self._assigned_at = now
            self._assigned = True
            self.faults.topic = None if spans else self.faults.topic
            self._assignments += 1
            for partition, (start, end) in spans.items():
                free_at = now + (waits or {}).get(partition, 0.0)
                state = _Partition(start, end, start, self._assignments, free_at, again=partition in again)
                state.caught_up, state.ledger_read = start >= end, not self._follows
                self._partitions[partition] = state
            self._lock.notify_all()

    def removed(self, partitions: Collection[int]) -> None:
        """Records revoked or lost partitions: from now on, no call may start for them."""
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

    def read_again(self, partition: int) -> None:
        """Records that a partition was reread, so that customers missing from it are known."""
        with self._lock:
            if partition in self._partitions:
                self._partitions[partition].again = False
                self._lock.notify_all()

    # Called by the threads that read ledger and settings

    def settings_read(self) -> None:
        """Records that the settings were read."""
        with self._lock:
            self._settings_read = True
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
                self._assignments += 1
                known.assignment, known.ledger_read = self._assignments, False
                if fenced:
                    known.free_at = max(known.free_at, self._clock() + self._session_seconds)

    def _awaited(self) -> dict[int, int]:
        # Not before the former owner's calls have ended, because it may still write their results. Nor in doubt: if
        # another worker has the partition now, that would end its flush.
        if self.doubt is not None:
            return {}
        now = self._clock()
        waiting = ((number, state) for number, state in self._partitions.items() if not state.ledger_read)
        return {number: state.assignment for number, state in waiting if now >= state.free_at}

    # Queried by the poll thread

    def behind(self) -> bool:
        """Returns whether any partition is not yet read to where it ended when it was assigned."""
        with self._lock:
            return not all(state.caught_up for state in self._partitions.values())

    def at_end(self) -> dict[int, int]:
        """Returns the partitions read to their end, each with its next offset; without those that are being reread."""
        with self._lock:
            parts = self._partitions.items()
            return {number: state.next_offset for number, state in parts if state.caught_up and not state.again}

    # Queried by flushes, the main thread and the web server

    def ready(self) -> frozenset[int]:
        """Returns the owned partitions that may be delivered.

        These are read to where they ended when they were assigned, their ledger and the settings are read, and no call
        of a former owner can be in flight.
        """
        with self._lock:
            return frozenset(number for number, state in self._partitions.items() if self._is_ready(state))

    def _is_ready(self, state: _Partition) -> bool:
        known = state.caught_up and not state.again and state.ledger_read and self._settings_read
        return known and self._clock() >= state.free_at

    def owned(self) -> frozenset[int]:
        """Returns the partitions assigned to this worker."""
        with self._lock:
            return frozenset(self._partitions)

    def backlog(self) -> tuple[int, int]:
        """Returns how many of the records that were unread at assignment are read by now, and how many there were."""
        with self._lock:
            parts = self._partitions.values()
            total = sum(state.end - state.start for state in parts)
            return sum(min(state.next_offset, state.end) - state.start for state in parts), total

    def lags(self, at: float) -> dict[int, Lag]:
        """Returns how far each partition is behind, as far as known, at a time in seconds since 1970."""
        with self._lock:
            return {number: _lag(state, at) for number, state in self._partitions.items()}

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
        if self._polled_at is None:
            return False
        now = self._clock()
        if now - self._polled_at >= self._session_seconds * SILENT or self.doubt is not None:
            return False
        return held == self.held([partition for partition, _ in held])

    def why_no_member(self, silent_seconds: float) -> str | None:
        """Returns why this worker is not a live member of the group; None if it is.

        Args:
            silent_seconds: how long Kafka may be silent before the worker no longer counts as a member.
        """
        with self._lock:
            if self._fenced:
                return "The group no longer accepts this worker."
            if not self._assigned and not self._partitions:
                return self.faults.topic or "The group has not assigned partitions to this worker yet."
        if self.seconds_since_answer() >= silent_seconds:
            return f"Kafka has confirmed nothing for {self.seconds_since_answer():.0f} seconds."
        return None

    def why_settings_unread(self) -> str | None:
        """Returns why settings cannot be used yet; None once they are read, even if the ledger is not."""
        with self._lock:
            return None if self._settings_read else "The settings are not read from Kafka yet."

    def why_changelog_unread(self) -> str | None:
        """Returns which parts of ledger and settings are not read yet; None if this worker has all that it needs."""
        why = self.why_settings_unread()
        with self._lock:
            unread = sorted(number for number, state in self._partitions.items() if not state.ledger_read)
        if why is None and unread:
            why = f"The ledger of these partitions is not read yet: {', '.join(map(str, unread))}."
        return why and " ".join([why, *dict.fromkeys(self.faults.changelog.copy().values())])

    def seconds_since_poll(self) -> float | None:
        """Returns the seconds since the last poll of the consumer; None before the first."""
        return None if self._polled_at is None else self._clock() - self._polled_at

    def seconds_since_answer(self) -> float:
        """Returns the seconds since Kafka last confirmed that it serves this worker, or since the start.

        An assignment, a record, the end of a partition, and an accepted commit confirm it.
        """
        return self._clock() - self._answered_at

    def waiting_seconds(self) -> float:
        """Returns the seconds that calls of former owners may still take."""
        with self._lock:
            return max((state.free_at for state in self._partitions.values()), default=0.0) - self._clock()

    def seconds_since_assignment(self) -> float:
        """Returns the seconds since partitions were last assigned."""
        with self._lock:
            return self._clock() - self._assigned_at

    def wait_until_ready(self, timeout: float) -> bool:
        """Waits until the group has assigned partitions and all of them may be delivered.

        Returns:
            Whether all of them may be delivered.
        """
        with self._lock:
            return self._lock.wait_for(self._all_ready, timeout)

    def _all_ready(self) -> bool:
        if not self._partitions:
            # A new member gets nothing at first if other members must release partitions before.
            return (
                self._assigned
                and self.others_have_all is not False
                and self._clock() - self._assigned_at >= NOTHING_SECONDS
            )
        return self._assigned and all(self._is_ready(state) for state in self._partitions.values())


def _lag(state: _Partition, at: float) -> Lag:
    records = max(state.log_end - state.next_offset, 0)
    if not records:
        return Lag(0, 0.0)
    return Lag(records, None if state.up_to_date_at is None else max(at - state.up_to_date_at, 0.0))
