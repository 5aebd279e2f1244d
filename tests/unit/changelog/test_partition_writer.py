"""What the writer of a partition says when Kafka accepts nothing more from it, and what follows for the partition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import KafkaException

from worker.changelog import partition_writer as module
from worker.changelog.partition_writer import PartitionWriter, accepted_seconds
from worker.changelog.record_writer import RecordWriter
from worker.changelog.signatures import Signatures
from worker.changelog.topics import ChangelogTopic, ChangelogTopics
from worker.clock import utc_now
from worker.config import Kafka
from worker.errors import KafkaError, WriterFenced


class FakeProducer:
    """A producer with a fatal error, whose cause only calls of the transaction name."""

    def __init__(self, cause: int) -> None:
        self.cause = KafkaException(LibraryError(cause, "the cause", True))

    def begin_transaction(self) -> None:
        """Begins one."""

    def produce(self, *values: Any, **options: Any) -> None:
        """Fails as librdkafka does after a fatal error."""
        raise KafkaException(LibraryError(LibraryError._FATAL, "Unable to produce message: Local: Fatal error"))

    def abort_transaction(self, timeout: float) -> None:
        """Fails with the cause."""
        raise self.cause


class Delivered:
    """A message that a broker acknowledged."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def offset(self) -> int:
        """Returns where it is."""
        return self._offset


class RepeatingProducer:
    """A producer whose broker writes each transaction's marker twice, as one does that hung meanwhile."""

    def __init__(self) -> None:
        self.next_offset = 0

    def begin_transaction(self) -> None:
        """Begins one."""

    def produce(self, *values: Any, on_delivery: Callable[[None, Delivered], None], **options: Any) -> None:
        """Delivers at once."""
        on_delivery(None, Delivered(self.next_offset))
        self.next_offset += 1

    def commit_transaction(self, timeout: float) -> None:
        """Writes two markers."""
        self.next_offset += 2


def test_a_marker_that_the_broker_wrote_twice_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer goes on: only fencing says that another writer has the partition."""
    monkeypatch.setattr(module, "client", lambda *values: RepeatingProducer())
    writer = PartitionWriter(Kafka(), "ledger", 1, lambda key, value: [])
    written = [writer.write([(b"key", b"value")]) for _ in range(2)]
    assert written == [range(1), range(3, 4)]
    assert writer.next_offset(written[0], 0) == 3
    for offsets in written:
        writer.committed(offsets)
    assert writer.next_offset(written[1], 3) == 4


@pytest.mark.parametrize(
    ("cause", "error", "message"),
    [
        (LibraryError._FENCED, WriterFenced, "took over partition 1 of ledger"),
        (LibraryError.INVALID_PRODUCER_EPOCH, WriterFenced, "took over partition 1 of ledger"),
        (LibraryError.UNKNOWN_PRODUCER_ID, KafkaError, "rejected a ledger or settings write: the cause"),
    ],
)
def test_a_fatal_error_is_reported_by_its_cause(
    monkeypatch: pytest.MonkeyPatch, cause: int, error: type[KafkaError], message: str
) -> None:
    """A writer that was fenced during a write must not advise to check the brokers."""
    monkeypatch.setattr(module, "client", lambda *values: FakeProducer(cause))
    writer = PartitionWriter(Kafka(), "ledger", 1, lambda key, value: [])
    for _ in range(2):
        with pytest.raises(error, match=message):
            writer.write([(b"key", b"value")])


@pytest.mark.parametrize(("session", "seconds"), [(None, 45), (2_000, 20), (30_000, 30), (300_000, 55)])
def test_a_write_may_take_as_long_as_the_session_lasts(session: int | None, seconds: float) -> None:
    """At least as long as a broker restarts, and less than after how long a broker ends the transaction."""
    chosen = {} if session is None else {"session.timeout.ms": session}
    assert accepted_seconds(Kafka(client=chosen)) == seconds
    assert accepted_seconds(Kafka(client=chosen)) + 1 < module.TRANSACTION_SECONDS


@pytest.mark.parametrize("replaced", [False, True])
def test_a_writer_that_was_replaced_does_not_lose_the_partition(replaced: bool) -> None:
    """Its write was under way when the partition was taken again: the new writer's flush goes on."""
    ledger, lost = ChangelogTopic("x.ledger", "id-1", 1), list[int]()
    writers = RecordWriter(Kafka(), utc_now, lambda: Signatures([b"k"]))
    writers.__dict__["topics"] = ChangelogTopics(ledger, ChangelogTopic("x.settings", "id-2", 1))
    writers.lost = lambda partition, fenced: lost.append(partition)

    class Fenced:
        def write(self, records: object, second_records: object) -> range:
            if replaced:
                writers._writers[ledger.name, 0] = Fenced()  # type: ignore[assignment]
            raise WriterFenced("another one took it over", "Try again.")

    writers._writers[ledger.name, 0] = Fenced()  # type: ignore[assignment]
    with pytest.raises(WriterFenced):
        writers.write_part(ledger, 0, [(b"key", b"{}")])
    assert lost == ([] if replaced else [0])
    assert ((ledger.name, 0) in writers._writers) == replaced
