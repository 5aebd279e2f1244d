"""Signs existing records: once after releases that did not sign, and after a change of the secret key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from worker.changelog import table_rows
from worker.changelog.backfill import take_everything
from worker.changelog.partition_writer import KeyValue
from worker.changelog.records import changelog_row_of
from worker.changelog.signatures import SIGNED, Signatures, SignedFrom, place_of
from worker.changelog.signed_from import SignedFromLookup
from worker.changelog.table_rows import ChangelogRow
from worker.changelog.topic_log import TopicLog
from worker.changelog.topics import ChangelogTopic
from worker.changelog.writer import ChangelogWriter
from worker.config import Kafka
from worker.errors import NotSigned
from worker.sqlite.database import Database
from worker.sqlite.rows import RowKey
from worker.store import dead_letters, settings_notes
from worker.store.dead_letters import DeadLetter
from worker.text.plural import counted


@dataclass(frozen=True, slots=True)
class Signing:
    """Rewrites all records of both topics, signed with the current key.

    Attributes:
        progress: called with how many records were written so far.
    """

    kafka: Kafka
    changelog: ChangelogWriter
    db: Database
    signatures: Signatures
    progress: Callable[[int], None]

    def unsigned(self) -> bool:
        """Returns whether a partition is not signed by any key in force.

        Raises:
            KafkaError: it cannot be read.
        """
        signed_from = SignedFromLookup(self.kafka, self.changelog.topics, self.db, lambda: self.signatures)
        try:
            for topic, partition in self.changelog.topics.partitions():
                signed_from.of(topic, partition)
        except NotSigned:
            return True
        return False

    def write_again(self, *, first_time: bool, believe: bool = False) -> Counter[str]:
        """Rewrites everything and records from which offset it is signed. If it fails, nothing counts: repeat it.

        Args:
            first_time: whether to accept unsigned records that no signed one precedes, as an earlier release wrote
                them. Otherwise they are not rewritten, and nothing is recorded if one of them is the newest of its key.
            believe: whether to accept them after signed ones too, if the earlier release was still running.

        Returns:
            How many records there were: by topic, and "signed" for those that were signed before.

        Raises:
            NotSigned: somebody else wrote records, which an operator must look at.
            KafkaError: not everything may have been written.
        """
        take_everything(self.changelog)
        counts, starts = Counter[str](), dict[str, int]()
        with closing(TopicLog(self.kafka)) as topic_log:
            for topic, partition in self.changelog.topics.partitions():
                end = self._copy(topic_log, topic, partition, counts, first_time=first_time, believe=believe)
                starts[place_of(topic, partition)] = end
        # The database reads it like any other: it may not have read what came before.
        self.changelog.write([SignedFrom(starts).row(self.signatures)])
        return counts

    def _copy(
        self,
        topic_log: TopicLog,
        topic: ChangelogTopic,
        partition: int,
        counts: Counter[str],
        *,
        first_time: bool,
        believe: bool,
    ) -> int:
        # Returns where the partition ended before; the copies follow.
        role = self.changelog.topics.role_of(topic)
        low, end = topic_log.bounds(topic.name, partition)
        since = SignedFrom.from_text(settings_notes.text_of(self.db, SIGNED), self.signatures).offset_of(
            topic, partition
        )
        refused, signed = set[bytes | None](), False
        for records in topic_log.records(topic.name, partition, low, end):
            copies: list[KeyValue] = []
            for record in records:
                flaw = self.signatures.flaw_of(role, record.key, record.value, record.headers)
                counts["signed"] += flaw is None
                signed = signed or flaw is None
                if flaw is not None and not (first_time and (believe or not signed)):
                    if record.offset >= (since or 0):
                        refused.add(record.key)
                    continue
                refused.discard(record.key)
                copies.append((record.key or b"", record.value))
            if copies:
                self.changelog.write_part(topic, partition, copies)
                counts[role] += len(copies)
                self.progress(counts.total() - counts["signed"])
        if refused:
            raise NotSigned(
                f"Partition {partition} of {topic.name} has {counted(len(refused), 'record')} that are not signed "
                f"with a secret key that this worker has, so nothing was changed.",
                "Find out who wrote them; then: mailchimp-worker ledger sign"
                + (" --believe, if it was an earlier release that still ran" if first_time else ""),
            )
        return end

    def refused(self) -> list[DeadLetter]:
        """Returns the rejected records of accounts, as far as this database has read."""
        return [letter for letter in dead_letters.of_changelog(self.db) if self._flaw_of(letter) is not None]

    def resolve_refused(self, resolution: Literal["restore", "drop", "believe"]) -> Counter[str]:
        """Resolves rejected records. This database must have read everything, as the topics' writer.

        Args:
            resolution: restore: overwrite them with this database's rows · drop: also delete those of which this
                database has no row · believe: rewrite them, signed.

        Returns:
            How many were "restored", "dropped" or "believed", and how many are "left".

        Raises:
            KafkaError: not all may have been written.
        """
        counts, topics = Counter[str](), self.changelog.topics
        for letter in self.refused():
            refused = changelog_row_of(letter.key, letter.value)
            keys = [RowKey(refused.kind, refused.key)] if isinstance(refused, ChangelogRow) else []
            rows = table_rows.rows_of(self.db, keys)
            current = [row for row in rows if row.row is not None]
            topic = topics.named(letter.topic)
            if resolution == "believe":
                self.changelog.write_part(topic, letter.partition, [(letter.key or b"", letter.value)])
                counts["believed"] += 1
            elif current:
                self.changelog.write_through(self.db, current)
                counts["restored"] += 1
            elif resolution == "drop":
                self.changelog.write_part(topic, letter.partition, [(letter.key or b"", None)])
                counts["dropped"] += 1
            else:
                counts["left"] += 1
                continue
            with self.db.transaction():
                dead_letters.drop(self.db, letter.number)
        return counts

    def _flaw_of(self, letter: DeadLetter) -> str | None:
        topics = self.changelog.topics
        role = topics.role_of(topics.named(letter.topic))
        return self.signatures.flaw_of(role, letter.key, letter.value, letter.headers)
