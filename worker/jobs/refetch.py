"""Reads the records of bare customers again, once their account is connected.

A separate consumer reads the partition from the first of these records, for all accounts that were connected by then.
It fills only rows that are still bare, so staging and the flushes of other accounts continue meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from worker.app import App
from worker.changelog.topic_log import TopicLog
from worker.clock import as_text
from worker.consumer.batch import Batch
from worker.consumer.decode import Event, Record, decode
from worker.consumer.erased_customers import ErasedCustomers
from worker.consumer.owned_partitions import OwnedPartitions
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.store import bare_customers, erasure_requests, offsets
from worker.store.bare_customers import BareAccount
from worker.text.plural import counted

log = logging.getLogger("worker.daemon")

MOST_AT_ONCE = 2000
"""Most records written in one transaction."""
MOST_BYTES = 8 * 1024 * 1024
"""Most bytes of values written in one transaction."""
PROGRESS_EVERY = 100_000
"""Offsets after which the progress is stored, even if they had no records of these accounts."""


def being_read(db: Database, owned: Collection[int], log_id: tuple[str, str]) -> set[AccountId]:
    """Returns the accounts whose customers this worker is reading again, or will.

    Args:
        log_id: the events topic, with Kafka's current id of it.
    """
    return {account.account_id for account in _read_again_here(db, owned, log_id)}


def _read_again_here(db: Database, owned: Collection[int], log_id: tuple[str, str]) -> list[BareAccount]:
    accounts = bare_customers.to_read(db)
    return [
        account for account in accounts if account.partition in owned or (account.topic, account.topic_id) != log_id
    ]


@dataclass(slots=True)
class Refetch:
    """Fills bare customers of connected accounts.

    Attributes:
        topic_id: returns Kafka's current id of the events topic.
    """

    app: App
    owned_partitions: OwnedPartitions
    topic_id: Callable[[], str]

    def step(self, db: Database) -> None:
        """Reads again, partition by partition. What was written before a failure stays."""
        topic, topic_id, ready = self.app.config.kafka.topic, self.topic_id(), self.owned_partitions.ready()
        if not ready or topic_id != self.topic_id():
            return
        partitions: dict[int, list[BareAccount]] = {}
        for account in _read_again_here(db, ready, (topic, topic_id)):
            if (account.topic, account.topic_id) == (topic, topic_id):
                partitions.setdefault(account.partition, []).append(account)
            elif ready == self.owned_partitions.owned():
                # The topic was recreated, so nothing can read the old one. The current one was read to its end.
                _end(db, [account])
        for partition, accounts in partitions.items():
            self._read(_Partition(self, db, topic_id, partition, accounts))

    def _read(self, reading: _Partition) -> None:
        topic = self.app.config.kafka.topic
        with closing(TopicLog(self.app.config.kafka)) as events:
            low, high = events.bounds(topic, reading.partition)
            end = min(offsets.next_of(reading.db, topic, reading.topic_id, reading.partition) or 0, high)
            start = max(low, min(account.first_offset for account in reading.accounts))
            named = ", ".join(account.account_id for account in reading.accounts)
            facts = {"partition": reading.partition, "offset": start, "end": end, "count": len(reading.accounts)}
            line = "customers of %s are read again, connected since: partition %d, offsets %d to %d"
            log.info(line, named, reading.partition, start, end, extra=facts)
            reading.written = start
            for records in events.records(topic, reading.partition, start, end, reading.may_continue):
                reading.take(records)
        if reading.write(end):
            _end(reading.db, reading.accounts, end)


def _end(db: Database, accounts: Sequence[BareAccount], read_to: int | None = None) -> None:
    for account in accounts:
        with db.transaction():
            # Until now, nobody could find these customers by address.
            erasure_requests.repeat_persons(db)
        if missing := bare_customers.end(db, account, read_to):
            log.warning(
                "account %s: %s cannot be delivered before the next event of each, because its record is gone from "
                "partition %d. Publish these customers again",
                account.account_id,
                counted(missing, "customer"),
                account.partition,
                extra={"account": account.account_id, "partition": account.partition, "count": missing},
            )


@dataclass(slots=True)
class _Partition:
    """A partition being read again.

    Attributes:
        accounts: those it is read for; an account that is forgotten meanwhile is left out.
        written: everything before this offset is written.
    """

    job: Refetch
    db: Database
    topic_id: str
    partition: int
    accounts: list[BareAccount]
    written: int = 0
    _records: list[Record] = field(default_factory=list)
    _bytes: int = 0

    def may_continue(self) -> bool:
        """Returns whether to continue: the partition and its topic are unchanged, and accounts are left."""
        still_owned = self.partition in self.job.owned_partitions.ready() and self.job.topic_id() == self.topic_id
        return still_owned and bool(self.accounts) and not self.db.is_ending

    def take(self, records: Sequence[Record]) -> None:
        """Collects records of the accounts, and writes them once there are enough."""
        account_ids = {account.account_id for account in self.accounts}
        for record in records:
            event = decode(record)
            if isinstance(event, Event) and event.account_id in account_ids:
                self._records.append(record)
                self._bytes += len(record.value or b"")
        end = records[-1].offset + 1
        if len(self._records) >= MOST_AT_ONCE or self._bytes >= MOST_BYTES or end - self.written >= PROGRESS_EVERY:
            self.write(end)

    def write(self, end: int) -> bool:
        """Writes the collected records, and `end` as the progress; returns False if it must not continue."""
        if not self.may_continue():
            return False
        app, db = self.job.app, self.db
        with db.transaction():
            batch = Batch(db, app.config.kafka.topic, self.topic_id, erased=ErasedCustomers(app.hash_key))
            batch.add(self._records)
            batch.customers.write_fills(as_text(app.clock()))
            moved = (bare_customers.move(db, account, max(end, account.first_offset)) for account in self.accounts)
            self.accounts = [account for account in moved if account is not None]
        self._records, self._bytes, self.written = [], 0, end
        return True
