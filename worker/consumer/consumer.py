"""The Kafka consumer: a group member that stages what it reads, and continues from SQLite's next_offset."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Sequence

from confluent_kafka import Consumer as LibraryConsumer
from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import KafkaException, Message

from worker.clock import Clock, Stop
from worker.config import Kafka
from worker.consumer import messages
from worker.consumer.assignment import Assignment, EventsTopic, Reading
from worker.consumer.batch import Batch
from worker.consumer.commits import Commits
from worker.consumer.erased_customers import ErasedCustomers, HashKey, no_key
from worker.consumer.group_session import MemberState
from worker.consumer.instance import instance_of
from worker.consumer.membership import Membership, properties, says_name_is_taken
from worker.consumer.owned_partitions import OwnedPartitions
from worker.consumer.partition_turns import READ_TOGETHER, PartitionTurns
from worker.consumer.rebalance_listener import RebalanceListener
from worker.consumer.record_buffer import RecordBuffer
from worker.consumer.report import ConsumerReport
from worker.consumer.retention_gap import RetentionGap
from worker.errors import ConsumerStopped
from worker.kafka.admin import Admin, TopicWatch
from worker.kafka.client import Problems, bounds, client, is_fatal
from worker.metrics import Metrics
from worker.sqlite.database import Database

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

    A rebalance may happen within any librdkafka call. So a call's results count only for partitions whose reading is
    the same after it as before; changed ones that are still assigned are reread from the first offset that is not
    staged.

    Attributes:
        topic: the one that is read.
        client_id: this worker's name in the group.
        commits: of offsets.
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
        self._settings, self._ownership, self._session = settings, owned_partitions, owned_partitions.session
        self._report = ConsumerReport(settings.topic, owned_partitions, metrics or Metrics())
        self._problems, self._turns = Problems(self._report.away), PartitionTurns(settings.topic)
        self._began, self._resets = time.monotonic(), list[Reading]()
        self.client_id = instance_of(db, f"worker-{uuid.uuid4()}")
        self.commits = Commits(settings, self._problems, self.client_id, self._session, call_seconds)
        admin = Admin(settings, self._problems)
        asked, erased = None if admin.mock else admin, ErasedCustomers(hash_key)
        self.topic = EventsTopic(settings.topic, admin.partitions)
        self._assignment = Assignment(self.topic)
        # A static member that comes back gets its former partitions, without those added since.
        self._name = f"{self.client_id}-of-{self.topic.partitions}"
        self._membership = Membership(settings, self._name, self.client_id, asked)
        self._gap = RetentionGap(settings, db, self._assignment, owned_partitions, clock, asked, self._bounds)
        self._watch = TopicWatch(admin, self._session.topic_is_missing)
        self._consumer = self._opened()
        try:
            self.topic.id = self._watch.topic_id()
            self._buffer = RecordBuffer(
                lambda: Batch(db, *self.topic.log, self.topic.partitions, erased),
                self._assignment,
                owned_partitions,
                self._gap,
                self._report,
                clock,
            )
        except BaseException:
            self._consumer.close()
            raise
        self._listener = RebalanceListener(db, self._watch, self._bounds, self._buffer, self.commits, self._turns)

    def _opened(self) -> LibraryConsumer:
        own = properties(self._settings, self._name) | {"client.id": self.client_id}
        own |= {"error_cb": self._problems, "on_commit": self.commits.answered}
        return client(LibraryConsumer, self._settings, own)

    def _bounds(self, partition: int) -> tuple[int, int]:
        return bounds(self._consumer, self._settings, partition, self._problems)

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
        listener = self._listener
        callbacks = {"on_assign": listener.on_assign, "on_revoke": listener.on_revoke, "on_lost": listener.on_lost}
        self._consumer.subscribe([self.topic.name], **callbacks)

    def leave(self) -> None:
        """Leaves the group; the next owner rereads what is not staged."""
        # First no more calls start, then it leaves the group.
        self._ownership.removed(self._ownership.owned())
        if self._ownership.state is not MemberState.FENCED:
            self.commits.end(self._consumer, self._assignment.readings())
        self._report.end()
        self._buffer.drop()
        self._consumer.close()

    def read_some(self, stop: Stop) -> int:
        """Reads the next records, and stages them once there are enough or no more; returns how many it staged."""
        # Before the settings are read, all accounts would be staged as not connected.
        unread = not self._ownership.has_settings
        behind = unread or self._ownership.behind()
        self._report.look(self._consumer)
        # Before the call too: a partition assigned within it may be queried before it returns.
        self._session.polled()
        polled = self._poll(behind)
        self._session.polled()
        records, errors = messages.split(polled, self._assignment.current())
        if self._has_fatal_error(errors, stop):
            return 0
        if self._gap.was_frozen():
            self._listener.restart(self._consumer)
            return 0
        ended = self._ends_among(errors)
        self._buffer.take(records, ended)
        self._turns.polled(found=bool(records or ended))
        if records or ended:
            self._session.answered()
        self._report.read(polled)
        self._listener.resume(self._consumer)
        self._turns.take(self._consumer, self._assignment.unread())
        batch = self._buffer.batch
        grown = time.monotonic() - self._began >= (BEHIND_SECONDS if behind else UP_TO_DATE_SECONDS)
        grown = grown or (self._buffer.turn_is_over and batch.size >= READ_TOGETHER)
        if batch.memory_bytes < MOST_BATCH_BYTES and ((polled and not grown) or (unread and batch.size)):
            return 0
        return self._write()

    def _poll(self, behind: bool) -> list[Message]:
        # Waits for one message, then takes all that are available.
        if self._buffer.is_empty and not self._resets:
            first = self._consumer.poll(WAIT_SECONDS)
            self._began = time.monotonic()
        else:
            first = self._consumer.poll(LINGER_SECONDS if behind else 0)
        if first is None:
            return []
        before = self._assignment.current()
        others = self._consumer.consume(MOST_AT_ONCE - 1, 0)
        valid, doubtful = messages.of_same_assignment(first, others, before, self._assignment.current())
        self._assignment.interrupt(doubtful)
        return valid

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

    def _ends_among(self, errors: Sequence[Message]) -> dict[int, int]:
        # Returns the partitions whose end was found, each with its offset, and handles other errors.
        ended = {}
        for message in errors:
            error, partition = message.error(), messages.partition_of_message(message)
            assert error is not None, "only messages with an error come here"
            if messages.is_end(message):
                ended[partition] = message.offset() or 0
            elif error.code() in (LibraryError._AUTO_OFFSET_RESET, LibraryError.OFFSET_OUT_OF_RANGE):
                if (reading := self._assignment.current().get(partition)) is not None:
                    self._resets.append(reading)
            elif error.code() == LibraryError.INCONSISTENT_GROUP_PROTOCOL:
                self._membership.refused()
            else:
                log.warning("Kafka: %s", error.str(), extra={"partition": partition})
        return ended

    def _write(self) -> int:
        # Stages what was read, and only then tells the rest of the worker.
        count = self._buffer.stage()
        self._buffer.tell()
        resets, self._resets = self._resets, []
        if any(self._assignment.holds(reading) for reading in resets):
            self._listener.restart(self._consumer)
        self.commits.claim(self._assignment.readings())
        self._gap.watch()
        if (news := self._watch.news()) is not None:
            self._compare_topic(*news)
        self._membership.look(self._ownership, self.topic.partitions)
        if not count or self.commits.due():
            self.commits.commit(self._consumer, self._assignment.readings())
        return count

    def _compare_topic(self, topic_id: str, partitions: int) -> None:
        if self._ownership.state is MemberState.ASSIGNED and not self._assignment.partitions:
            self._session.answered()
        if partitions != self.topic.partitions:
            self.topic.partitions = partitions
            self._buffer.drop()
            self.topic.changed()
        if topic_id != self.topic.id:
            self._listener.restart(self._consumer)
