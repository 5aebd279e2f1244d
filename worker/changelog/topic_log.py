"""Reads a topic of ledger or settings: its first and last offsets, and the records between two offsets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from confluent_kafka import Consumer as LibraryConsumer
from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import KafkaException, Message, TopicPartition

from worker.config import Kafka
from worker.consumer.decode import Record
from worker.consumer.messages import record_of
from worker.errors import KafkaError
from worker.kafka.client import ANSWER_SECONDS, Problems, bounds, client, fetching, unreachable

MOST_AT_ONCE = 1000
"""Records returned in one batch."""
WAIT_SECONDS = 0.5
"""How long to wait for a record before checking whether to continue."""
_IF_MISSING = (
    "Nothing is delivered without it, because it says who left a list. If it exists, grant this Kafka user access to "
    "it. If it was deleted, stop all workers; run mailchimp-worker move-ledger at each whose database still has the "
    "ledger, which also creates the topic; then run mailchimp-worker ledger accept-loss, which says what is lost."
)
LINGER_SECONDS = 0.02
"""How long to wait for more records after the first; during a long read more are already fetched."""


class TopicLog:
    """Reads one partition at a time, of any topic, named. Not thread-safe."""

    def __init__(self, kafka: Kafka) -> None:
        """Reads nothing yet.

        Raises:
            ConfigError: the operator's properties cannot be used.
        """
        self._kafka = kafka
        self._problems = Problems()
        self._properties = {
            "group.id": f"{kafka.group_id}.keeping",  # required by the library; no group is joined
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "isolation.level": "read_committed",  # ignores aborted transactions of fenced writers
            "error_cb": self._problems,
            **fetching(kafka),
        }
        self._consumer = client(LibraryConsumer, kafka, self._properties)

    def bounds(self, topic: str, partition: int, consumer: LibraryConsumer | None = None) -> tuple[int, int]:
        """Returns a partition's low and high watermark.

        Raises:
            KafkaError: they cannot be queried, or the topic does not exist.
        """
        settings = self._kafka.model_copy(update={"topic": topic})
        return bounds(consumer or self._consumer, settings, partition, self._problems, _IF_MISSING)

    def bounds_beyond(self, topic: str, partition: int, known: int) -> tuple[int, int]:
        """Returns the watermarks of a partition that is known up to an offset.

        Raises:
            KafkaError: they cannot be queried.
        """
        # A transaction that was just committed can be read only once its marker is written, however long that takes.
        low, high = self.bounds(topic, partition)
        if high < known:
            with closing(
                client(LibraryConsumer, self._kafka, self._properties | {"isolation.level": "read_uncommitted"})
            ) as log:
                high = max(high, min(known, self.bounds(topic, partition, log)[1]))
        return low, high

    def records(
        self,
        topic: str,
        partition: int,
        start: int,
        high: int,
        keep_going: Callable[[], bool] = lambda: True,
    ) -> Iterator[Sequence[Record]]:
        """Yields the records between two offsets, at least one at a time; compaction may have removed the last ones.

        Raises:
            KafkaError: it cannot be read.
        """
        if start >= high:
            return
        self._consumer.assign([TopicPartition(topic, partition, start)])
        silent_since, done = time.monotonic(), False
        try:
            while not done and keep_going():
                messages = self._waiting()
                if not messages and time.monotonic() - silent_since > ANSWER_SECONDS:
                    raise unreachable(self._kafka, self._problems.last, TimeoutError("it sends nothing"))
                silent_since = time.monotonic() if messages else silent_since
                records = []
                for message in messages:
                    error = message.error()
                    if error is None:
                        record = record_of(message)
                        done = done or record.offset + 1 >= high
                        if record.offset < high:
                            records.append(record)
                    elif error.code() == LibraryError._PARTITION_EOF:
                        done = True
                    elif not error.retriable():
                        raise KafkaError(
                            f"The topic {topic} cannot be read: {error.str()}",
                            "Grant this Kafka user read access to the topic.",
                        )
                if records:
                    yield records
        except KafkaException as error:
            raise unreachable(self._kafka, self._problems.last, error) from error
        finally:
            self._consumer.unassign()

    def close(self) -> None:
        """Closes the consumer."""
        self._consumer.close()

    def _waiting(self) -> list[Message]:
        # consume() waits for the full number, even after the last record.
        first = self._consumer.poll(WAIT_SECONDS)
        return [] if first is None else [first, *self._consumer.consume(MOST_AT_ONCE - 1, LINGER_SECONDS)]
