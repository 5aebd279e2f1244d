"""Follows the rebalances of the consumer group: starts and stops to read partitions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence

from confluent_kafka import Consumer as LibraryConsumer
from confluent_kafka import TopicPartition

from worker.clock import as_text
from worker.consumer.assignment import Reading
from worker.consumer.commits import Commits
from worker.consumer.group_session import MemberState
from worker.consumer.partition_turns import PartitionTurns, topic_partitions
from worker.consumer.record_buffer import RecordBuffer
from worker.consumer.start_offset import start_of
from worker.kafka.admin import Compaction, TopicWatch
from worker.sqlite.database import Database
from worker.store import counts, offsets, unowned

log = logging.getLogger("worker.consumer")


class RebalanceListener:
    """The callbacks of a rebalance, and what else ends or continues readings. Used only by the poll thread.

    A rebalance may happen within any librdkafka call, even one of :meth:`on_assign`. Records that were read earlier are
    staged before their partition is given up.
    """

    def __init__(
        self,
        db: Database,
        watch: TopicWatch,
        bounds: Callable[[int], tuple[int, int]],
        buffer: RecordBuffer,
        commits: Commits,
        turns: PartitionTurns,
    ) -> None:
        """Takes its parts.

        Args:
            bounds: returns a partition's low and high watermark.
        """
        self._db, self._watch, self._bounds, self._buffer = db, watch, bounds, buffer
        self._commits, self._turns, self._clock = commits, turns, buffer.clock
        self._assignment, self._topic, self._gap = buffer.assignment, buffer.assignment.topic, buffer.retention_gap
        self._ownership = buffer.owned_partitions

    def on_assign(self, consumer: LibraryConsumer, assigned: Sequence[TopicPartition]) -> None:
        """Finds out where reading starts, and starts it.

        Raises:
            KafkaError: what that depends on cannot be queried.
        """
        if self._ownership.state is MemberState.FENCED:
            return
        partitions = {position.partition for position in assigned}
        topic_id = self._watch.topic_id()
        if topic_id != self._topic.id:
            # What this worker has is of the topic before it was recreated.
            partitions |= self._stop_all(consumer)
            self._topic.id = topic_id
            self._buffer.drop()
            self._topic.changed()
        starting = self._assignment.begin(sorted(partitions))
        compaction = self._gap.ask()
        for reading in starting:
            self._find_start(reading, compaction)
        last_owners = self._commits.last_owners(consumer, partitions)
        # Without those revoked meanwhile.
        started = {reading.partition: reading for reading in starting if self._assignment.holds(reading)}
        last_owners.note(self._db, self._topic.name, started, self._clock())
        now = self._ownership.session.clock()
        for partition, reading in started.items():
            reading.start(now + last_owners.waits.get(partition, 0.0))
        spans = {partition: (reading.next_offset, reading.end) for partition, reading in started.items()}
        again = [partition for partition, reading in started.items() if reading.reread_from is not None]
        self._ownership.assigned(spans, last_owners.waits, again)
        self._start_reading(consumer, {partition: start for partition, (start, _) in spans.items()})

    def _find_start(self, reading: Reading, compaction: Compaction | None) -> None:
        # Looks up where reading a partition starts, and records it.
        partition, now, topic, topic_id = reading.partition, self._clock(), *self._topic.log
        low, high = self._bounds(partition)
        unowned.events_back(self._db, partition, as_text(now))
        known = offsets.next_of(self._db, topic, topic_id, partition)
        start = start_of(offsets.of_topic(self._db, topic), topic_id, partition, low, high, compaction, now)
        if start.event is not None:
            log.warning("%s", start.notice, extra={"partition": partition, "offset": start.offset, "what": start.event})
        goes_on = start.event is None and known is not None
        with self._db.transaction():
            if start.event is not None:
                counts.add(self._db, topic, partition, {start.event: 1})
            # An old time is kept until the end is reached, so that a crash before that changes nothing.
            if start.event != "away" and not (goes_on and start.offset < high):
                offsets.move_on(self._db, topic, topic_id, partition, start.offset, as_text(now))
        reading.find_start(start.offset, high)
        reading.whole = self._gap.begin(reading, (known or 0) if start.event == "away" else None)

    def _start_reading(self, consumer: LibraryConsumer, starts: Mapping[int, int]) -> None:
        consumer.incremental_assign([TopicPartition(self._topic.name, *start) for start in starts.items()])
        self._turns.take(consumer, self._assignment.unread(), assigned=starts)

    def _stop_reading(self, consumer: LibraryConsumer, partitions: Collection[int]) -> None:
        if partitions:
            consumer.incremental_unassign(topic_partitions(self._topic.name, partitions))

    def restart(self, consumer: LibraryConsumer) -> None:
        """Reads all partitions as if they were assigned now: the log has changed, or the worker was frozen."""
        self.on_assign(consumer, topic_partitions(self._topic.name, self._stop_all(consumer)))

    def _stop_all(self, consumer: LibraryConsumer) -> frozenset[int]:
        partitions = self._assignment.partitions
        self._forget(partitions)
        self._buffer.drop()
        self._stop_reading(consumer, partitions)
        return partitions

    def resume(self, consumer: LibraryConsumer) -> None:
        """Continues from the first offset that is not staged, after a rebalance invalidated what was read."""
        if starts := self._assignment.resume():
            self._stop_reading(consumer, starts)
            self._start_reading(consumer, starts)

    # The library stops reading revoked and lost partitions by itself

    def on_revoke(self, consumer: LibraryConsumer, revoked: Sequence[TopicPartition]) -> None:
        """Gives up partitions that the group takes back."""
        partitions = self._stage_last(revoked)
        self._commits.commit(consumer, self._assignment.readings())
        self._forget(partitions)

    def on_lost(self, consumer: LibraryConsumer, lost: Sequence[TopicPartition]) -> None:
        """Gives up partitions that the group took away: it would refuse a commit."""
        self._forget(self._stage_last(lost))

    def _stage_last(self, positions: Sequence[TopicPartition]) -> set[int]:
        partitions = {position.partition for position in positions}
        self._ownership.removed(partitions)  # no more calls start
        self._buffer.stage()
        return partitions

    def _forget(self, partitions: Collection[int]) -> None:
        self._ownership.removed(partitions)
        self._assignment.drop(partitions)
