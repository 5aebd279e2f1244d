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
    """The partitions of an assignment that are not read to their end yet. Used only by the poll thread.

    Attributes:
        over: whether a partition was read to its end since this was last cleared.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._unread: dict[int, tuple[int, int]] = {}  # the next offset and the end
        self._paused: frozenset[int] = frozenset()
        self._empty_polls = 0
        self.over = False

    def assigned(self, spans: Mapping[int, tuple[int, int]]) -> None:
        """Adds partitions, each with the offset to read next and the end of its log."""
        self._unread |= {partition: span for partition, span in spans.items() if span[0] < span[1]}
        self._empty_polls = 0

    def removed(self, partitions: Collection[int]) -> None:
        """Removes partitions that are no longer read."""
        for partition in partitions:
            self._unread.pop(partition, None)

    def read(self, next_offsets: Mapping[int, int], ended: Collection[int] = ()) -> None:
        """Records how far partitions were read by a poll.

        Args:
            ended: partitions whose end was reached, whatever their next offset is.
        """
        self._empty_polls = 0 if next_offsets or ended else self._empty_polls + 1
        for partition in self._unread.keys() & {*next_offsets, *ended}:
            next_offset, end = next_offsets.get(partition, 0), self._unread[partition][1]
            self._unread[partition] = next_offset, end
            if next_offset >= end or partition in ended:
                del self._unread[partition]
                self.over = True

    def waiting(self) -> frozenset[int]:
        """Returns the partitions that are not to be read now."""
        together, more = 0, self._empty_polls // MOST_EMPTY_POLLS
        waiting = set[int]()
        unread = {partition: end - next_offset for partition, (next_offset, end) in self._unread.items()}
        for partition in sorted(unread, key=lambda partition: (unread[partition], partition)):
            if not together or together + unread[partition] <= READ_TOGETHER:
                together += unread[partition]
            elif more:
                more -= 1
            else:
                waiting.add(partition)
        return frozenset(waiting)

    def take(self, consumer: Consumer, assigned: Collection[int] = ()) -> None:
        """Pauses and resumes partitions as needed.

        Args:
            assigned: partitions that were just assigned: one that was paused when it was revoked still is.
        """
        waiting = self.waiting()
        resumed = (self._paused - waiting) | (set(assigned) - waiting)
        paused = waiting - (self._paused - set(assigned))
        if resumed:
            consumer.resume(topic_partitions(self._topic, resumed))
        if paused:
            consumer.pause(topic_partitions(self._topic, paused))
        self._paused = waiting


def topic_partitions(topic: str, partitions: Collection[int]) -> list[TopicPartition]:
    """Returns these partitions of a topic as librdkafka takes them, in order."""
    return [TopicPartition(topic, partition) for partition in sorted(partitions)]
