"""Checks that ledger and settings in Kafka are complete. Each of the two topics names the other. Does no I/O.

Compaction never removes the newest record of a key, so a compacted topic begins at offset 0 forever. One that begins
later, or whose id is not the one that the other topic names, was deleted, expired or truncated: who left a list may
then be unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.changelog.table_rows import ChangelogRow
from worker.changelog.topics import ChangelogTopic
from worker.errors import LedgerLost
from worker.sqlite.rows import json_text, parser_of

NOT_KNOWN = (
    "Who left a list under an earlier address, so that a new address of the same customer would be added as new.",
    "Who left each list: the next flush reads that again, except for members who were deleted there or changed their "
    "address.",
    "Which members this worker added. It archives no others, so deleted customers may stay on a list.",
    "Which members it archived and may put back, with their former status.",
    "What it last sent: every customer is checked again, and found members have their fields written again.",
    "Whom Mailchimp refused permanently, and who was erased and must not come back.",
)
"""What is unknown once the ledger is lost, for the operator."""
_ADVICE = (
    "Nothing is delivered until you confirm. If a worker's database still knows what is missing, write that to Kafka "
    "first: mailchimp-worker move-ledger. Then: mailchimp-worker ledger accept-loss, which says what is not known."
)


@dataclass(frozen=True, slots=True)
class Note:
    """What one topic records about the other, or about itself.

    Attributes:
        name: of the topic: a database may have notes of another one, from before kafka.topic was changed.
        partitions: how many it has; 0 if the note does not say.
        begins: partition to first offset, where an operator accepted one that is not 0.
        settings_begin: the same for the settings topic.
    """

    name: str
    topic_id: str
    partitions: int = 0
    begins: Mapping[int, int] = field(default_factory=dict)
    settings_begin: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def from_text(cls, text: str | None) -> Note | None:
        """Returns the note in a record; None without one, or if it cannot be parsed."""
        return _parsed(text or "null")

    def of_ledger(self) -> ChangelogRow:
        """Returns the record about the ledger, for the settings topic."""
        return self._row("ledger", "")

    def of_settings(self, partition: int) -> ChangelogRow:
        """Returns the record about the settings topic, for a partition of the ledger."""
        return self._row("settings", str(partition))

    def _row(self, about: str, partition: str) -> ChangelogRow:
        return ChangelogRow("topic", (about, partition), {"note": json_text(self)})


_parsed = parser_of(Note)


def check_identity(topic: ChangelogTopic, note: Note | None, source: str) -> None:
    """Compares a topic with what the other one records about it.

    Args:
        topic: as it is now; its id is "" if the broker does not report it.
        note: None if there is none yet: at the first start, and after an upgrade.

    Raises:
        LedgerLost: it is another topic, or has another number of partitions.
    """
    if note is None or not topic.topic_id:
        return
    if note.topic_id and note.topic_id != topic.topic_id:
        raise LedgerLost(
            f"Kafka's topic {topic.name} was recreated: its id is {topic.topic_id}, and {source} says "
            f"{note.topic_id}. What the former topic held is lost.",
            _ADVICE,
        )
    if note.partitions and note.partitions != topic.partitions:
        raise LedgerLost(
            f"Kafka's topic {topic.name} has {topic.partitions} partitions now, and had {note.partitions}: accounts "
            "would be looked for in partitions that do not have their ledger.",
            "Nothing is delivered until it is moved. End all workers, then: mailchimp-worker move-ledger, then "
            "mailchimp-worker ledger accept-loss.",
        )


def check_beginning(topic: ChangelogTopic, partition: int, low: int, accepted: Mapping[int, int]) -> None:
    """Checks that a partition still begins where it did.

    Raises:
        LedgerLost: records before its first offset are gone.
    """
    if low > accepted.get(partition, 0):
        raise LedgerLost(
            f"Partition {partition} of {topic.name} begins at offset {low} and not at {accepted.get(partition, 0)}: "
            "records expired or were deleted, as happens with another cleanup.policy than compact.",
            _ADVICE,
        )


def truncated(topic: ChangelogTopic, partition: int, known: int, high: int) -> LedgerLost:
    """Returns the error for a partition that ends before an offset that was read already."""
    return LedgerLost(
        f"Partition {partition} of {topic.name} ends at offset {high}, and was read up to {known}: its log was cut.",
        _ADVICE,
    )
