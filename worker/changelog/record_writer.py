"""Writes rows of ledger and settings to Kafka, in the partitions that this process took over."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial

from worker.changelog import outcome_records
from worker.changelog.partition_writer import KeyValue, PartitionWriter, SecondTopic
from worker.changelog.records import key_of, value_of
from worker.changelog.signatures import Signatures
from worker.changelog.table_rows import ChangelogRow, apply
from worker.changelog.topics import ChangelogTopic, ChangelogTopics, topics
from worker.clock import Clock, as_text
from worker.config import Kafka
from worker.errors import KafkaError, PartitionGivenUp, WriterFenced
from worker.metrics import Metrics
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.sqlite.rows import RowKey
from worker.store import offsets

OF_SETTINGS = ("account", "erasure")
"""Kinds of rows in the settings topic."""

MOST_SIDE_BY_SIDE = 32
"""Partitions written in parallel."""

BY_PARTITION = frozenset({"settings", "outcomes"})
"""Subjects of notes that each partition of the ledger has, read with it."""

_Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Records of one partition that Kafka has accepted."""

    topic: ChangelogTopic
    partition: int
    writer: PartitionWriter
    offsets: range


@dataclass(eq=False)
class RecordWriter:
    """Writes rows to Kafka. Thread-safe; connects when first needed.

    A partition of these topics is written only by the worker that took it over last, see :meth:`take`.

    Attributes:
        publishes_outcomes: whether customers' outcomes have a topic.
        lost: called when a partition of the ledger can no longer be written, with its number and whether another writer
            took it over.
    """

    settings: Kafka
    clock: Clock
    signatures: Callable[[], Signatures]
    metrics: Metrics = field(default_factory=Metrics)
    publishes_outcomes: bool = field(default=False, kw_only=True)
    lost: Callable[[int, bool], None] | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _writers: dict[_Place, PartitionWriter] = field(default_factory=dict, init=False)
    _failed: dict[_Place, KafkaError] = field(default_factory=dict, init=False)

    @cached_property
    def topics(self) -> ChangelogTopics:
        """The topics, created if necessary.

        Raises:
            KafkaError: no broker answers, or a topic is missing, cannot be created, or has an unfit config.
        """
        return topics(self.settings, outcomes=self.publishes_outcomes)

    def ledger_partition(self, account_id: AccountId) -> int:
        """Returns the ledger's partition of an account."""
        return self.topics.ledger.partition_of(account_id)

    # Taking partitions over

    def take(self, topic: ChangelogTopic, partition: int, read: Callable[[], None]) -> None:
        """Becomes the only writer of a partition, and reads all of it before writing.

        Args:
            topic: one of the two.
            partition: need not exist.
            read: brings the database up to the partition's end, when nobody else can write to it any more.

        Raises:
            KafkaError: it cannot be taken over or read.
            DatabaseError: what was read cannot be written.
        """
        if partition >= topic.partitions:
            return
        outcomes = self.topics.outcomes if topic == self.topics.ledger else None
        second_topic = SecondTopic(outcomes.name, outcome_records.HEADERS) if outcomes is not None else None
        sign = partial(self.signatures().headers_of, self.topics.role_of(topic))
        writer = PartitionWriter(self.settings, topic.name, partition, sign, second_topic)
        writer.open()
        read()
        with self._lock:
            self._writers[topic.name, partition] = writer
            self._failed.pop((topic.name, partition), None)

    def take_all_settings(self, read: Callable[[int], None]) -> None:
        """Becomes the only writer of all settings, until somebody else does.

        Args:
            read: brings the database up to a partition's end.

        Raises:
            KafkaError: they cannot be taken over or read.
            DatabaseError: what was read cannot be written.
        """
        topic = self.topics.settings
        for partition in range(topic.partitions):
            self.take(topic, partition, partial(read, partition))

    def keep_only(self, partitions: Collection[int]) -> None:
        """Releases all ledger partitions but these, and serves librdkafka's callbacks."""
        with self._lock:
            name = self.topics.ledger.name
            for place in [place for place in self._writers if place[0] == name and place[1] not in partitions]:
                del self._writers[place]
            writers = list(self._writers.values())
        for writer in writers:
            writer.poll()

    # Writing

    def write(
        self,
        rows: Sequence[ChangelogRow],
        *,
        outcome_rows: Sequence[ChangelogRow] = (),
        erased: Collection[RowKey] = (),
    ) -> list[Acknowledged]:
        """Writes rows and waits until all in-sync replicas have them.

        Rows of one partition are written all or none. The ledger's partitions are written in parallel, then the
        settings.

        Args:
            rows: in their new state.
            outcome_rows: those of them with new outcomes, for the outcomes topic.
            erased: keys of those deleted rows that must be erased.

        Raises:
            WriterFenced: somebody else took over a partition.
            PartitionGivenUp: this worker gave a partition up before.
            KafkaError: they may not have been written, so nothing that depends on them may be committed.
        """
        ledger: dict[int, list[KeyValue]] = defaultdict(list)
        settings: dict[int, list[KeyValue]] = defaultdict(list)
        for row in rows:
            topic, partition = self._place(row)
            parts = ledger if topic is self.topics.ledger else settings
            parts[partition].append((key_of(row), value_of(row, erase=row.row_key in erased)))
        second_records: dict[int, list[KeyValue]] = defaultdict(list)
        for row in outcome_rows:
            second_records[self._place(row)[1]].append(outcome_records.record_of(row))
        return self._side_by_side(self.topics.ledger, ledger, second_records) + [
            self.write_part(self.topics.settings, partition, records) for partition, records in settings.items()
        ]

    def _side_by_side(
        self,
        topic: ChangelogTopic,
        parts: Mapping[int, Sequence[KeyValue]],
        second_records: Mapping[int, Sequence[KeyValue]],
    ) -> list[Acknowledged]:
        work = [(topic, partition, records, second_records.get(partition, ())) for partition, records in parts.items()]
        if len(work) <= 1:
            return [self.write_part(*part) for part in work]
        with ThreadPoolExecutor(min(len(work), MOST_SIDE_BY_SIDE), thread_name_prefix="changelog") as pool:
            written = [pool.submit(self.write_part, *part) for part in work]
        return [future.result() for future in written]

    def failure_of(self, account_id: AccountId) -> KafkaError | None:
        """Returns why the ledger of an account cannot be written; None if it can."""
        place = self.topics.ledger.name, self.ledger_partition(account_id)
        with self._lock:
            return self._failed.get(place) or (None if place in self._writers else _given_up(*place))

    def _place(self, row: ChangelogRow) -> tuple[ChangelogTopic, int]:
        if row.kind == "topic":
            # Each topic names the other one: the ledger in every partition, since workers read them one by one.
            about, partition = row.key
            return (self.topics.ledger, int(partition)) if about in BY_PARTITION else (self.topics.settings, 0)
        topic = self.topics.settings if row.kind in OF_SETTINGS else self.topics.ledger
        return topic, topic.partition_of(row.key[0])

    def write_through(
        self, db: Database, rows: Sequence[ChangelogRow], outcome_rows: Sequence[ChangelogRow] = ()
    ) -> None:
        """Writes rows to Kafka, then into a database.

        Args:
            db: outside of a transaction.
            rows: of partitions that were taken over.
            outcome_rows: customer statuses for the outcomes topic only.

        Raises:
            KafkaError: Kafka may not have accepted them.
            DatabaseError: they cannot be written.
        """
        acknowledged = self.write(rows, outcome_rows=outcome_rows)
        with db.transaction():
            apply(db, rows)
            self._note(db, acknowledged)
        for part in acknowledged:
            part.writer.committed(part.offsets)

    def write_part(
        self,
        topic: ChangelogTopic,
        partition: int,
        records: Sequence[KeyValue],
        second_records: Sequence[KeyValue] = (),
    ) -> Acknowledged:
        """Writes records of one partition in their order, signed with the current key.

        Args:
            second_records: for the outcomes topic.

        Raises:
            KafkaError: they may not have been written.
        """
        with self._lock:
            writer = self._writers.get((topic.name, partition))
        try:
            if writer is None:
                raise _given_up(topic.name, partition)
            began = time.monotonic()
            written = writer.write(records, second_records)
            self.metrics.changelog_written(time.monotonic() - began)
            return Acknowledged(topic, partition, writer, written)
        except KafkaError as error:
            with self._lock:
                # Not if the partition was given up meanwhile, or taken again by another writer.
                in_use = writer is not None and self._writers.get((topic.name, partition)) is writer
                if in_use:
                    del self._writers[topic.name, partition]
                    self._failed[topic.name, partition] = error
            if topic == self.topics.ledger and in_use and self.lost is not None:
                self.lost(partition, isinstance(error, WriterFenced))
            raise

    def _note(self, db: Database, acknowledged: Sequence[Acknowledged]) -> None:
        at = as_text(self.clock())
        for part in acknowledged:
            place = part.topic.name, part.topic.topic_id, part.partition
            known = offsets.next_of(db, *place)
            if known is not None:
                next_offset = part.writer.next_offset(part.offsets, known)
                if next_offset > known:
                    offsets.move_on(db, *place, next_offset, at)


def _given_up(topic: str, partition: int) -> PartitionGivenUp:
    return PartitionGivenUp(
        f"Partition {partition} of {topic} is not this worker's to write any more.", "Nothing was confirmed. Try again."
    )
