"""A fake of librdkafka's consumer, whose group may take and give partitions within any call."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Literal

from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import KafkaException, TopicPartition

from worker.kafka.client import MOCK

TOPIC = "t"
FETCHED = 4
"""How many messages consume() finds at most: the rest is still on its way."""
Change = Literal["assign", "revoke", "lose", "fence"]


@dataclass(frozen=True)
class FakeMessage:
    """What poll() and consume() return."""

    at: int
    place: int
    data: bytes | None = None
    problem: LibraryError | None = None

    def error(self) -> LibraryError | None:
        """None for a record."""
        return self.problem

    def partition(self) -> int:
        """Its partition."""
        return self.at

    def offset(self) -> int:
        """Its offset."""
        return self.place

    def key(self) -> bytes | None:
        """None: the data tell."""
        return None

    def value(self) -> bytes | None:
        """The event."""
        return self.data

    def headers(self) -> None:
        """None."""
        return


def fenced_error() -> LibraryError:
    """What the library tells a static member that was fenced: fatal() is False."""
    return LibraryError(LibraryError._FATAL, "Fatal error: Broker: Static consumer fenced by other consumer")


@dataclass
class FakeBroker:
    """Logs, committed offsets, and what the group is about to change.

    Attributes:
        logs: of each partition, the offsets of its records: there may be holes, as compaction leaves them.
        ends: of each partition, the offset after its last record.
        changes: of the group, each with how many moments of library calls pass before it is served.
        resets: partitions that are reported once to be read from where the log does not go on.
    """

    partitions: int
    logs: dict[int, dict[int, bytes]] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    committed: dict[int, TopicPartition] = field(default_factory=dict)
    changes: deque[tuple[int, Change, set[int]]] = field(default_factory=deque)
    resets: set[int] = field(default_factory=set)

    def publish(self, partition: int, *, hole: int = 0) -> int:
        """Writes a record about a customer of its own; returns its offset."""
        offset = self.ends.get(partition, 0) + hole
        customer = {"id": f"cus-{partition}-{offset}"}
        event = {
            "type": "com.billmywork.customer.updated",
            "data": {"account_id": f"acct-{partition}", "customer": customer},
        }
        self.logs.setdefault(partition, {})[offset] = json.dumps(event).encode()
        self.ends[partition] = offset + 1
        return offset

    def admin(self, config: dict[str, Any]) -> Any:
        """What asks for the topic's partitions; its cluster answers nothing else, as librdkafka's mock does."""
        topic = SimpleNamespace(error=None, partitions=dict.fromkeys(range(self.partitions)))
        told = SimpleNamespace(topics={TOPIC: topic}, cluster_id=MOCK)
        return SimpleNamespace(list_topics=lambda topic, timeout: told, poll=lambda timeout: None)


class FakeConsumer:
    """One member of the group. Serves one change of the group at a moment, and none within another's callback."""

    def __init__(self, broker: FakeBroker, config: dict[str, Any]) -> None:
        self.broker = broker
        self.config = config
        self.closed = False
        self._fatal: LibraryError | None = None
        self._told_fatal = False
        self._given: set[int] = set()
        self._positions: dict[int, int] = {}
        self._at_end: set[int] = set()
        self._paused: set[int] = set()
        self._callbacks: dict[str, Callable[..., None]] = {}
        self._in_callback = False
        self._turn = 0

    # What a test does

    def moment(self) -> None:
        """Passes a moment of a library call: all changes of the group that are due are served, one after another."""
        while not (self._in_callback or self._fatal or not self._callbacks or not self.broker.changes):
            left, change, partitions = self.broker.changes.popleft()
            if left > 0:
                self.broker.changes.appendleft((left - 1, change, partitions))
                return
            self._in_callback = True
            try:
                self._serve(change, partitions)
            finally:
                self._in_callback = False

    def _serve(self, change: Change, partitions: set[int]) -> None:
        if change == "fence":
            self._fatal = fenced_error()
            return
        if change == "assign":
            added = sorted(partitions - self._given)
            self._given |= partitions
            self._callbacks["on_assign"](self, [TopicPartition(TOPIC, one) for one in added])
            assert set(added) <= self._positions.keys(), "on_assign did not assign"
            return
        gone = sorted(self._given if change == "lose" else partitions & self._given)
        self._given -= set(gone)
        if gone:
            name = "on_lost" if change == "lose" else "on_revoke"
            self._callbacks[name](self, [TopicPartition(TOPIC, one) for one in gone])
            for one in gone:  # as the library does where the callback does not
                self._positions.pop(one, None)

    # The library's

    def subscribe(self, topics: list[str], **callbacks: Callable[..., None]) -> None:
        """Joins the group."""
        self._callbacks = callbacks

    def assignment(self) -> list[TopicPartition]:
        """What is read."""
        return [TopicPartition(TOPIC, one) for one in self._positions]

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Reads more."""
        for one in partitions:
            assert one.partition not in self._positions, "assigned twice"
            self._positions[one.partition] = one.offset
            self._at_end.discard(one.partition)

    def incremental_unassign(self, partitions: Sequence[TopicPartition]) -> None:
        """Reads less."""
        for one in partitions:
            del self._positions[one.partition]

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Finds nothing more of them, even if they are taken and given again."""
        self._paused |= {one.partition for one in partitions}

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Finds what they have again."""
        self._paused -= {one.partition for one in partitions}

    def poll(self, timeout: float) -> FakeMessage | None:
        """Serves what there is to serve, then takes one message."""
        self.moment()
        return self._next()

    def consume(self, count: int, timeout: float) -> list[FakeMessage]:
        """Takes messages, and serves between any two of them: what was taken before stays in the list."""
        found: list[FakeMessage] = []
        self.moment()
        while len(found) < min(count, FETCHED) and (message := self._next()) is not None:
            found.append(message)
            self.moment()
        return found

    def _next(self) -> FakeMessage | None:
        if self._fatal is not None:
            told, self._told_fatal = self._told_fatal, True
            return None if told else FakeMessage(-1, -1, problem=self._fatal)
        if resets := self.broker.resets & self._positions.keys():
            self.broker.resets.clear()
            return FakeMessage(min(resets), -1, problem=LibraryError(LibraryError.OFFSET_OUT_OF_RANGE))
        self._turn += 1
        read = sorted(self._positions.keys() - self._paused)
        for partition in read[self._turn % len(read) :] + read[: self._turn % len(read)] if read else ():
            position = self._positions[partition]
            waiting = [offset for offset in self.broker.logs.get(partition, {}) if offset >= position]
            if waiting:
                offset = min(waiting)
                self._positions[partition] = offset + 1
                self._at_end.discard(partition)
                return FakeMessage(partition, offset, self.broker.logs[partition][offset])
            if partition not in self._at_end:
                self._at_end.add(partition)
                return FakeMessage(partition, position, problem=LibraryError(LibraryError._PARTITION_EOF))
        return None

    def committed(self, partitions: Sequence[TopicPartition], timeout: float) -> list[TopicPartition]:
        """What the group knows."""
        self.moment()
        self._raise_fatal()
        return [self.broker.committed.get(one.partition, one) for one in partitions]

    def commit(self, *, offsets: Sequence[TopicPartition], asynchronous: bool) -> None:
        """Commits, where this is a member still."""
        self.moment()
        self._raise_fatal()
        self.broker.committed |= {one.partition: one for one in offsets if one.partition in self._positions}

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = 0, *, cached: bool = False
    ) -> tuple[int, int]:
        """Where a log begins and ends."""
        if not cached:
            self.moment()
            self._raise_fatal()
        return 0, self.broker.ends.get(partition.partition, 0)

    def _raise_fatal(self) -> None:
        if self._fatal is not None:
            raise KafkaException(self._fatal)

    def close(self) -> None:
        """Gives back what it has."""
        if not self.closed and self._given and self._fatal is None:
            self._in_callback = True
            self._serve("revoke", set(self._given))
        self.closed = True
