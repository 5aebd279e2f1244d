"""The Kafka consumer: a member of the group that stages what it reads, and goes on from SQLite's next_offset."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from typing import Any

from confluent_kafka import Consumer as LibraryConsumer
from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from worker.clock import Clock, as_text
from worker.config import Kafka
from worker.consuming.away import Away
from worker.consuming.batch import Batch
from worker.consuming.decode import Record
from worker.consuming.identity import TopicIdentity
from worker.consuming.kafka import ANSWER_SECONDS, MOCK, Problems, bounds, client, partitions_of_topic, unreachable
from worker.consuming.ownership import Ownership
from worker.consuming.positions import Compaction, Start, start_of
from worker.errors import ConsumerStopped
from worker.mailchimp.connections import Stop
from worker.staging import counts, offsets
from worker.staging.database import Database

log = logging.getLogger("worker.consuming")

MOST_AT_ONCE = 250
"""Records taken from librdkafka at once. Few, so that their memory is reused: 5,000 take twice as long."""
MOST_KEPT = 32 * 1024 * 1024
"""Bytes of values that wait for their transaction."""
BEHIND_SECONDS, UP_TO_DATE_SECONDS = 5.0, 0.25
"""How long a transaction may grow while there is always something to read: behind, and once caught up."""
LINGER_SECONDS = 0.1
"""How long to wait for more records of a partition that is behind before those at hand are staged."""
WAIT_SECONDS = 0.5
"""How long to wait for a record before looking whether to stop."""
COMMIT_SECONDS = 5.0
"""How often offsets are committed to Kafka, for tools that measure lag, while there is always something to read."""
QUEUED_KIB = 16 * 1024
"""Memory for records that were fetched and not read yet."""

Progress = Callable[[int], None]
"""Told after each transaction how many records it had."""


class Consumer:
    """Reads the topic as a member of the consumer group. Belongs to one thread, the poll thread."""

    def __init__(
        self, settings: Kafka, db: Database, ownership: Ownership, clock: Clock, call_seconds: float = 0.0
    ) -> None:
        """Asks the broker for the topic, and joins nothing yet.

        Args:
            settings: the operator's.
            db: the poll thread's own connection.
            ownership: told what is assigned and read.
            clock: tells the time.
            call_seconds: how long a call of a partition's former owner may still be under way.

        Raises:
            ConfigError: the operator's properties cannot be used.
            KafkaError: no broker answers, it refuses the credentials, or there is no such topic.
        """
        self._settings = settings
        self._db = db
        self._ownership = ownership
        self._clock = clock
        self._problems = Problems()
        self._uncommitted: dict[int, int] = {}
        self._committed_at = time.monotonic()
        self._assignments = 0
        self._call_seconds = call_seconds
        self._unclaimed: dict[int, float] = {}
        self.released = False
        """Set before the end, where no call is under way that the next owner must wait for."""
        self._instance = offsets.instance_id(db, f"worker-{uuid.uuid4()}")
        admin = client(AdminClient, settings, {"error_cb": self._problems})
        self.partitions, cluster_id = partitions_of_topic(admin, settings, self._problems)
        own = {
            "group.id": settings.group_id,
            # A member that comes back under its name gets what it had, which partitions added since are not part of.
            "group.instance.id": f"{self._instance}-of-{self.partitions}",
            "client.id": self._instance,
            "group.protocol": "classic",
            "partition.assignment.strategy": "range,roundrobin",  # all partitions at once, not step by step
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "queued.max.messages.kbytes": QUEUED_KIB,
            "fetch.queue.backoff.ms": 20,
            "error_cb": self._problems,
        }
        self._consumer = client(LibraryConsumer, settings, own)
        try:
            self._identity = TopicIdentity(settings, cluster_id)
            telling = None if cluster_id.startswith(MOCK) else admin
            self._away = Away(settings, db, ownership, clock, telling, self._bounds)
            self.topic_id = self._identity.now()
            self._began = time.monotonic()
            self._begin_batch()
        except BaseException:
            self._consumer.close()
            raise

    def read(self, stop: Stop, progress: Progress = lambda count: None) -> None:
        """Joins the group, and reads and stages until it is time to stop.

        Raises:
            ConsumerStopped: the group will not have this worker any more.
            KafkaError: what a partition's start depends on cannot be asked.
            DatabaseError: nothing can be staged.
        """
        self._consumer.subscribe(
            [self._settings.topic], on_assign=self._given, on_revoke=self._revoked, on_lost=self._lost
        )
        try:
            while not stop.is_set():
                progress(self._read_some())
            progress(self._write())
        except KafkaException as error:
            raise ConsumerStopped(f"Kafka cannot be read: {_told(error)}.", "Start the worker again.") from error
        finally:
            owned = self._ownership.owned()
            self._ownership.taken(owned)
            if self.released:
                self._release(owned)
            self._commit()
            self._consumer.close()

    def _read_some(self) -> int:
        behind = self._ownership.behind()
        # Before too: what is assigned within may be asked for before it returns.
        self._ownership.polled()
        messages = self._waiting(behind)
        self._ownership.polled()
        if self._problems.fatal is not None:
            raise _stopped(self._problems.fatal)
        if self._away.slept():
            self._begin_again()
            return 0
        records = []
        for message in messages:
            if message.error() is None:
                records.append(_record(message))
            else:
                self._notices.append(message)
        self._away.saw(records)
        self._batch.add(records)
        grown = time.monotonic() - self._began >= (BEHIND_SECONDS if behind else UP_TO_DATE_SECONDS)
        if messages and not grown and self._batch.kept < MOST_KEPT:
            return 0
        return self._write()

    def _waiting(self, behind: bool) -> list[Message]:
        # Waits for one message, then takes all that are there.
        if self._batch.size or self._notices:
            first = self._consumer.poll(LINGER_SECONDS if behind else 0)
        else:
            first = self._consumer.poll(WAIT_SECONDS)
            self._began = time.monotonic()
        if first is None:
            return []
        assignments = self._assignments
        others = self._consumer.consume(MOST_AT_ONCE - 1, 0)
        # A rebalance between the two begins anew from what is stored, which the first message is not.
        return [first, *others] if assignments == self._assignments else others

    def _write(self) -> int:
        # Stages what was read; only then is the rest of the worker told of it.
        batch, notices = self._batch, self._notices
        self._begin_batch()
        if batch.size:
            batch.write(as_text(self._clock()), self._away.behind(batch.next_offsets), self._away.again)
            self._uncommitted |= batch.next_offsets
            for partition, next_offset in batch.next_offsets.items():
                self._read_to(partition, next_offset, at_end=False)
        for message in notices:
            self._heed(message)
        self._claim()
        self._away.watch()
        if self._identity.watch() not in (None, self.topic_id):
            self._begin_again()
        if not batch.size or time.monotonic() - self._committed_at > COMMIT_SECONDS:
            self._commit()
        return batch.size

    def _begin_batch(self) -> None:
        self._batch = Batch(self._db, self._settings.topic, self.topic_id, self.partitions)
        self._notices: list[Message] = []

    def _heed(self, message: Message) -> None:
        error, partition = message.error(), message.partition()
        assert error is not None, "only messages with an error come here"
        if error.code() == LibraryError._PARTITION_EOF and partition is not None:
            self._read_to(partition, message.offset() or 0, at_end=True)
        elif error.code() in (LibraryError._AUTO_OFFSET_RESET, LibraryError.OFFSET_OUT_OF_RANGE):
            self._begin_again()
        elif error.fatal():
            raise _stopped(error)
        else:
            log.warning("Kafka: %s", error.str())

    def _read_to(self, partition: int, next_offset: int, *, at_end: bool) -> None:
        # First what follows from it, then a flush may begin.
        self._away.reached(partition, next_offset, at_end=at_end)
        self._ownership.read_to(partition, next_offset, at_end=at_end)

    # Where reading begins

    def _given(self, consumer: LibraryConsumer, assigned: Sequence[TopicPartition]) -> None:
        self._assignments += 1
        self.topic_id = self._identity.now()
        compaction = self._away.ask()
        starts, spans, again = [], {}, {}
        for one in assigned:
            start, high = self._start(one.partition, compaction)
            starts.append(TopicPartition(self._settings.topic, one.partition, start.offset))
            spans[one.partition] = start.offset, high
            if start.event == "away":
                known = offsets.next_of(self._db, self._settings.topic, self.topic_id, one.partition)
                again[one.partition] = known or 0
        waits = self._waits(assigned)
        consumer.assign(starts)
        self._begin_batch()
        self._away.given(self.topic_id, {one: high for one, (start, high) in spans.items() if start < high}, again)
        self._ownership.given(spans, waits, again)
        now = time.monotonic()
        self._unclaimed = {partition: now + waits.get(partition, 0.0) for partition in spans}

    def _begin_again(self) -> None:
        # The log is not what it was when these partitions were assigned.
        self._given(self._consumer, self._consumer.assignment())

    def _start(self, partition: int, compaction: Compaction | None) -> tuple[Start, int]:
        topic, now = self._settings.topic, self._clock()
        low, high = self._bounds(partition)
        readings = offsets.of_topic(self._db, topic)
        start = start_of(readings, self.topic_id, partition, low, high, compaction, now)
        goes_on = start.event is None and offsets.next_of(self._db, topic, self.topic_id, partition) is not None
        if start.event is not None:
            log.warning("%s", start.notice)
        with self._db.transaction():
            if start.event is not None:
                counts.add(self._db, topic, partition, {start.event: 1})
            # A time that is old stays so until the end is reached, so that a crash before that leaves no trace.
            if start.event != "away" and not (goes_on and start.offset < high):
                offsets.move_on(self._db, topic, self.topic_id, partition, start.offset, as_text(now))
        return start, high

    def _bounds(self, partition: int) -> tuple[int, int]:
        return bounds(self._consumer, self._settings, partition, self._problems)

    def _revoked(self, consumer: LibraryConsumer, partitions: Sequence[TopicPartition]) -> None:
        self._ownership.taken([one.partition for one in partitions])
        self._away.taken()
        self._begin_batch()
        self._commit()
        self._unclaimed = {}

    def _lost(self, consumer: LibraryConsumer, partitions: Sequence[TopicPartition]) -> None:
        self._ownership.taken([one.partition for one in partitions])
        self._away.taken()
        self._begin_batch()
        self._uncommitted = {}
        self._unclaimed = {}

    # Who had a partition last: its name stands beside the offset that is committed

    def _waits(self, assigned: Sequence[TopicPartition]) -> dict[int, float]:
        # Returns how long to wait for calls of others: Mailchimp would take them as well as this worker's.
        try:
            known = self._consumer.committed(list(assigned), timeout=ANSWER_SECONDS) if assigned else []
        except KafkaException as error:
            raise unreachable(self._settings, self._problems.last, error) from error
        others = [one.partition for one in known if one.metadata and one.metadata != self._instance]
        if others and self._call_seconds:
            told = ", ".join(str(one) for one in others)
            log.info("partition %s was another worker's: its last calls may take %.0f s", told, self._call_seconds)
        return dict.fromkeys(others, self._call_seconds)

    def _claim(self) -> None:
        # Also where nothing is read: whoever comes next must know that this worker was here.
        now = time.monotonic()
        for partition in [one for one, after in self._unclaimed.items() if now >= after]:
            del self._unclaimed[partition]
            next_offset = offsets.next_of(self._db, self._settings.topic, self.topic_id, partition)
            if next_offset is not None:
                self._uncommitted.setdefault(partition, next_offset)

    def _release(self, partitions: Collection[int]) -> None:
        for partition in partitions - self._unclaimed.keys():
            next_offset = offsets.next_of(self._db, self._settings.topic, self.topic_id, partition)
            if next_offset is not None:
                self._uncommitted[partition] = next_offset

    # For tools that measure lag: reading itself goes on from SQLite

    def _commit(self) -> None:
        self._committed_at = time.monotonic()
        positions = [
            TopicPartition(self._settings.topic, partition, offset, metadata="" if self.released else self._instance)
            for partition, offset in self._uncommitted.items()
            if partition not in self._unclaimed
        ]
        self._uncommitted = {one: offset for one, offset in self._uncommitted.items() if one in self._unclaimed}
        if not positions:
            return
        try:
            self._consumer.commit(offsets=positions, asynchronous=True)
        except KafkaException as error:
            log.debug("offsets were not committed: %s", _told(error))


def _stopped(error: LibraryError) -> ConsumerStopped:
    return ConsumerStopped(
        f"Kafka ended this worker's membership: {error.str()}.",
        "Start it again; if that repeats, look for another worker with a copy of this database.",
    )


def _told(error: KafkaException) -> str:
    cause = error.args[0] if error.args else error
    return cause.str() if isinstance(cause, LibraryError) else str(cause)


def _record(message: Message) -> Record:
    headers: Any = message.headers()
    return Record(
        message.partition(),  # type: ignore[arg-type]  # a message without an error stands in a partition
        message.offset(),  # type: ignore[arg-type]
        message.key(),
        message.value(),
        tuple(headers) if headers else (),
    )
