"""Reads ledger and settings from Kafka into the database, to the end of both topics."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from worker.changelog import table_rows
from worker.changelog.loss import Note, check_beginning, check_identity, truncated
from worker.changelog.records import Unreadable, account_of, changelog_row_of
from worker.changelog.rows_in_kafka import TopicRow
from worker.changelog.signatures import Signatures
from worker.changelog.signed_from import SignedFromLookup
from worker.changelog.table_rows import ChangelogRow
from worker.changelog.topic_log import TopicLog
from worker.changelog.topics import ChangelogTopic, ChangelogTopics
from worker.clock import Clock, as_text
from worker.config import Kafka
from worker.consumer.decode import Record
from worker.consumer.messages import letter_of
from worker.consumer.start_offset import start_of
from worker.errors import NotMoved, NotSigned
from worker.metrics import Metrics
from worker.sqlite.database import Database
from worker.store import dead_letters, offsets, settings_notes, unowned
from worker.store.dead_letters import DeadLetter
from worker.store.offsets import NextOffset
from worker.text.plural import counted

log = logging.getLogger("worker.changelog")

MOST_REFUSED = 1000
"""Rejected records that are kept per partition; with more, reading stops."""


class Reader:
    """Brings a database up to date with Kafka. Not thread-safe."""

    def __init__(
        self,
        kafka: Kafka,
        topics: ChangelogTopics,
        db: Database,
        clock: Clock,
        signatures: Callable[[], Signatures],
        metrics: Metrics | None = None,
    ) -> None:
        """Reads nothing yet.

        Args:
            topics: both must exist.
            signatures: returns what verifies records; called when there is a record.

        Raises:
            ConfigError: the operator's properties cannot be used.
        """
        self._topics, self.db, self._clock, self._signatures = topics, db, clock, signatures
        self._metrics = metrics or Metrics()
        self._signed_from = SignedFromLookup(kafka, topics, db, signatures)
        self._log = TopicLog(kafka)

    def read_settings(self, partition: int | None = None) -> None:
        """Reads the accounts' settings to the end.

        Args:
            partition: of their topic; None for all.

        Raises:
            KafkaError: they cannot be read.
            NotMoved: this database has settings that were never in Kafka.
            DatabaseError: they cannot be written.
        """
        for number in range(self._topics.settings.partitions) if partition is None else (partition,):
            self._read(self._topics.settings, number)

    def check_signed(self) -> None:
        """Checks that the settings were written with a secret key in force.

        Raises:
            NotSigned: an earlier release, or one with another secret key, wrote them.
            KafkaError: they cannot be read.
        """
        for partition in range(self._topics.settings.partitions):
            self._signed_from.of(self._topics.settings, partition)

    def ledger_note(self) -> Note | None:
        """Returns the settings topic's note about the ledger, as far as it was read."""
        return self._note_about(self._topics.ledger, "")

    def settings_note(self, partition: int) -> Note | None:
        """Returns a ledger partition's note about the settings topic, as far as it was read."""
        return self._note_about(self._topics.settings, str(partition))

    def _note_about(self, topic: ChangelogTopic, subject: str) -> Note | None:
        note = Note.from_text(settings_notes.text_of(self.db, self._topics.role_of(topic), subject))
        return note if note is not None and note.name == topic.name else None

    def check_topics(self) -> None:
        """Checks that the settings are complete, and that the ledger topic is the one that they name.

        Raises:
            KafkaError: a topic cannot be queried.
            NotSigned: an earlier release, or one with another secret key, wrote the settings.
            LedgerLost: the check fails, and an operator must decide how to go on.
        """
        topic = self._topics.settings
        check_identity(self._topics.ledger, self.ledger_note(), topic.name)
        self.check_signed()
        for partition in range(topic.partitions):
            self._check_beginning(topic, partition)

    def check_ledger(self) -> None:
        """Checks that all ledger partitions begin where they did, and that those read name this settings topic.

        Raises:
            KafkaError: they cannot be queried.
            NotSigned: an earlier release, or one with another secret key, wrote one.
            LedgerLost: one fails.
        """
        ledger = self._topics.ledger
        for partition in range(ledger.partitions):
            self._signed_from.of(ledger, partition)
            self._check_settings_topic(partition)
            self._check_beginning(ledger, partition)

    def _check_settings_topic(self, partition: int) -> None:
        source = f"partition {partition} of {self._topics.ledger.name}"
        check_identity(self._topics.settings, self.settings_note(partition), source)

    def _check_beginning(self, topic: ChangelogTopic, partition: int) -> None:
        low, _ = self._log.bounds(topic.name, partition)
        note = self.ledger_note() or Note("", "")
        accepted = note.begins if topic == self._topics.ledger else note.settings_begin
        check_beginning(topic, partition, low, accepted)

    def check_ledger_exists(self) -> None:
        """Checks that the ledger topic was not deleted since it was read.

        Raises:
            KafkaError: it does not exist, or no broker answers.
        """
        self._log.bounds(self._topics.ledger.name, 0)

    def current_note(self) -> Note:
        """Returns the note about the ledger topic as it is now.

        Raises:
            KafkaError: a topic cannot be queried.
        """
        ledger, settings = self._topics.ledger, self._topics.settings
        return Note(ledger.name, ledger.topic_id, ledger.partitions, self._begins(ledger), self._begins(settings))

    def _begins(self, topic: ChangelogTopic) -> dict[int, int]:
        # Of partitions that do not begin at offset 0.
        lows = ((partition, self._log.bounds(topic.name, partition)[0]) for partition in range(topic.partitions))
        return {partition: low for partition, low in lows if low}

    def read_ledger(self, partition: int, keep_going: Callable[[], bool] = lambda: True) -> None:
        """Reads one partition of the ledger to its end.

        Args:
            partition: need not exist.

        Raises:
            KafkaError: it cannot be read.
            NotSigned: an earlier release, or one with another secret key, wrote it.
            LedgerLost: it is not complete.
            NotMoved: this database has a ledger that was never in Kafka.
            DatabaseError: it cannot be written.
        """
        ledger = self._topics.ledger
        if partition < ledger.partitions:
            unowned.ledger_back(self.db, ledger.name, ledger.topic_id, partition, as_text(self._clock()))
            self._check_beginning(ledger, partition)
            self._signed_from.of(ledger, partition)
            self._read(ledger, partition, keep_going)
            self._check_settings_topic(partition)

    def apply_dead_letters(self) -> int:
        """Applies earlier dead letters that this release can apply; returns how many.

        Raises:
            DatabaseError: they cannot be written.
        """
        applied = 0
        for letter in dead_letters.of_topics(self.db, self._topics.ledger.name, self._topics.settings.name):
            row = changelog_row_of(letter.key, letter.value)
            if isinstance(row, ChangelogRow) and not self._flaw_of(self._topics.named(letter.topic), letter):
                with self.db.transaction():
                    table_rows.apply(self.db, [row])
                    dead_letters.drop(self.db, letter.number)
                applied += 1
        if applied:
            applied_text = counted(applied, "ledger or settings record")
            log.info("applied %s that an earlier release could not apply", applied_text, extra={"count": applied})
        return applied

    def rows_of(self, topic: ChangelogTopic) -> Iterator[list[TopicRow]]:
        """Yields all rows of a topic, in the order of their records; of a key only the last one is its row now.

        Raises:
            NotSigned: an earlier release, or one with another secret key, wrote it.
            KafkaError: it cannot be read.
        """
        for partition in range(topic.partitions):
            self._signed_from.of(topic, partition)
            low, high = self._log.bounds(topic.name, partition)
            for records in self._log.records(topic.name, partition, low, high):
                rows = list[TopicRow]()
                for record in records:
                    row = changelog_row_of(record.key, record.value)
                    if isinstance(row, ChangelogRow) and not self._flaw_of(topic, record):
                        stray = topic.partition_of(row.key[0]) != partition
                        rows.append(TopicRow(row, record.value, stray))
                yield rows

    def note_read(self, topic: ChangelogTopic, partition: int) -> None:
        """Records that the database has a partition up to its end, in the caller's transaction.

        Raises:
            KafkaError: its end cannot be queried.
        """
        _, high = self._log.bounds(topic.name, partition)
        offsets.move_on(self.db, topic.name, topic.topic_id, partition, high, as_text(self._clock()))

    def reread_truncated(self) -> None:
        """Schedules rereading of partitions that end before an offset that was read already.

        Raises:
            KafkaError: their ends cannot be queried.
            DatabaseError: the note cannot be written.
        """
        for topic, partition in self._topics.partitions():
            known = offsets.next_of(self.db, topic.name, topic.topic_id, partition)
            if known is not None and known > self._log.bounds_beyond(topic.name, partition, known)[1]:
                with self.db.transaction():
                    offsets.forget(self.db, topic.name, topic.topic_id, partition)

    def close(self) -> None:
        """Closes the consumer."""
        self._log.close()

    def _read(self, topic: ChangelogTopic, partition: int, keep_going: Callable[[], bool] = lambda: True) -> None:
        # Before querying Kafka: what another thread writes later lies beyond the end that it reports.
        readings = offsets.of_topic(self.db, topic.name)
        next_offsets = {(reading.topic_id, reading.partition): reading.next_offset for reading in readings}
        known = next_offsets.get((topic.topic_id, partition))
        low, high = self._log.bounds_beyond(topic.name, partition, known or 0)
        start = self._start(topic, partition, readings, known, (low, high))
        if start == high == known:
            return
        if known is not None and start < known:
            with self.db.transaction():
                offsets.move_on(self.db, topic.name, topic.topic_id, partition, start, as_text(self._clock()))
        for records in self._log.records(topic.name, partition, start, high, keep_going):
            self._apply(topic, partition, records)
        if keep_going():
            self._note_end(topic, partition, high)

    def _start(
        self,
        topic: ChangelogTopic,
        partition: int,
        readings: Sequence[NextOffset],
        known: int | None,
        bounds: tuple[int, int],
    ) -> int:
        start = start_of(readings, topic.topic_id, partition, *bounds)
        if (known is None or start.event in ("cut", "recreated")) and self._has_its_own(topic, partition):
            lost = start.event in ("cut", "recreated")
            raise NotMoved(
                f"This database has {'settings' if topic == self._topics.settings else 'a ledger'} that Kafka's topic "
                f"{topic.name} does not have.",
                "Write what is missing there, once: mailchimp-worker move-ledger"
                + (", then continue with: mailchimp-worker ledger accept-loss" if lost else ""),
            )
        if start.event == "cut" and known is not None:
            raise truncated(topic, partition, known, bounds[1])
        return start.offset

    def _has_its_own(self, topic: ChangelogTopic, partition: int) -> bool:
        ledger, chosen = table_rows.accounts_known(self.db)
        accounts = chosen if topic == self._topics.settings else ledger
        return any(topic.partition_of(account_id) == partition for account_id in accounts)

    def _flaw_of(self, topic: ChangelogTopic, record: Record | DeadLetter) -> str | None:
        return self._signatures().flaw_of(self._topics.role_of(topic), record.key, record.value, record.headers)

    def _apply(self, topic: ChangelogTopic, partition: int, records: Sequence[Record]) -> None:
        flaws = [self._flaw_of(topic, record) for record in records]
        signed_from = self._signed_from.of(topic, partition) if any(flaws) else 0
        refused = 0
        with self.db.transaction():
            # Another process with this database, or the flush, may be further meanwhile.
            known = offsets.next_of(self.db, topic.name, topic.topic_id, partition) or 0
            at = as_text(self._clock())
            rows, letters, last = dict[bytes, ChangelogRow](), dict[bytes, DeadLetter](), known - 1
            for record, flaw in zip(records, flaws, strict=True):
                offset, key = record.offset, record.key or b""
                if offset < known:
                    continue
                last = offset
                if flaw is not None and offset < signed_from:
                    continue  # it was rewritten, signed
                row = changelog_row_of(key, record.value)
                if flaw is not None:
                    row, refused = Unreadable(flaw, account_of(row)), refused + 1
                letters.pop(key, None)
                if flaw is None:
                    rows.pop(key, None)  # the newest record of a key wins
                if isinstance(row, ChangelogRow):
                    rows[key] = row
                else:
                    letters[key] = _letter(topic, record, row, at)
            table_rows.apply(self.db, rows.values())
            dead_letters.drop_superseded(self.db, topic.name, [*rows, *letters])
            dead_letters.keep(self.db, list(letters.values()))
            if refused and dead_letters.count_of_topic(self.db, topic.name, partition) > MOST_REFUSED:
                raise NotSigned(
                    f"More than {MOST_REFUSED} records in partition {partition} of {topic.name} are not signed with "
                    "this worker's secret key, so it is not read on.",
                    "Find out who writes to that topic, and take the right from them: see the rights in "
                    "docs/operations.md.",
                )
            if last >= known:
                offsets.move_on(self.db, topic.name, topic.topic_id, partition, last + 1, at)
        if refused:
            self._metrics.changelog_refused(self._topics.role_of(topic), refused)

    def _note_end(self, topic: ChangelogTopic, partition: int, high: int) -> None:
        place = topic.name, topic.topic_id, partition
        with self.db.transaction():
            known = offsets.next_of(self.db, *place)
            if known is None or known < high:
                offsets.move_on(self.db, *place, high, as_text(self._clock()))


def _letter(topic: ChangelogTopic, record: Record, unreadable: Unreadable, at: str) -> DeadLetter:
    account_id, reason = unreadable.account_id, unreadable.reason
    place = {"topic": topic.name, "partition": record.partition, "offset": record.offset}
    log.error(
        "%s, partition %d, offset %d cannot be applied: %s%s",
        *place.values(),
        reason,
        f"; nothing is delivered for account {account_id}" if account_id else "",
        extra={"account": account_id, **place, "reason": reason},
    )
    return letter_of(topic.name, topic.topic_id, record, reason, at, account_id)
