"""Accounts whose events and ledger are not in one partition, so that perhaps no worker can deliver them."""

from __future__ import annotations

from dataclasses import dataclass

from worker.flush.eligibility import REMEDY
from worker.kafka.partitioner import partition_of
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.store import offsets
from worker.store.offsets import TopicSize
from worker.text.plural import counted


@dataclass(frozen=True, slots=True)
class Misplaced:
    """An account whose events and ledger are not in one partition.

    Attributes:
        partitions: where its events were read.
        expected: where they belong by the contract.
        ledger: where its ledger is.
    """

    account_id: AccountId
    partitions: frozenset[int]
    expected: int
    ledger: int

    def __str__(self) -> str:
        """Returns the account and its partitions."""
        where = f"events in partition {', '.join(map(str, sorted(self.partitions)))}, by the contract {self.expected}"
        return f"{self.account_id} ({where}, ledger in {self.ledger})"


def misplaced(db: Database, topic: str) -> list[Misplaced]:
    """Returns the accounts that only a worker with several partitions can deliver, whichever worker has them."""
    size = offsets.size_of(db, topic)
    if size is None:
        return []
    accounts = (
        Misplaced(account_id, read, partition_of(account_id, size.partitions), partition_of(account_id, size.ledger))
        for account_id, read in offsets.account_partitions(db, topic, size.topic_id).items()
    )
    return sorted(
        (account for account in accounts if account.partitions != {account.ledger}),
        key=lambda account: account.account_id,
    )


def partition_mismatch(topic: str, size: TopicSize) -> str | None:
    """Returns a warning if a topic and its ledger topic differ in their number of partitions; else None."""
    if size.partitions == size.ledger:
        return None
    return (
        f"{topic} has {counted(size.partitions, 'partition')}, and its ledger's topic {size.ledger}. For some accounts "
        f"these are two different partitions, which two workers may have. {REMEDY}"
    )
