"""Publishes events from a file or a pipe, keyed and partitioned as the contract requires."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO

from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import KafkaException, Message, Producer

from worker.config import Kafka
from worker.consumer.decode import Event, Record, Skipped, decode
from worker.errors import KafkaError, NotFound, PublishStopped, UsageError
from worker.kafka.client import Problems, client, partitions_of_topic
from worker.kafka.partitioner import partition_of
from worker.model import partition_key
from worker.text.plural import counted

FLUSH_SECONDS = 60.0
STOP_SECONDS = 5.0
"""How long to wait for acknowledgements after a person stopped the command."""

STANDARD_INPUT = Path("-")
"""The name for standard input."""
MOST_IN_MEMORY = 8 * 1024 * 1024
"""Bytes of a pipe's content kept in memory; more go to a temporary file."""


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Opens events so that they can be read repeatedly: content of a pipe or standard input is copied first.

    Raises:
        NotFound: the file does not exist or cannot be read.
    """
    try:
        with ExitStack() as stack:
            source = sys.stdin.buffer if path == STANDARD_INPUT else stack.enter_context(path.open("rb"))
            if path == STANDARD_INPUT or not path.is_file():
                copy = stack.enter_context(SpooledTemporaryFile(MOST_IN_MEMORY))
                shutil.copyfileobj(source, copy)
                source = copy
            yield source
    except OSError as error:
        raise NotFound(
            f"{_named(path)} cannot be read: {error.strerror}.", "Name a file of events, one JSON object on each line."
        ) from error


def events_of(lines: IO[bytes], path: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yields account, customer and value of each line; empty lines are skipped.

    Args:
        lines: one JSON event per line, read from the start.

    Raises:
        UsageError: a line is not an event about a customer; names the line.
    """
    lines.seek(0)
    for number, line in enumerate(lines, 1):
        value = line.strip()
        if value:
            event = _checked(value, path, number)
            yield event.account_id, event.customer_id, value


def publish(settings: Kafka, path: Path, progress: Callable[[int], None] = lambda count: None) -> int:
    """Publishes a file of events and waits until the broker has them all. The whole file is validated first.

    Args:
        path: the file, or a pipe; ``-`` for standard input.
        progress: called with how many the broker has.

    Returns:
        How many there were.

    Raises:
        NotFound: the file does not exist.
        UsageError: a line is not an event about a customer, or there is none; nothing was published.
        ConfigError: the operator's properties cannot be used.
        KafkaError: no broker answers, or it refused an event.
        PublishStopped: a person stopped it; says how many Kafka has.
    """
    deliveries = _Deliveries(progress)
    try:
        return _publish(settings, path, deliveries)
    except KeyboardInterrupt:
        has = f"Kafka has {counted(deliveries.taken, 'event')} of it" if deliveries.taken else "nothing was published"
        raise PublishStopped(
            f"Stopped while {_named(path)} was published; {has}.",
            "Publish it again to continue: an event that is published twice changes nothing.",
        ) from None


def _publish(settings: Kafka, path: Path, deliveries: _Deliveries) -> int:
    with opened(path) as lines:
        if not sum(1 for _ in events_of(lines, path)):
            raise UsageError(f"There is no event in {_named(path)}.", "Give events, one JSON object on each line.")
        problems = Problems()
        own = {"enable.idempotence": True, "acks": "all", "linger.ms": 20, "error_cb": problems}
        producer = client(Producer, settings, own)
        partitions, _ = partitions_of_topic(producer, settings, problems)
        try:
            for account_id, customer_id, value in events_of(lines, path):
                key = partition_key(account_id, customer_id).encode()
                _produce(producer, settings.topic, partition_of(account_id, partitions), key, value, deliveries)
            producer.flush(FLUSH_SECONDS)
        except KeyboardInterrupt:
            producer.purge(in_queue=True, in_flight=False)
            producer.flush(STOP_SECONDS)
            raise
        deliveries.check(len(producer))
        return deliveries.taken


@dataclass(slots=True)
class _Deliveries:
    progress: Callable[[int], None]
    taken: int = 0
    refused: LibraryError | None = None

    def __call__(self, error: LibraryError | None, message: Message) -> None:
        if error is not None:
            self.refused = error
            return
        self.taken += 1
        self.progress(self.taken)

    def check(self, waiting: int) -> None:
        if self.refused is not None or waiting:
            reason = self.refused.str() if self.refused is not None else "it did not answer in time"
            raise KafkaError(
                f"Kafka took {self.taken} events and then no more: {reason}.",
                "Publish the file again: an event that is published twice changes nothing.",
            )


def _produce(producer: Producer, topic: str, partition: int, key: bytes, value: bytes, deliveries: _Deliveries) -> None:
    headers: list[tuple[str, str | bytes | None]] = [("content-type", "application/cloudevents+json")]
    while True:
        try:
            producer.produce(topic, value, key, partition, on_delivery=deliveries, headers=headers)
        except BufferError:
            producer.poll(1)
            continue
        except KafkaException as error:
            raise KafkaError(f"Kafka rejected an event: {error.args[0].str()}", "Check the topic.") from error
        producer.poll(0)
        return


def _named(path: Path) -> str:
    return "standard input" if path == STANDARD_INPUT else str(path)


def _checked(value: bytes, path: Path, number: int) -> Event:
    decoded = decode(Record(0, 0, None, value))
    if isinstance(decoded, Event):
        return decoded
    reason = f"its type is {decoded.type}" if isinstance(decoded, Skipped) else decoded.reason
    advice = "Correct it; the event contract is config/customer-event.schema.json. Nothing was published."
    if number == 1 and value.startswith(b"{") and not value.endswith(b"}"):
        file = "FILE" if path == STANDARD_INPUT else path
        advice = (
            "Each line must be a whole event. Nothing was published. If the file is one event over several lines: "
            f"tr -d '\\n' < {file} | mailchimp-worker publish -"
        )
    raise UsageError(f"Line {number} of {_named(path)} is not an event about a customer: {reason}.", advice)
