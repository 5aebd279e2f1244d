"""Stages a batch of records: rows, dead letters, counts and next_offset in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

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
class _Partition:
    events: list[tuple[Record, Event]] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    counts: Counter[What] = field(default_factory=Counter)
    next_offset: int = 0


def stage_batch(db: Database, topic: str, topic_id: str, records: Iterable[Record], at: str) -> None:
    """Stages records as they were read: all of them, or none.

    Args:
        db: the staging database, outside of a transaction.
        topic: their topic.
        topic_id: Kafka's id of it; "" where the broker does not tell.
        records: in the order of each partition.
        at: the time.

    Raises:
        DatabaseError: nothing was staged.
    """
    partitions: dict[int, _Partition] = {}
    for record in records:
        part = partitions.get(record.partition)
        if part is None:
            part = partitions[record.partition] = _Partition()
        _sort_in(part, record, topic, topic_id, at)
        part.next_offset = record.offset + 1
    with db.transaction():
        for number, part in partitions.items():
            _stage(db, topic, topic_id, number, part.events, part.counts, at)
            dead_letters.keep(db, part.letters)
            counts.add(db, topic, number, part.counts)
            offsets.move_on(db, topic, topic_id, number, part.next_offset, at)


def replay(db: Database, letter: DeadLetter, at: str) -> str | None:
    """Reads a dead letter again as this release understands it; it is dropped once it is staged or skipped.

    Args:
        db: the staging database, outside of a transaction.
        letter: as it is kept.
        at: the time.

    Returns:
        Why it still cannot be understood, or None.
    """
    record = Record(letter.partition, letter.offset, letter.key, letter.value, letter.headers)
    part = _Partition()
    _sort_in(part, record, letter.topic, letter.topic_id, at)
    if part.letters:
        return part.letters[0].reason
    with db.transaction():
        _stage(db, letter.topic, letter.topic_id, letter.partition, part.events, part.counts, at)
        counts.add(db, letter.topic, letter.partition, part.counts)
        dead_letters.drop(db, letter.number)
    return None


def _sort_in(part: _Partition, record: Record, topic: str, topic_id: str, at: str) -> None:
    decoded = decode(record)
    if isinstance(decoded, Event):
        part.events.append((record, decoded))
        if decoded.key_disagrees:
            part.counts["key_disagrees"] += 1
    elif isinstance(decoded, Skipped):
        part.counts["skipped"] += 1
    else:
        assert isinstance(decoded, Undecodable)
        part.letters.append(
            DeadLetter(
                topic=topic,
                topic_id=topic_id,
                partition=record.partition,
                offset=record.offset,
                key=record.key,
                value=record.value,
                headers=record.headers,
                reason=decoded.reason,
                read_at=at,
            )
        )


def _stage(
    db: Database,
    topic: str,
    topic_id: str,
    partition: int,
    events: Sequence[tuple[Record, Event]],
    counted: Counter[What],
    at: str,
) -> None:
    # Folds the events to one row a customer before anything is written.
    if not events:
        return
    keys = sorted({(event.account_id, event.customer_id) for _, event in events})
    known = {key: Known(*row) for key, row in customers.positions_of(db, keys).items()}
    newest: dict[_Key, tuple[Record, Event]] = {}
    for record, event in events:
        key = event.account_id, event.customer_id
        new = Known(event.version, topic, topic_id, partition, record.offset, event.event_time)
        before = known.get(key)
        verdict = Verdict.NEWER if before is None else judge(before, new)
        if verdict is not Verdict.NEWER:
            counted[_COUNTED[verdict]] += 1
            continue
        if before is not None and event.version is None:
            new = new._replace(version=before.version)
        known[key] = new
        newest[key] = record, event
    rows = [
        (
            *key,
            *_columns(event.customer),
            event.deleted,
            known[key].version,
            event.event_id,
            event.event_time,
            topic,
            topic_id,
            partition,
            record.offset,
            at,
        )
        for key, (record, event) in sorted(newest.items(), key=itemgetter(0))
    ]
    customers.stage(db, rows)
    offsets.note_accounts(db, topic, topic_id, partition, {account for account, _ in keys})


def _columns(customer: PublishedCustomer | None) -> tuple[str | None, bytes | None]:
    if customer is None:
        return None, None
    if customer.marketing_consent is None:
        customer.marketing_consent = True
    customer.list_id = customer.list_id or None
    return address_key(customer.email), _encode(customer)
