"""Writes to one partition of a changelog topic, as its newest writer or not at all.

Each partition has one transactional id, from topic and partition. Who opens a writer raises that id's epoch: the broker
ends what the writer before had begun and refuses whatever it sends later, however late (KIP-98). So read the partition
to its end after :meth:`PartitionWriter.open`: until the next writer opens, only this one changes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import KafkaException, Message, Producer

from worker.changelog.group_commit import GroupCommit
from worker.config import Kafka
from worker.errors import KafkaError, WriterFenced
from worker.kafka.client import ANSWER_SECONDS, AWAY, Problems, client, unreachable

TAKEN_SECONDS = 20.0
"""How long Kafka may take, a restart of a broker included."""
TRANSACTION_SECONDS = 60.0
"""After how long a broker ends the transaction of a writer that is silent, where no other writer did before."""
POLL_SECONDS = 0.2
_FENCED = {LibraryError._FENCED, LibraryError.INVALID_PRODUCER_EPOCH}
_FORBIDDEN = {
    LibraryError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    LibraryError.TOPIC_AUTHORIZATION_FAILED,
    LibraryError.CLUSTER_AUTHORIZATION_FAILED,
}

Record = tuple[bytes, bytes | None]
"""Key and value."""
Headers = list[tuple[str, bytes]]
HeadersOf = Callable[[bytes, bytes | None], Headers]
"""Returns the headers of a record by its key and value."""


@dataclass(frozen=True, slots=True)
class Beside:
    """Another topic, whose partition of the same number is written in the same transactions.

    Attributes:
        headers: of each of its records that has a value.
    """

    topic: str
    headers: Headers


@dataclass(eq=False)
class _Wanted:
    """Records of one caller, and where they are."""

    records: Sequence[Record]
    beside: Sequence[Record] = ()
    offsets: list[int] = field(default_factory=list)

    def delivered(self, error: LibraryError | None, message: Message) -> None:
        if error is None:
            self.offsets.append(message.offset() or 0)


_Delivered = Callable[[LibraryError | None, Message], None]


def _nothing(error: LibraryError | None, message: Message) -> None:
    # What was not delivered is not committed either.
    pass


class PartitionWriter:
    """Threads share it: what several of them write at one time becomes one transaction, acknowledged once.

    After any failure it is closed: what Kafka took is unknown then, so open another one and read to the end.
    """

    def __init__(
        self, settings: Kafka, topic: str, partition: int, headers_of: HeadersOf, beside: Beside | None = None
    ) -> None:
        """Connects to nothing yet.

        Args:
            beside: another topic; None for none.

        Raises:
            ConfigError: the operator's properties cannot be used.
        """
        self._settings, self._topic, self._partition = settings, topic, partition
        self._headers_of = headers_of
        self._beside = beside
        self._problems = Problems()
        own = {
            "transactional.id": f"{topic}-{partition}",
            "transaction.timeout.ms": int(TRANSACTION_SECONDS * 1000),
            "message.timeout.ms": int(TAKEN_SECONDS * 1000),
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 0,
            "retry.backoff.ms": 20,  # so long a broker is given to end the transaction before
            "error_cb": self._problems,
        }
        self._producer = client(Producer, settings, own)
        self._group = GroupCommit(self._carry_out)
        self._offsets_lock = threading.Lock()
        self._opened = False
        self._closed: KafkaError | None = None
        self._uncommitted: list[range] = []
        self._end = 0

    def open(self) -> None:
        """Becomes the partition's one writer; returns once the transaction of the one before is ended.

        Raises:
            KafkaError: no broker answers, or this user may not.
        """
        try:
            # Without a connection at hand, what follows would wait for half a second.
            self._producer.list_topics(self._topic, timeout=ANSWER_SECONDS)
            self._producer.init_transactions(TAKEN_SECONDS)
            self._opened = True
        except KafkaException as error:
            raise self._failure(error.args[0]) from error

    def write(self, records: Sequence[Record], beside: Sequence[Record] = ()) -> range:
        """Writes records in their order, all or none, and waits until every replica that must have them has them.

        Args:
            records: at least one.
            beside: records for the topic beside this one; left out where there is none.

        Returns:
            The offsets from the first to the last of them.

        Raises:
            WriterFenced: a newer writer was opened, so none of them was taken.
            KafkaError: they may not have been taken.
        """
        mine = _Wanted(records, beside)
        self._group.submit(mine)
        return range(min(mine.offsets), max(mine.offsets) + 1)

    def next_offset(self, written: range, known: int) -> int:
        """Returns up to where a database knows the partition once it has these records too.

        Args:
            written: what :meth:`write` returned.
            known: up to where it knows it before that.
        """
        with self._offsets_lock:
            self._uncommitted = [one for one in self._uncommitted if one.stop > known]
            return min((one.start for one in self._uncommitted if one != written), default=self._end)

    def committed(self, written: range) -> None:
        """Notes that the database has what was written."""
        with self._offsets_lock:
            self._uncommitted = [one for one in self._uncommitted if one != written]

    def poll(self) -> None:
        """Lets the library do what it does now and then, such as renewing its token."""
        self._producer.poll(0)

    def _carry_out(self, group: Sequence[_Wanted]) -> None:
        if self._closed is not None:
            raise self._closed
        try:
            self._transact(group)
        except KafkaException as error:
            self._closed = self._failure(error.args[0])
            raise self._closed from error
        except KafkaError as error:
            self._closed = error
            raise

    def _transact(self, together: Sequence[_Wanted]) -> None:
        self._producer.begin_transaction()
        for one in together:
            for key, value in one.records:
                self._produce(self._topic, key, value, one.delivered, self._headers_of(key, value))
            if self._beside is not None:
                for key, value in one.beside:
                    headers = self._beside.headers if value is not None else None
                    self._produce(self._beside.topic, key, value, _nothing, headers)
        self._producer.commit_transaction(TAKEN_SECONDS + 1)
        first = min(offset for one in together for offset in one.offsets)
        if self._end and first - self._end > 1:  # the marker of a transaction takes one
            raise KafkaError(
                f"Partition {self._partition} of {self._topic} has another writer, of an earlier release.",
                "Nothing was confirmed. End the workers of that release.",
            )
        with self._offsets_lock:
            for one in together:
                self._uncommitted.append(range(min(one.offsets), max(one.offsets) + 1))
                self._end = max(self._end, self._uncommitted[-1].stop)

    def _produce(
        self, topic: str, key: bytes, value: bytes | None, delivered: _Delivered, headers: Headers | None = None
    ) -> None:
        while True:
            try:
                self._producer.produce(
                    topic,
                    value,
                    key,
                    self._partition,
                    on_delivery=delivered,
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
        away = error.code() in AWAY or self._problems.hopeless
        if not away:
            return not_taken(error.str())
        absent = unreachable(self._settings, self._problems.last, KafkaException(error))
        # A write that was begun says first that nothing was confirmed.
        return not_taken(absent.what.rstrip(".")) if self._opened else absent


def not_taken(reason: str) -> KafkaError:
    """Returns the error for what Kafka did not take."""
    return KafkaError(
        f"Kafka rejected a ledger or settings write: {reason}.",
        "Nothing was confirmed. Check that its brokers answer, and try again.",
    )
