"""Whether ledger and settings in Kafka are whole. Each of the two topics says which topic the other one is. Pure.

A compacted topic forgets no newest record, so it begins at offset 0 for ever. One that begins later, or has another id
than the other topic says, was deleted, expired or cut: who left a list may not be known any more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.changelog.table_rows import ChangelogRow
from worker.changelog.topics import ChangelogTopic
from worker.errors import LedgerLost

NOT_KNOWN = (
    "Who left a list under an earlier address, so that a new address of the same customer would be added as new.",
    "Who left each list: the next flush reads that again, except for members who were deleted there or changed their "
    "address.",
    "Which members this worker added. It archives no others, so deleted customers may stay on a list.",
    "Which members it archived and may put back, with their former status.",
    "What it last sent: every customer is checked again, and found members have their fields written again.",
    "Whom Mailchimp refused permanently, and who was erased and must not come back.",
)
"""What is not known once the ledger is lost, for an operator to read."""
_ADVICE = (
    "Nothing is delivered until you confirm. If a worker's database still knows what is missing, write that to Kafka "
    "first: mailchimp-worker move-ledger. Then: mailchimp-worker ledger accept-loss, which says what is not known."
)


@dataclass(frozen=True, slots=True)
class Note:
    """What one topic says of the other, or of itself.

    Attributes:
        name: the topic's: a database may have notes of another one, from before kafka.topic was changed.
        topic_id: Kafka's id of it.
        partitions: how many it has; 0 where the note does not say.
        begins: partition to the first offset, where an operator accepted that it is not 0.
        settings_begin: the same of the settings' topic.
    """

    name: str
    topic_id: str
    partitions: int = 0
    begins: Mapping[int, int] = field(default_factory=dict)
    settings_begin: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def from_text(cls, text: str | None) -> Note | None:
        """Returns the note that a record says; None without one, or for one that cannot be read."""
        try:
            told = json.loads(text or "null")
            begins, settings_begin = told.get("begins", {}), told.get("settings_begin", {})
            return cls(
                str(told["name"]),
                str(told["topic_id"]),
                int(told.get("partitions", 0)),
                {int(one): int(offset) for one, offset in begins.items()},
                {int(one): int(offset) for one, offset in settings_begin.items()},
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def of_ledger(self) -> ChangelogRow:
        """Returns the record that the settings' topic has of the ledger's."""
        return self._kept("ledger", "")

    def of_settings(self, partition: int) -> ChangelogRow:
        """Returns the record that a partition of the ledger has of the settings' topic."""
        return self._kept("settings", str(partition))

    def _kept(self, about: str, partition: str) -> ChangelogRow:
        told = {
            "name": self.name,
            "topic_id": self.topic_id,
            "partitions": self.partitions,
            "begins": self.begins,
            "settings_begin": self.settings_begin,
        }
        return ChangelogRow("topic", (about, partition), {"note": json.dumps(told)})


def check_identity(topic: ChangelogTopic, note: Note | None, said_by: str) -> None:
    """Compares a topic with what the other one says of it.

    Args:
        topic: as it is now; its id is "" where the broker does not report it.
        note: None where nothing was said yet: at the first start, and after an upgrade.
        said_by: where the note is.

    Raises:
        LedgerLost: it is another topic, or has other partitions.
    """
    if note is None or not topic.topic_id:
        return
    if note.topic_id and note.topic_id != topic.topic_id:
        raise LedgerLost(
            f"Kafka's topic {topic.name} was recreated: its id is {topic.topic_id}, and {said_by} says "
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
    """Looks whether a partition still begins where it did.

    Raises:
        LedgerLost: records before its first offset are gone.
    """
    if low > accepted.get(partition, 0):
        raise LedgerLost(
            f"Partition {partition} of {topic.name} begins at offset {low} and not at {accepted.get(partition, 0)}: "
            "records expired or were deleted, as happens with another cleanup.policy than compact.",
            _ADVICE,
        )


def cut(topic: ChangelogTopic, partition: int, known: int, high: int) -> LedgerLost:
    """Returns the error for a partition that ends before what was read of it already."""
    return LedgerLost(
        f"Partition {partition} of {topic.name} ends at offset {high}, and was read up to {known}: its log was cut.",
        _ADVICE,
    )
