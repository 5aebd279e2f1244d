"""Commits changes: rows of ledger and settings to Kafka first, then everything to the database."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TypeVar

from worker.changelog import outcome_records
from worker.changelog.outcome_records import outcome_text
from worker.changelog.partition_writer import Beside, PartitionWriter, Record
from worker.changelog.records import key_of, value_of
from worker.changelog.signatures import Role, Signatures
from worker.changelog.table_rows import ChangelogRow, apply, rows_of
from worker.changelog.topics import ChangelogTopic, ChangelogTopics, topics
from worker.clock import Clock, as_text
from worker.config import Kafka
from worker.errors import KafkaError, PartitionGivenUp, WriterFenced
from worker.metrics import Metrics
from worker.model import AccountId
from worker.sqlite.changed_rows import Changed, RowKey
from worker.sqlite.database import Database
from worker.store import dead_letters, offsets

MOST_TRIES = 10
"""How often a change is retried because another worker, command or thread changed what it depends on."""

OF_SETTINGS = ("account", "erasure")
"""Kinds of rows in the settings topic."""

MOST_SIDE_BY_SIDE = 32
"""Partitions written in parallel."""

BY_PARTITION = frozenset({"settings", "outcomes"})
"""Subjects of notes that each partition of the ledger has, read with it."""

_Result = TypeVar("_Result")
_Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Records of one partition that Kafka has accepted."""

    topic: ChangelogTopic
    partition: int
    writer: PartitionWriter
    offsets: range


class _ChangedMeanwhile(Exception):
    """The transaction would write other rows than those sent to Kafka."""


class ChangelogWriter:
    """Writes changes to Kafka, then to a database. Thread-safe; connects when first needed.

    So Kafka is never behind the database: after a crash, the next start reads what only Kafka has. A partition of these
    topics is written only by the worker that took it over last, see :meth:`take`.

    Attributes:
        lost: called when a partition of the ledger can no longer be written, with its number and whether another writer
            took it over.
        take_settings: takes the settings topic over again and reads it to its end, after another writer took it over.
    """

    def __init__(
        self,
        settings: Kafka,
        clock: Clock,
        signatures: Callable[[], Signatures],
        metrics: Metrics | None = None,
        *,
        outcomes: bool = False,
    ) -> None:
        self._signatures = signatures
        self._settings = settings
        self._outcomes = outcomes
        self._clock = clock
        self._metrics = metrics or Metrics()
        self._lock = threading.Lock()
        self._settings_lock = threading.Lock()
        self._writers: dict[_Place, PartitionWriter] = {}
        self._failed: dict[_Place, KafkaError] = {}
        self.lost: Callable[[int, bool], None] = lambda partition, fenced: None
        self.take_settings: Callable[[], None] | None = None

    @cached_property
    def topics(self) -> ChangelogTopics:
        """The topics, created if necessary.

        Raises:
            KafkaError: no broker answers, or a topic is missing, cannot be created, or has an unfit config.
        """
        return topics(self._settings, outcomes=self._outcomes)

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
        beside = Beside(outcomes.name, outcome_records.HEADERS) if outcomes is not None else None
        role: Role = "ledger" if topic == self.topics.ledger else "settings"
        sign = partial(self._signatures().headers_of, role)
        writer = PartitionWriter(self._settings, topic.name, partition, sign, beside)
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
            self.take(topic, partition, lambda partition=partition: read(partition))  # type: ignore[misc]

    def keep_only(self, partitions: Collection[int]) -> None:
        """Releases all ledger partitions but these, and serves librdkafka's callbacks."""
        with self._lock:
            name = self.topics.ledger.name
            for place in [one for one in self._writers if one[0] == name and one[1] not in partitions]:
                del self._writers[place]
            writers = list(self._writers.values())
        for writer in writers:
            writer.poll()

    # Writing

    def write(
        self, rows: Sequence[ChangelogRow], *, told: Sequence[ChangelogRow] = (), erase: bool = False
    ) -> list[Acknowledged]:
        """Writes rows and waits until all in-sync replicas have them.

        Rows of one partition are written all or none. The ledger's partitions are written in parallel, then the
        settings.

        Args:
            rows: in their new state.
            told: those of them with new outcomes, for the outcomes topic.
            erase: whether deleted rows must be erased.

        Raises:
            WriterFenced: somebody else took over a partition.
            PartitionGivenUp: this worker gave a partition up before.
            KafkaError: they may not have been written, so nothing that depends on them may be committed.
        """
        ledger: dict[int, list[Record]] = defaultdict(list)
        settings: dict[int, list[Record]] = defaultdict(list)
        for one in rows:
            topic, partition = self._place(one)
            parts = ledger if topic == self.topics.ledger else settings
            parts[partition].append((key_of(one), value_of(one, erase=erase)))
        beside: dict[int, list[Record]] = defaultdict(list)
        for one in told if self._outcomes else ():
            beside[self._place(one)[1]].append(outcome_records.record_of(one))
        return self._side_by_side(self.topics.ledger, ledger, beside) + [
            self._write_part(self.topics.settings, partition, records) for partition, records in settings.items()
        ]

    def _side_by_side(
        self, topic: ChangelogTopic, parts: Mapping[int, Sequence[Record]], beside: Mapping[int, Sequence[Record]]
    ) -> list[Acknowledged]:
        work = [(topic, partition, records, beside.get(partition, ())) for partition, records in parts.items()]
        if len(work) <= 1:
            return [self._write_part(*one) for one in work]
        with ThreadPoolExecutor(min(len(work), MOST_SIDE_BY_SIDE), thread_name_prefix="changelog") as pool:
            written = [pool.submit(self._write_part, *one) for one in work]
        return [one.result() for one in written]

    def failure_of(self, account_id: AccountId) -> KafkaError | None:
        """Returns why the ledger of an account cannot be written; None if it can."""
        place = self.topics.ledger.name, self.ledger_partition(account_id)
        with self._lock:
            return self._failed.get(place) or (None if place in self._writers else _given_up(*place))

    def _place(self, one: ChangelogRow) -> tuple[ChangelogTopic, int]:
        if one.kind == "topic":
            # Each topic names the other one: the ledger in every partition, since workers read them one by one.
            about, partition = one.key
            return (self.topics.ledger, int(partition)) if about in BY_PARTITION else (self.topics.settings, 0)
        topic = self.topics.settings if one.kind in OF_SETTINGS else self.topics.ledger
        return topic, topic.partition_of(one.key[0])

    def write_again(self, topic: ChangelogTopic, partition: int, records: Sequence[Record]) -> None:
        """Rewrites records in their order, signed with the current key.

        Raises:
            KafkaError: they may not have been written.
        """
        self._write_part(topic, partition, records)

    def write_through(self, db: Database, rows: Sequence[ChangelogRow], told: Sequence[ChangelogRow] = ()) -> None:
        """Writes rows to Kafka, then into a database.

        Args:
            db: outside of a transaction.
            rows: of partitions that were taken over.
            told: customer statuses for the outcomes topic only.

        Raises:
            KafkaError: Kafka may not have accepted them.
            DatabaseError: they cannot be written.
        """
        acknowledged = self.write(rows, told=told)
        with db.transaction():
            apply(db, rows)
            self._note(db, acknowledged)
        for one in acknowledged:
            one.writer.committed(one.offsets)

    def _write_part(
        self, topic: ChangelogTopic, partition: int, records: Sequence[Record], beside: Sequence[Record] = ()
    ) -> Acknowledged:
        with self._lock:
            writer = self._writers.get((topic.name, partition))
        try:
            if writer is None:
                raise _given_up(topic.name, partition)
            began = time.monotonic()
            written = writer.write(records, beside)
            self._metrics.changelog_written(time.monotonic() - began)
            return Acknowledged(topic, partition, writer, written)
        except KafkaError as error:
            with self._lock:
                if writer is not None and self._writers.get((topic.name, partition)) is writer:
                    del self._writers[topic.name, partition]
                    self._failed[topic.name, partition] = error
            if topic == self.topics.ledger and writer is not None:
                self.lost(partition, isinstance(error, WriterFenced))
            raise

    # Commits: Kafka first, without locking the database meanwhile

    def commit(self, db: Database, act: Callable[[], Changed[_Result]], *, erase: bool = False) -> _Result:
        """Commits what a function writes in one transaction, after Kafka has its rows of ledger and settings.

        First the function is rehearsed, and what it would write is taken back. Its rows go to Kafka while the database
        is not locked. If nobody else has written meanwhile, what was rehearsed is written in a transaction. Else the
        function writes again, and that is committed if the rows are the same.

        Args:
            db: outside of a transaction.
            act: writes to the database, and nothing else: it is called more than once. It returns which rows it wrote.
            erase: whether rows that are gone must be forgotten in Kafka too.

        Returns:
            What the function returned beside its rows.

        Raises:
            DatabaseError: it could not be begun or committed.
            WriterFenced: another worker took a partition of the ledger; nothing is committed.
            KafkaError: Kafka may not have taken the rows, or they changed each time; nothing is committed.
        """
        given = dict[RowKey, None]()  # what Kafka may have and the database has not
        acknowledged: list[Acknowledged] = []
        for _ in range(MOST_TRIES):
            with db.rehearsal() as rehearsal:
                changed = act()
                rows = rows_of(db, [*given, *changed.rows])
                _refuse_unread(db, rows, erase=erase)
            given |= dict.fromkeys(RowKey(one.kind, one.key) for one in rows)
            try:
                told = self._told(db, rows, erase=erase)
                acknowledged += self.write(rows, told=told, erase=erase) if rows else []
            except WriterFenced:
                if not self._may_try_again(rows):
                    raise
                continue
            with suppress(_ChangedMeanwhile):
                with db.transaction():
                    if not db.repeat(rehearsal):
                        changed = act()
                        if not _same(rows, rows_of(db, [*given, *changed.rows])):
                            raise _ChangedMeanwhile
                    if changed.rest is not None:
                        changed.rest()
                    self._note(db, acknowledged)
                for one in acknowledged:
                    one.writer.committed(one.offsets)
                return changed.result
        raise KafkaError(
            f"Ledger or settings were changed by others each of {MOST_TRIES} times while Kafka was asked.",
            "Nothing was confirmed. Try again.",
        )

    def _told(self, db: Database, rows: Sequence[ChangelogRow], *, erase: bool) -> list[ChangelogRow]:
        # The customer statuses whose outcome differs from the committed one.
        if not self._outcomes:
            return []
        customers = [one for one in rows if one.kind == "customer"]
        before = {one.key: outcome_text(one) for one in rows_of(db, [RowKey("customer", one.key) for one in customers])}
        return [one for one in customers if outcome_text(one) != before[one.key] or (erase and one.row is None)]

    def _may_try_again(self, rows: Sequence[ChangelogRow]) -> bool:
        # Only the settings are shared: a worker that lost a partition of the ledger must not continue.
        ledger = self.topics.ledger
        with self._lock:
            held = {partition for name, partition in self._writers if name == ledger.name}
        if self.take_settings is None or not held >= {
            ledger.partition_of(one.key[0]) for one in rows if one.kind not in (*OF_SETTINGS, "topic")
        }:
            return False
        partitions = self.topics.settings.partitions
        with self._settings_lock:
            with self._lock:
                held_all = all((self.topics.settings.name, one) in self._writers for one in range(partitions))
            if not held_all:
                self.take_settings()
        return True

    def _note(self, db: Database, acknowledged: Sequence[Acknowledged]) -> None:
        at = as_text(self._clock())
        for one in acknowledged:
            place = one.topic.name, one.topic.topic_id, one.partition
            known = offsets.next_of(db, *place)
            if known is not None:
                next_offset = one.writer.next_offset(one.offsets, known)
                if next_offset > known:
                    offsets.move_on(db, *place, next_offset, at)


def _given_up(topic: str, partition: int) -> PartitionGivenUp:
    return PartitionGivenUp(
        f"Partition {partition} of {topic} is not this worker's to write any more.", "Nothing was confirmed. Try again."
    )


def _refuse_unread(db: Database, rows: Sequence[ChangelogRow], *, erase: bool) -> None:
    letters = [] if erase or not rows else dead_letters.of_changelog(db)
    unread = {one.key: one for one in letters}
    for one in rows if unread else ():
        if (letter := unread.get(key_of(one))) is not None:
            raise KafkaError(
                "This release cannot apply the record that Kafka has, so the worker does not overwrite it: "
                f"{letter.reason}.",
                f"See mailchimp-worker dead-letters show {letter.number}. If a later release wrote it, run that one.",
            )


def _same(some: Sequence[ChangelogRow], others: Sequence[ChangelogRow]) -> bool:
    return {(one.kind, one.key): one.row for one in some} == {(one.kind, one.key): one.row for one in others}
