"""The Kafka consumer: a group member that stages what it reads, and continues from SQLite's next_offset."""

from __future__ import annotations

import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from confluent_kafka import Consumer as LibraryConsumer
from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import KafkaException, Message, TopicPartition

from worker.clock import Clock, Stop, as_text
from worker.config import Kafka
from worker.consumer import messages
from worker.consumer.assignment import Assignment, AssignmentOver
from worker.consumer.batch import Batch
from worker.consumer.commits import Commits
from worker.consumer.decode import Record
from worker.consumer.erased_customers import ErasedCustomers, HashKey, no_key
from worker.consumer.group_session import MemberState
from worker.consumer.instance import instance_of
from worker.consumer.membership import Membership, properties, refusal, says_name_is_taken
from worker.consumer.owned_partitions import OwnedPartitions
from worker.consumer.partition_turns import READ_TOGETHER, PartitionTurns, topic_partitions
from worker.consumer.report import ConsumerReport
from worker.consumer.retention_gap import RetentionGap
from worker.consumer.start_offset_lookup import find_start
from worker.errors import ConsumerStopped
from worker.kafka.admin import Admin, TopicWatch
from worker.kafka.client import Problems, bounds, client, is_fatal
from worker.metrics import Metrics
from worker.sqlite.database import Database
from worker.store import offsets

log = logging.getLogger("worker.consumer")

MOST_AT_ONCE = 1000
"""Records taken from librdkafka at once: what is done once for all of them counts less, and their memory is reused."""
MOST_BATCH_BYTES = 112 * 1024 * 1024
"""Bytes of memory for records that wait for their transaction: those of 100,000 customers or so."""
BEHIND_SECONDS, UP_TO_DATE_SECONDS = 10.0, 0.25
"""How long a transaction may grow during continuous reading: while behind, and once caught up."""
LINGER_SECONDS = 0.1
"""How long to wait for more records of a partition that is behind before staging."""
WAIT_SECONDS = 0.2
"""How long to wait for a record before checking whether to stop."""
NAME_TAKEN_SECONDS = 3.0
"""How long to wait before joining again under a name that a killed worker's session still has."""


class Consumer:
    """Reads the topic as a member of the consumer group. Used only by the poll thread.

    A rebalance may happen within any librdkafka call. So a call's results count only for partitions whose assignment is
    the same after it as before; changed ones that are still assigned are reread from the first offset that is not
    staged. Records read earlier are staged before their partition is given up.
    """

    def __init__(
        self,
        settings: Kafka,
        db: Database,
        owned_partitions: OwnedPartitions,
        clock: Clock,
        call_seconds: float = 0.0,
        hash_key: HashKey = no_key,
        metrics: Metrics | None = None,
    ) -> None:
        """Looks up the topic, without joining the group.

        Args:
            db: the poll thread's own connection.
            owned_partitions: updated with what is assigned and read.
            call_seconds: how long a call of a partition's former owner may still take.
            metrics: counts what is read.

        Raises:
            ConfigError: the operator's properties cannot be used.
            KafkaError: no broker answers, it refuses the credentials, or there is no such topic.
        """
        self._settings, self._db, self._clock, self._ownership = settings, db, clock, owned_partitions
        self._erased = ErasedCustomers(hash_key)
        self._report = ConsumerReport(settings.topic, owned_partitions, metrics or Metrics())
        self._problems, self._assignment = Problems(self._report.away), Assignment()
        self._refused, self._losses = False, Counter[int]()
        self._notices: list[tuple[Message, int | None]] = []
        self._unreported: dict[int, tuple[int | None, int]] = {}
        self._turns = PartitionTurns(settings.topic)
        self.topic_changed: Callable[[], None] = lambda: None
        """Called by the poll thread when the topic was recreated, or has another number of partitions now."""
        self.client_id = instance_of(db, f"worker-{uuid.uuid4()}")
        self.commits = Commits(settings, self.client_id, owned_partitions.session, self._next_of, call_seconds)
        admin = Admin(settings, self._problems)
        self.partitions = admin.partitions
        # A static member that comes back gets its former partitions, without those added since.
        self._name = f"{self.client_id}-of-{self.partitions}"
        self._consumer = self._opened()
        try:
            self._watch = TopicWatch(admin, owned_partitions.session.topic_is_missing)
            asked = None if admin.mock else admin
            self._membership = Membership(settings, self._name, self.client_id, asked)
            self._retention_gap = RetentionGap(settings, db, owned_partitions, clock, asked, self._bounds)
            self.topic_id, self._began = self._watch.topic_id(), time.monotonic()
            self._begin_batch()
        except BaseException:
            self._consumer.close()
            raise

    def _opened(self) -> LibraryConsumer:
        own = properties(self._settings, self._name) | {"client.id": self.client_id}
        own |= {"error_cb": self._problems, "on_commit": self.commits.answered}
        return client(LibraryConsumer, self._settings, own)

    def read(self, stop: Stop) -> None:
        """Joins the group, and reads and stages until it is time to stop.

        Raises:
            ConsumerStopped: the group has fenced this worker.
            KafkaError: what a partition's start depends on cannot be queried.
            DatabaseError: nothing can be staged.
        """
        try:
            self.join()
            while not stop.is_set():
                self.read_some(stop)
            self._write()
        except KafkaException as error:
            cause = error.args[0]
            if is_fatal(cause):
                raise self._fenced(cause) from error
            raise ConsumerStopped(f"Kafka cannot be read: {cause.str()}.", "Start the worker again.") from error
        finally:
            self.leave()

    def join(self) -> None:
        """Joins the group. Partitions arrive with the next :meth:`read_some`."""
        self._consumer.subscribe(
            [self._settings.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def leave(self) -> None:
        """Leaves the group; the next owner rereads what is not staged."""
        # First no more calls start, then it leaves the group.
        owned = self._ownership.owned()
        self._ownership.removed(owned)
        if self._ownership.state is not MemberState.FENCED:
            if self.commits.released:
                self.commits.release(owned)
            self.commits.commit(self._consumer)
        self._report.end()
        self._begin_batch()
        self._consumer.close()

    def read_some(self, stop: Stop) -> int:
        """Reads the next records, and stages them once there are enough or no more; returns how many it staged."""
        # Before the settings are read, all accounts would be staged as not connected.
        unread = not self._ownership.has_settings
        behind = unread or self._ownership.behind()
        self._report.look(self._consumer)
        # Before the call too: a partition assigned within it may be queried before it returns.
        self._ownership.session.polled()
        polled = self._waiting(behind)
        self._ownership.session.polled()
        records, errors = messages.split(polled, self._assignment.numbers())
        if self._has_fatal_error(errors, stop):
            return 0
        if self._retention_gap.was_frozen():
            self._begin_again()
            return 0
        self._take(records, errors)
        self._report.read(polled)
        self._resume()
        self._turns.take(self._consumer)
        grown = time.monotonic() - self._began >= (BEHIND_SECONDS if behind else UP_TO_DATE_SECONDS)
        grown = grown or (self._turns.over and self._batch.size >= READ_TOGETHER)
        if self._batch.memory_bytes < MOST_BATCH_BYTES and ((polled and not grown) or (unread and self._batch.size)):
            return 0
        return self._write()

    def _has_fatal_error(self, errors: Sequence[Message], stop: Stop) -> bool:
        # Before processing what was read: a fenced worker must not start a call.
        fatal = self._problems.fatal or messages.fatal_among(errors)
        if fatal is None:
            return False
        if says_name_is_taken(fatal) and self._ownership.state is MemberState.JOINING:
            log.warning("the group still has a member of this name, until its session ends", extra={"why": fatal.str()})
            self._consumer.close()
            stop.wait(NAME_TAKEN_SECONDS)
            self._problems.fatal = None
            self.commits.began_again()
            self._consumer = self._opened()
            self.join()
            return True
        raise self._fenced(fatal)

    def _fenced(self, fatal: LibraryError) -> ConsumerStopped:
        self._ownership.fenced()
        self._assignment.drop(self._assignment.partitions)
        return messages.stopped(fatal)

    def _waiting(self, behind: bool) -> list[Message]:
        # Waits for one message, then takes all that are available.
        if self._batch.size or self._notices:
            first = self._consumer.poll(LINGER_SECONDS if behind else 0)
        else:
            first = self._consumer.poll(WAIT_SECONDS)
            self._began = time.monotonic()
        if first is None:
            return []
        before = self._assignment.numbers()
        others = self._consumer.consume(MOST_AT_ONCE - 1, 0)
        valid, doubtful = messages.of_same_assignment(first, others, before, self._assignment.numbers())
        self._assignment.interrupt(doubtful)
        return valid

    def _take(self, records: Sequence[Record], errors: Sequence[Message]) -> None:
        # Adds records to the batch and handles events.
        numbers = self._assignment.numbers()
        self._notices += [(message, numbers.get(messages.partition_of_message(message))) for message in errors]
        ends = {record.partition: record.offset + 1 for record in records}
        for partition, end in ends.items():
            begin = self._assignment.take(partition, numbers[partition], end)
            if self._begins.setdefault(partition, (numbers[partition], begin))[0] != numbers[partition]:
                raise AssignmentOver(f"a batch has records of partition {partition} under two assignments")
        self._retention_gap.records_read(records)
        self._batch.add(records)
        ended = [messages.partition_of_message(message) for message in errors if messages.is_end(message)]
        self._turns.read(ends, ended)
        if records or ended:
            self._ownership.session.answered()

    def _write(self) -> int:
        # Stages what was read, and only then tells the rest of the worker.
        count = self._stage()
        notices, unreported, self._notices, self._unreported = self._notices, self._unreported, [], {}
        for partition, (number, next_offset) in unreported.items():
            self._read_to(partition, number, next_offset, at_end=False)
        for message, number in notices:
            self._process_notice(message, number)
        self._after_writing(idle=not count)
        return count

    def _stage(self) -> int:
        batch, begins = self._batch, self._begins
        self._begin_batch()
        if batch.size:
            for partition, (number, begin) in begins.items():
                self._assignment.may_move(partition, number, begin)
            batch.write(
                as_text(self._clock()), self._retention_gap.behind(batch.next_offsets), self._retention_gap.again
            )
            for partition, next_offset in batch.next_offsets.items():
                number = begins[partition][0]
                self._assignment.move(partition, number, next_offset)
                self._unreported[partition] = number, next_offset
            self.commits.staged(batch.next_offsets)
            self._report.staged(batch.results, batch.reason)
        return batch.size

    def _after_writing(self, *, idle: bool) -> None:
        self.commits.claim(self._assignment.partitions)
        self._retention_gap.watch()
        if (news := self._watch.news()) is not None:
            self._compare_topic(*news)
        self._membership.look(self._ownership, self.partitions)
        if idle or self.commits.due():
            self.commits.commit(self._consumer)

    def _compare_topic(self, topic_id: str, partitions: int) -> None:
        if self._ownership.state is MemberState.ASSIGNED and not self._assignment.partitions:
            self._ownership.session.answered()
        if partitions != self.partitions:
            self.partitions = partitions
            self._begin_batch()
            self.topic_changed()
        if topic_id != self.topic_id:
            self._begin_again()

    def _begin_batch(self) -> None:
        self._turns.over = False
        self._batch = Batch(self._db, self._settings.topic, self.topic_id, self.partitions, self._erased)
        self._begins: dict[int, tuple[int, int]] = {}

    def _process_notice(self, message: Message, number: int | None) -> None:
        error, partition = message.error(), messages.partition_of_message(message)
        assert error is not None, "only messages with an error come here"
        if messages.is_end(message):
            self._read_to(partition, number, message.offset() or 0, at_end=True)
        elif error.code() in (LibraryError._AUTO_OFFSET_RESET, LibraryError.OFFSET_OUT_OF_RANGE):
            if self._assignment.holds(partition, number):
                self._begin_again()
        elif error.code() == LibraryError.INCONSISTENT_GROUP_PROTOCOL:
            if not self._refused:
                log.error(refusal(self._settings), extra={"group": self._settings.group_id})
            self._refused = True
        else:
            log.warning("Kafka: %s", error.str(), extra={"partition": partition})

    def _read_to(self, partition: int, number: int | None, next_offset: int, *, at_end: bool) -> None:
        # First the consequences, then a flush may start.
        if self._assignment.holds(partition, number):
            self._retention_gap.staged_to(partition, next_offset, at_end=at_end)
        if self._assignment.holds(partition, number):
            self._ownership.read_to(partition, next_offset, at_end=at_end)

    # Where reading starts

    def _on_assign(self, consumer: LibraryConsumer, assigned: Sequence[TopicPartition]) -> None:
        if self._ownership.state is MemberState.FENCED:
            return
        partitions = {position.partition for position in assigned}
        topic_id = self._watch.topic_id()
        if topic_id != self.topic_id:
            # What this worker has is of the topic before it was recreated.
            partitions |= self._stop_all()
            self.topic_id = topic_id
            self._begin_batch()
            self.topic_changed()
        before = {partition: self._losses[partition] for partition in partitions}
        compaction = self._retention_gap.ask()
        topic, spans, again = self._settings.topic, {}, {}
        for partition in sorted(partitions):
            low, high = self._bounds(partition)
            start = find_start(self._db, topic, self.topic_id, partition, (low, high), compaction, self._clock())
            spans[partition] = start.offset, high
            if start.event == "away":
                again[partition] = self._next_of(partition) or 0
        last_owners = self.commits.last_owners(self._consumer, spans, self._problems)
        # Without those revoked meanwhile.
        spans = {partition: span for partition, span in spans.items() if self._losses[partition] == before[partition]}
        again = {partition: known for partition, known in again.items() if partition in spans}
        last_owners.note(self._db, topic, spans, self._clock())
        self._retention_gap.assigned(
            self.topic_id, {partition: high for partition, (start, high) in spans.items() if start < high}, again
        )
        self.commits.assigned(spans, last_owners.waits)
        self._turns.assigned(spans)
        self._assignment.assign({partition: start for partition, (start, _) in spans.items()})
        self._ownership.assigned(spans, last_owners.waits, again)
        self._start_reading({partition: start for partition, (start, _) in spans.items()})

    def _start_reading(self, starts: Mapping[int, int]) -> None:
        self._consumer.incremental_assign([TopicPartition(self._settings.topic, *start) for start in starts.items()])
        self._turns.take(self._consumer, assigned=starts)

    def _stop_reading(self, partitions: Collection[int]) -> None:
        if partitions:
            self._consumer.incremental_unassign(topic_partitions(self._settings.topic, partitions))

    def _begin_again(self) -> None:
        # The log has changed since these partitions were assigned.
        self._on_assign(self._consumer, topic_partitions(self._settings.topic, self._stop_all()))

    def _stop_all(self) -> frozenset[int]:
        partitions = self._assignment.partitions
        self._forget(partitions)
        self._begin_batch()
        self._stop_reading(partitions)
        return partitions

    def _resume(self) -> None:
        # Continues from the first offset that is not staged, after a rebalance within a call invalidated what was read.
        interrupted = self._assignment.interrupted()
        if interrupted:
            self._stop_reading(interrupted)
            self._start_reading(self._assignment.resume(interrupted))

    def _bounds(self, partition: int) -> tuple[int, int]:
        return bounds(self._consumer, self._settings, partition, self._problems)

    def _next_of(self, partition: int) -> int | None:
        return offsets.next_of(self._db, self._settings.topic, self.topic_id, partition)

    # Revoked and lost partitions, which the library stops reading by itself

    def _on_revoke(self, consumer: LibraryConsumer, revoked: Sequence[TopicPartition]) -> None:
        self._give_up(revoked, commit=True)

    def _on_lost(self, consumer: LibraryConsumer, lost: Sequence[TopicPartition]) -> None:
        self._give_up(lost, commit=False)  # the group would refuse it

    def _give_up(self, positions: Sequence[TopicPartition], *, commit: bool) -> None:
        partitions = {position.partition for position in positions}
        self._ownership.removed(partitions)  # no more calls start
        self._stage()
        if commit:
            self.commits.commit(self._consumer)
        self._forget(partitions)

    def _forget(self, partitions: Collection[int]) -> None:
        self._ownership.removed(partitions)
        self._losses.update(partitions)
        self._assignment.drop(partitions)
        self._turns.removed(partitions)
        self._retention_gap.removed(partitions)
        self.commits.dropped(partitions)
