"""Stages a batch of records: rows, dead letters, counts and next_offset in one transaction."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from worker.consuming.decode import Event, PublishedCustomer, Record, Skipped, Undecodable, decode
from worker.consuming.newest import Known, Verdict, judge
from worker.model import address_key
from worker.staging import counts, customers, dead_letters, offsets
from worker.staging.counts import What
from worker.staging.database import Database
from worker.staging.dead_letters import DeadLetter

_COUNTED: dict[Verdict, What] = {
    Verdict.REPEAT: "repeated",
    Verdict.OLDER: "older",
    Verdict.OUT_OF_ORDER: "out_of_order",
}
_Key = tuple[str, str]
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class _Batch:
    topic: str
    topic_id: str
    at: str
    events: list[tuple[Record, Event]] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    counts: defaultdict[int, Counter[What]] = field(default_factory=lambda: defaultdict(Counter))
    next_offsets: dict[int, int] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        """Sorts a record in by what it says."""
        self.next_offsets[record.partition] = record.offset + 1
        decoded = decode(record)
        if isinstance(decoded, Event):
            self.events.append((record, decoded))
            if decoded.key_disagrees:
                self.counts[record.partition]["key_disagrees"] += 1
        elif isinstance(decoded, Skipped):
            self.counts[record.partition]["skipped"] += 1
        else:
            self.letters.append(self._letter(record, decoded))

    def _letter(self, record: Record, undecodable: Undecodable) -> DeadLetter:
        return DeadLetter(
            topic=self.topic,
            topic_id=self.topic_id,
            partition=record.partition,
            offset=record.offset,
            key=record.key,
            value=record.value,
            headers=record.headers,
            reason=undecodable.reason,
            read_at=self.at,
        )

    def write(self, db: Database) -> None:
        """Writes customers and counts, inside of a transaction."""
        if self.events:
            self._write_customers(db)
        for partition, counted in self.counts.items():
            counts.add(db, self.topic, partition, counted)

    def _write_customers(self, db: Database) -> None:
        # Folds the events to one row a customer before anything is written.
        keys = sorted({(event.account_id, event.customer_id) for _, event in self.events})
        known = {key: Known(*row) for key, row in customers.positions_of(db, keys).items()}
        newest: dict[_Key, tuple[Record, Event]] = {}
        for record, event in self.events:
            key = event.account_id, event.customer_id
            new = Known(event.version, self.topic, self.topic_id, record.partition, record.offset, event.event_time)
            before = known.get(key)
            verdict = Verdict.NEWER if before is None else judge(before, new)
            if verdict is not Verdict.NEWER:
                self.counts[record.partition][_COUNTED[verdict]] += 1
                continue
            if before is not None and event.version is None:
                new = new._replace(version=before.version)
            known[key] = new
            newest[key] = record, event
        customers.stage(db, [self._row(known[key], *newest[key]) for key in sorted(newest)])
        seen = {(event.account_id, record.partition) for record, event in self.events}
        offsets.note_accounts(db, self.topic, self.topic_id, seen)

    def _row(self, known: Known, record: Record, event: Event) -> tuple[Any, ...]:
        return (
            event.account_id,
            event.customer_id,
            *_columns(event.customer),
            event.deleted,
            known.version,
            event.event_id,
            event.event_time,
            self.topic,
            self.topic_id,
            record.partition,
            record.offset,
            self.at,
        )


def stage_batch(db: Database, topic: str, topic_id: str, records: Iterable[Record], at: str) -> None:
    """Stages records as they were read: all of them, or none.

    Args:
        db: the staging database, outside of a transaction.
        topic: their topic.
        topic_id: Kafka's id of it; "" where the broker does not tell.
        records: in the order in which they were read.
        at: the time.

    Raises:
        DatabaseError: nothing was staged.
    """
    batch = _Batch(topic, topic_id, at)
    for record in records:
        batch.take(record)
    with db.transaction():
        batch.write(db)
        dead_letters.keep(db, batch.letters)
        for partition, next_offset in batch.next_offsets.items():
            offsets.move_on(db, topic, topic_id, partition, next_offset, at)


def replay(db: Database, letter: DeadLetter, at: str) -> str | None:
    """Reads a dead letter again as this release understands it; it is dropped once it is staged or skipped.

    Args:
        db: the staging database, outside of a transaction.
        letter: as it is kept.
        at: the time.

    Returns:
        Why it still cannot be understood, or None.
    """
    batch = _Batch(letter.topic, letter.topic_id, at)
    batch.take(Record(letter.partition, letter.offset, letter.key, letter.value, letter.headers))
    if batch.letters:
        return batch.letters[0].reason
    with db.transaction():
        batch.write(db)
        dead_letters.drop(db, letter.number)
    return None


def _columns(customer: PublishedCustomer | None) -> tuple[str | None, bytes | None]:
    if customer is None:
        return None, None
    if customer.marketing_consent is None:
        customer.marketing_consent = True
    customer.list_id = customer.list_id or None
    return address_key(customer.email), _encode(customer)
