"""Decides which partitions are read while much is unread, and pauses the others.

They are read one after the other: a transaction then holds customers of few partitions, and each of them is written
once, instead of once per transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from confluent_kafka import Consumer, TopicPartition

READ_TOGETHER = 20_000
"""Partitions are read together that have at most this many unread records in all, those with fewest first."""
MOST_EMPTY_POLLS = 10
"""After this many polls without a record, a further partition is read, so that one silent broker stops no others."""


class PartitionTurns:
    """Pauses and resumes partitions. Used only by the poll thread."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._paused: frozenset[int] = frozenset()
        self._empty_polls = 0

    def polled(self, *, found: bool) -> None:
        """Records whether a poll found a record, or the end of a partition."""
        self._empty_polls = 0 if found else self._empty_polls + 1

    def take(self, consumer: Consumer, unread: Mapping[int, int], assigned: Collection[int] = ()) -> None:
        """Pauses and resumes partitions as needed.

        Args:
            unread: how many offsets of each partition are unread.
            assigned: partitions that were just assigned: one that was paused when it was revoked still is.
        """
        if assigned:
            self._empty_polls = 0
        waiting = waiting_of(unread, self._empty_polls)
        resumed = (self._paused - waiting) | (set(assigned) - waiting)
        paused = waiting - (self._paused - set(assigned))
        if resumed:
            consumer.resume(topic_partitions(self._topic, resumed))
        if paused:
            consumer.pause(topic_partitions(self._topic, paused))
        self._paused = waiting


def waiting_of(unread: Mapping[int, int], empty_polls: int) -> frozenset[int]:
    """Returns the partitions that are not to be read now.

    Args:
        unread: how many offsets of each partition are unread.
        empty_polls: how many polls in a row found nothing.
    """
    together, more = 0, empty_polls // MOST_EMPTY_POLLS
    waiting = set[int]()
    for partition, count in sorted(unread.items(), key=lambda item: (item[1], item[0])):
        if not together or together + count <= READ_TOGETHER:
            together += count
        elif more:
            more -= 1
        else:
            waiting.add(partition)
    return frozenset(waiting)


def topic_partitions(topic: str, partitions: Collection[int]) -> list[TopicPartition]:
    """Returns these partitions of a topic as librdkafka takes them, in order."""
    return [TopicPartition(topic, partition) for partition in sorted(partitions)]
