"""The offset from which a partition's records are signed: from the note in the settings topic, or the first record."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from worker.changelog.records import key_of
from worker.changelog.signatures import SIGNED, WRONG, Signatures, SignedFrom, place_of
from worker.changelog.table_rows import ChangelogRow
from worker.changelog.topic_log import TopicLog
from worker.changelog.topics import ChangelogTopic, ChangelogTopics
from worker.config import Kafka
from worker.errors import NotSigned
from worker.sqlite.database import Database
from worker.store import settings_notes


class SignedFromLookup:
    """Finds where signed records begin, once per partition. Not thread-safe."""

    def __init__(
        self, kafka: Kafka, topics: ChangelogTopics, db: Database, signatures: Callable[[], Signatures]
    ) -> None:
        self._kafka, self._topics, self._db, self._signatures = kafka, topics, db, signatures
        self._offsets: dict[str, int] = {}

    def of(self, topic: ChangelogTopic, partition: int) -> int:
        """Returns the offset from which every record of a partition must be signed.

        Raises:
            NotSigned: an earlier release, or one with another secret key, wrote it.
            KafkaError: it cannot be read.
        """
        partition_name = place_of(topic, partition)
        if partition_name not in self._offsets:
            self._offsets[partition_name] = self._look(topic, partition)
        return self._offsets[partition_name]

    def _look(self, topic: ChangelogTopic, partition: int) -> int:
        signed_from = SignedFrom.from_text(settings_notes.text_of(self._db, SIGNED), self._signatures())
        if (offset := signed_from.offset_of(topic, partition)) is not None:
            return offset
        with closing(TopicLog(self._kafka)) as topic_log:
            flaw = self._flaw_of_first(topic_log, topic, partition)
            if flaw is None:
                return 0
            if (offset := self._note(topic_log).offset_of(topic, partition)) is not None:
                return offset
        raise _not_signed(topic, partition, flaw)

    def _flaw_of_first(self, topic_log: TopicLog, topic: ChangelogTopic, partition: int) -> str | None:
        for records in topic_log.records(topic.name, partition, *topic_log.bounds(topic.name, partition)):
            first = records[0]
            return self._signatures().flaw_of(self._topics.role_of(topic), first.key, first.value, first.headers)
        return None

    def _note(self, topic_log: TopicLog) -> SignedFrom:
        # For when this database does not have it yet.
        key, newest, topic = key_of(ChangelogRow("topic", (SIGNED, ""), None)), SignedFrom(), self._topics.settings.name
        for records in topic_log.records(topic, 0, *topic_log.bounds(topic, 0)):
            for record in records:
                if record.key == key:
                    signed_from = SignedFrom.from_record(record.value, self._signatures())
                    newest = signed_from if signed_from.offsets else newest
        return newest


def _not_signed(topic: ChangelogTopic, partition: int, flaw: str) -> NotSigned:
    if flaw == WRONG:
        return NotSigned(
            f"Partition {partition} of {topic.name} is not signed with a secret key that this worker has.",
            "Start with the secret key that the other workers have. After a change of the key, set the former one as "
            "WORKER_PREVIOUS_SECRET_KEY and run: mailchimp-worker account rekey",
        )
    return NotSigned(
        f"The records in partition {partition} of {topic.name} are not signed: an earlier release wrote them.",
        "End all workers, and once: mailchimp-worker ledger sign. If no earlier release was here, somebody else writes "
        "to that topic.",
    )
