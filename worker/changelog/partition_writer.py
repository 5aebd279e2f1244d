"""Writes to one partition of a changelog topic as its only writer.

Each partition has a transactional id made of topic and partition. Opening a writer raises that id's epoch: the broker
aborts the previous writer's transaction and rejects whatever it sends later (KIP-98). So read the partition to its end
after :meth:`PartitionWriter.open`: until the next writer opens, only this one changes it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import KafkaException, Message, Producer

from worker.config import Kafka
from worker.errors import KafkaError, WriterFenced
from worker.kafka.client import ANSWER_SECONDS, AWAY, Problems, client, session_seconds, unreachable

_librdkafka = logging.getLogger("worker.changelog.librdkafka")
# librdkafka calls it critical. Here it is normal: a command takes a partition over from the running worker, which takes
# it back. WriterFenced says so.
_librdkafka.addFilter(lambda line: "fenced" not in line.getMessage())

TAKEN_SECONDS = 20.0
"""How long Kafka may take to let a writer open, including a broker restart."""
MOST_SECONDS = 55.0
"""How long Kafka may take to accept a write, at most: see :func:`accepted_seconds`."""
TRANSACTION_SECONDS = 60.0
"""After how long a broker aborts the transaction of a silent writer, if no other writer did so before."""
POLL_SECONDS = 0.2
_FENCED = {LibraryError._FENCED, LibraryError.INVALID_PRODUCER_EPOCH}
_FORBIDDEN = {
    LibraryError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    LibraryError.TOPIC_AUTHORIZATION_FAILED,
    LibraryError.CLUSTER_AUTHORIZATION_FAILED,
}

KeyValue = tuple[bytes, bytes | None]
"""Of a record to write; None erases the key."""
Headers = list[tuple[str, bytes]]
HeadersOf = Callable[[bytes, bytes | None], Headers]
"""Returns the headers of a record with this key and value."""


@dataclass(frozen=True, slots=True)
class SecondTopic:
    """A second topic, whose partition of the same number is written in the same transactions."""

    topic: str
    headers: Headers


@dataclass(eq=False)
class _Delivery:
    """The offsets of the first and the last record once written, or the error if Kafka rejects one."""

    offsets: list[int] = field(default_factory=list)
    rejected: LibraryError | None = None

    def __call__(self, error: LibraryError | None, message: Message) -> None:
        if error is None:
            self.offsets.append(message.offset() or 0)
        else:
            self.rejected = error


class PartitionWriter:
    """Thread-safe: each write is a transaction, one at a time.

    After any failure it is closed. What Kafka accepted is unknown then, so open a new writer and read to the end.
    """

    def __init__(
        self,
        settings: Kafka,
        topic: str,
        partition: int,
        headers_of: HeadersOf,
        second_topic: SecondTopic | None = None,
    ) -> None:
        """Connects to nothing yet.

        Args:
            second_topic: another topic to write with this one; None for none.

        Raises:
            ConfigError: the operator's properties cannot be used.
        """
        self._settings, self._topic, self._partition = settings, topic, partition
        self._headers_of, self._second_topic = headers_of, second_topic
        self._problems = Problems()
        self._accepted_seconds = accepted_seconds(settings)
        own = {
            "transactional.id": f"{topic}-{partition}",
            "transaction.timeout.ms": int(TRANSACTION_SECONDS * 1000),
            "message.timeout.ms": int(self._accepted_seconds * 1000),
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 100,  # a commit sends at once; until then, records go together
            "retry.backoff.ms": 20,  # time for the broker to end the previous transaction
            "error_cb": self._problems,
            "logger": _librdkafka,
        }
        self._producer = client(Producer, settings, own)
        self._transaction_lock = threading.Lock()
        self._offsets_lock = threading.Lock()
        self._opened = False
        self._closed: KafkaError | None = None
        self._uncommitted: list[range] = []
        self._end = 0

    def open(self) -> None:
        """Becomes the partition's only writer; returns once the previous writer's transaction has ended.

        Raises:
            KafkaError: no broker answers, or this user lacks the right.
        """
        try:
            # Connects first: otherwise the next request waits for half a second.
            self._producer.list_topics(self._topic, timeout=ANSWER_SECONDS)
            self._producer.init_transactions(TAKEN_SECONDS)
            self._opened = True
        except KafkaException as error:
            raise self._failure(error.args[0]) from error

    def write(self, records: Sequence[KeyValue], second_records: Sequence[KeyValue] = ()) -> range:
        """Writes records in order, all or none, and waits until all in-sync replicas have them.

        Args:
            records: at least one.
            second_records: records for the second topic; ignored without one.

        Returns:
            The offsets from the first to the last record.

        Raises:
            WriterFenced: a newer writer was opened; nothing was written.
            KafkaError: the records may or may not have been written.
        """
        delivery = _Delivery()
        with self._transaction_lock:
            if self._closed is not None:
                raise self._closed
            try:
                self._transact(records, second_records, delivery)
            except KafkaException as error:
                cause = delivery.rejected
                # Of a wrong clock, the commit itself only says that the transaction must be aborted.
                if cause is None or cause.code() != LibraryError.INVALID_TIMESTAMP:
                    cause = self._cause(error.args[0])
                self._closed = self._failure(cause)
                raise self._closed from error
            written = range(min(delivery.offsets), max(delivery.offsets) + 1)
            with self._offsets_lock:
                self._uncommitted.append(written)
                self._end = max(self._end, written.stop)
        return written

    def next_offset(self, written: range, known: int) -> int:
        """Returns the offset up to which a database knows the partition once it has these records too.

        Args:
            written: from :meth:`write`.
            known: the offset up to which it knew it before.
        """
        with self._offsets_lock:
            self._uncommitted = [offsets for offsets in self._uncommitted if offsets.stop > known]
            return min((offsets.start for offsets in self._uncommitted if offsets != written), default=self._end)

    @property
    def end(self) -> int:
        """The offset after the last record that this writer wrote, and after the marker of its transaction.

        A broker that was slow to write a marker may write it twice, so the next record may come later.
        """
        with self._offsets_lock:
            return self._end + 1

    def committed(self, written: range) -> None:
        """Records that the database has what was written."""
        with self._offsets_lock:
            self._uncommitted = [offsets for offsets in self._uncommitted if offsets != written]

    def poll(self) -> None:
        """Serves librdkafka's callbacks, such as the renewal of a token.

        A fatal error is raised by the next write: with one, the library raises here instead of calling ``error_cb``.
        """
        try:
            self._producer.poll(0)
        except KafkaException as error:
            self._closed = self._closed or self._failure(error.args[0])

    def _cause(self, error: LibraryError) -> LibraryError:
        # Only the transaction's own calls name the cause of "Local: Fatal error".
        if error.code() == LibraryError._FATAL:
            try:
                self._producer.abort_transaction(POLL_SECONDS)
            except KafkaException as fatal:
                error = fatal.args[0]
        return error

    def _transact(self, records: Sequence[KeyValue], second_records: Sequence[KeyValue], delivery: _Delivery) -> None:
        self._producer.begin_transaction()
        last = len(records) - 1
        for number, (key, value) in enumerate(records):
            # A failed delivery also fails the commit.
            on_delivery = delivery if number in (0, last) else None
            self._produce(self._topic, key, value, self._headers_of(key, value), on_delivery)
        if self._second_topic is not None:
            for key, value in second_records:
                self._produce(
                    self._second_topic.topic, key, value, self._second_topic.headers if value is not None else None
                )
        self._producer.commit_transaction(self._accepted_seconds + 1)

    def _produce(
        self,
        topic: str,
        key: bytes,
        value: bytes | None,
        headers: Headers | None,
        on_delivery: _Delivery | None = None,
    ) -> None:
        while True:
            try:
                self._producer.produce(
                    topic,
                    value,
                    key,
                    self._partition,
                    on_delivery=on_delivery,
                    headers=headers,  # type: ignore[arg-type]
                )
            except BufferError:
                self._producer.poll(POLL_SECONDS)
            else:
                return

    def _failure(self, error: LibraryError) -> KafkaError:
        place = f"partition {self._partition} of {self._topic}"
        if error.code() in _FENCED:
            return WriterFenced(
                f"Another worker or command took over {place}, so this one can write no more to it.",
                "Nothing was confirmed. Try again. If this repeats, check that no two consumer groups use the topic.",
            )
        if error.code() in _FORBIDDEN:
            return KafkaError(
                f"Kafka does not let this user write to {place}: {error.str()}",
                f"Grant it write access to the topic and to the transactional ids that begin with {self._topic}-.",
            )
        if error.code() == LibraryError.INVALID_TIMESTAMP:
            return KafkaError(
                "Kafka rejected a ledger or settings write: the clocks of this machine and of the broker are too far "
                "apart.",
                "Nothing was confirmed. Correct the wrong clock. An hour ahead is the most that Kafka 4 accepts "
                "(message.timestamp.after.max.ms of the topic).",
            )
        away = error.code() in AWAY or self._problems.no_broker
        if not away:
            return not_taken(error.str())
        absent = unreachable(self._settings, self._problems.last, KafkaException(error))
        # For a write, say first that nothing was confirmed.
        return not_taken(absent.message.rstrip(".")) if self._opened else absent


def accepted_seconds(settings: Kafka) -> float:
    """Returns how long Kafka may take to accept a write: as long as the group waits for a silent worker.

    Until then the partition is this worker's, so a broker that hangs for less costs no flush. The broker must not abort
    the transaction before: see TRANSACTION_SECONDS.

    Raises:
        ConfigError: the operator's session.timeout.ms is not a number.
    """
    return min(max(session_seconds(settings), TAKEN_SECONDS), MOST_SECONDS)


def not_taken(reason: str) -> KafkaError:
    """Returns the error for records that Kafka did not accept."""
    return KafkaError(
        f"Kafka rejected a ledger or settings write: {reason}.",
        "Nothing was confirmed. Check that its brokers answer, and try again.",
    )
