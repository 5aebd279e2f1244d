"""What the writer of a partition says when Kafka accepts nothing more from it."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import KafkaException

from worker.changelog import partition_writer as module
from worker.changelog.partition_writer import PartitionWriter
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
