"""Translates librdkafka's messages and errors."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import Message

from worker.consumer.decode import Record
from worker.errors import ConsumerStopped
from worker.kafka.client import is_fatal
from worker.model import AccountId
from worker.store.dead_letters import DeadLetter


def record_of(message: Message) -> Record:
    """Returns the record of a message without an error."""
    headers: Any = message.headers()
    return Record(
        message.partition(),  # type: ignore[arg-type]  # a message without an error is of a partition
        message.offset(),  # type: ignore[arg-type]
        message.key(),
        message.value(),
        tuple(headers) if headers else (),
    )


def letter_of(
    topic: str, topic_id: str, record: Record, reason: str, at: str, account_id: AccountId | None = None
) -> DeadLetter:
    """Returns the dead letter of a record."""
    where = topic, topic_id, record.partition, record.offset
    content = record.key, record.value, record.headers
    return DeadLetter(*where, *content, reason, at, account_id=account_id)


def split(messages: Sequence[Message], partitions: Collection[int | None]) -> tuple[list[Record], list[Message]]:
    """Returns the records of these partitions, and the messages with an error, each in their order."""
    records, errors = list[Record](), list[Message]()
    for message in messages:
        if message.error() is not None:
            errors.append(message)
        elif message.partition() in partitions:
            records.append(record_of(message))
    return records, errors


def partition_of_message(message: Message) -> int:
    """Returns the partition of a message; -1 for an error without one."""
    partition = message.partition()
    return -1 if partition is None else partition


def is_end(message: Message) -> bool:
    """Returns whether a message marks the end of its partition."""
    error = message.error()
    return error is not None and error.code() == LibraryError._PARTITION_EOF


def of_same_assignment(
    first: Message, others: Sequence[Message], before: Mapping[int, object], now: Mapping[int, object]
) -> tuple[list[Message], set[int]]:
    """Returns the messages that were read under the current assignments.

    Args:
        first: from poll(), which handles rebalances before it takes its one message, never after.
        others: from consume(), which may handle them between two messages.
        before: the current reading of each partition between these two calls.
        now: the same after both.

    Returns:
        Those messages, and the partitions of which others may have been read under the current assignment: these must
        be reread.
    """
    changed = {partition for partition in before.keys() | now.keys() if before.get(partition) != now.get(partition)}
    valid = [message for message in (first, *others) if partition_of_message(message) not in changed]
    return valid, {partition_of_message(message) for message in others} & changed


def fatal_among(messages: Sequence[Message]) -> LibraryError | None:
    """Returns the first fatal error among messages."""
    errors = [error for message in messages if (error := message.error()) is not None]
    return next((error for error in errors if is_fatal(error)), None)


def stopped(error: LibraryError) -> ConsumerStopped:
    """Returns the error that ends a worker that the group has fenced."""
    return ConsumerStopped(
        f"Kafka ended this worker's membership: {error.str()}.",
        "Start it again. If this repeats, look for another worker with this database's name in the group.",
    )
