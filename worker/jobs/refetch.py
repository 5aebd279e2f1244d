"""Reads customers again that are staged without their fields, once their account is connected.

A consumer of its own reads the partition from the first of them on, for all accounts that were connected by then; what
it finds is written only where a customer is still bare. So staging and the flushes of other accounts go on meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from worker.app import App
from worker.changelog.topic_log import TopicLog
from worker.changelog.topics import ChangelogTopic
from worker.clock import as_text
from worker.consumer.batch import Batch
from worker.consumer.decode import Event, Record, decode
from worker.consumer.erased_customers import ErasedCustomers
from worker.consumer.messages import record_of
from worker.consumer.owned_partitions import OwnedPartitions
from worker.jobs.job import Job
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.store import bare_customers, erasure_requests, offsets
from worker.store.bare_customers import BareAccount
from worker.text.plural import counted

log = logging.getLogger("worker.daemon")

MOST_AT_ONCE = 2000
"""Records of these accounts that are written in one transaction."""
MOST_BYTES = 8 * 1024 * 1024
"""Of their values."""
NOTED_AFTER = 100_000
"""Offsets after which it is noted how far a partition is read, though it had nothing of these accounts."""


def being_read(db: Database, owned: Collection[int], log_id: tuple[str, str]) -> set[AccountId]:
    """Returns the accounts whose customers this worker reads again, or is about to.

    Args:
        owned: the partitions that are this worker's.
        log_id: the topic of events, with Kafka's id of it now.
    """
    return {one.account_id for one in _mine(db, owned, log_id)}


def _mine(db: Database, owned: Collection[int], log_id: tuple[str, str]) -> list[BareAccount]:
    found = bare_customers.to_read(db)
    return [one for one in found if one.partition in owned or (one.topic, one.topic_id) != log_id]


@dataclass(slots=True)
class Refetch(Job):
    """Gives bare customers of connected accounts their fields.

    Attributes:
        topic_id: returns Kafka's id of the topic of events now.
    """

    name, failure = "refetch", "customers of accounts that were connected cannot be read again now"
    every, retry_after = 0.5, 10.0

    app: App
    owned_partitions: OwnedPartitions
    topic_id: Callable[[], str]

    def step(self, db: Database) -> None:
        """Reads what is to be read again now, partition by partition; what is written stays so after a failure."""
        topic, topic_id, ready = self.app.config.kafka.topic, self.topic_id(), self.owned_partitions.ready()
        if not ready or topic_id != self.topic_id():
            return
        partitions: dict[int, list[BareAccount]] = {}
        for one in _mine(db, ready, (topic, topic_id)):
            if (one.topic, one.topic_id) == (topic, topic_id):
                partitions.setdefault(one.partition, []).append(one)
            elif ready == self.owned_partitions.owned():
                # Nothing reads a topic any more that was recreated since. The present one was read to its end.
                _end(db, [one])
        for partition, accounts in partitions.items():
            self._read(_Partition(self, db, topic_id, partition, accounts))

    def _read(self, one: _Partition) -> None:
        topic = ChangelogTopic(self.app.config.kafka.topic, one.topic_id, 0)
        with closing(TopicLog(self.app.config.kafka)) as events:
            low, high = events.bounds(topic, one.partition)
            end = min(offsets.next_of(one.db, topic.name, topic.topic_id, one.partition) or 0, high)
            start = max(low, min(account.first_offset for account in one.accounts))
            named = ", ".join(account.account_id for account in one.accounts)
            facts = {"partition": one.partition, "offset": start, "end": end, "count": len(one.accounts)}
            line = "customers of %s are read again, connected since: partition %d, offsets %d to %d"
            log.info(line, named, one.partition, start, end, extra=facts)
            one.written = start
            for messages in events.records(topic, one.partition, start, end, one.goes_on):
                one.take([record_of(message) for message in messages])
        if one.write(end):
            _end(one.db, one.accounts, end)


def _end(db: Database, accounts: Sequence[BareAccount], read_to: int | None = None) -> None:
    for one in accounts:
        with db.transaction():
            # Nobody could find a person by address who was not read yet.
            erasure_requests.look_again_for_persons(db)
        if left := bare_customers.end(db, one, read_to):
            log.warning(
                "account %s: %s cannot be delivered before the next event of each, because its record is gone from "
                "partition %d. Publish these customers again",
                one.account_id,
                counted(left, "customer"),
                one.partition,
                extra={"account": one.account_id, "partition": one.partition, "count": left},
            )


@dataclass(slots=True)
class _Partition:
    """One partition that is read again.

    Attributes:
        accounts: for which; one that is forgotten meanwhile is left out from then on.
        written: the offset up to which all is written.
    """

    job: Refetch
    db: Database
    topic_id: str
    partition: int
    accounts: list[BareAccount]
    written: int = 0
    _records: list[Record] = field(default_factory=list)
    _bytes: int = 0

    def goes_on(self) -> bool:
        """Returns whether it is still wanted."""
        here = self.partition in self.job.owned_partitions.ready() and self.job.topic_id() == self.topic_id
        return here and bool(self.accounts) and not self.db.is_ending

    def take(self, records: Sequence[Record]) -> None:
        """Takes what was read; writes once there is enough."""
        wanted = {one.account_id for one in self.accounts}
        for record in records:
            event = decode(record)
            if isinstance(event, Event) and event.account_id in wanted:
                self._records.append(record)
                self._bytes += len(record.value or b"")
        end = records[-1].offset + 1
        if len(self._records) >= MOST_AT_ONCE or self._bytes >= MOST_BYTES or end - self.written >= NOTED_AFTER:
            self.write(end)

    def write(self, end: int) -> bool:
        """Writes what was taken, and that all up to an offset was read; returns whether it did."""
        if not self.goes_on():
            return False
        app, db = self.job.app, self.db
        with db.transaction():
            batch = Batch(db, app.config.kafka.topic, self.topic_id, erased=ErasedCustomers(app.hash_key))
            batch.add(self._records)
            batch.write_fills(as_text(app.clock()))
            moved = (bare_customers.move(db, one, max(end, one.first_offset)) for one in self.accounts)
            self.accounts = [one for one in moved if one is not None]
        self._records, self._bytes, self.written = [], 0, end
        return True
