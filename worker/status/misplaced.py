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
        counted_by: the number of partitions of the events topic, by which the contract places an account.
        ledger: where its ledger is.
        ledger_counted_by: the number of partitions of the ledger topic, by which the worker places it there.
    """

    account_id: AccountId
    partitions: frozenset[int]
    expected: int
    counted_by: int
    ledger: int
    ledger_counted_by: int

    def __str__(self) -> str:
        """Returns the account and its partitions."""
        where = f"events in partition {', '.join(map(str, sorted(self.partitions)))}"
        expected = f"by the contract in {self.expected}, with {counted(self.counted_by, 'partition')}"
        ledger = f"its ledger in {self.ledger}, with {self.ledger_counted_by}"
        return f"{self.account_id} ({where}; {expected}; {ledger})"


def misplaced(db: Database, topic: str, size: TopicSize | None = None) -> list[Misplaced]:
    """Returns the accounts that only a worker with several partitions can deliver, whichever worker has them.

    Args:
        size: the topics' numbers of partitions; None for those that a worker last found.
    """
    size = size or offsets.size_of(db, topic)
    if size is None:
        return []
    accounts = (
        Misplaced(
            account_id,
            read,
            expected=partition_of(account_id, size.partitions),
            counted_by=size.partitions,
            ledger=partition_of(account_id, size.ledger),
            ledger_counted_by=size.ledger,
        )
        for account_id, read in offsets.account_partitions(db, topic, size.topic_id).items()
    )
    return sorted(
        (account for account in accounts if account.partitions | {account.expected} != {account.ledger}),
        key=lambda account: account.account_id,
    )


def partition_mismatch(topic: str, size: TopicSize) -> str | None:
    """Returns a warning if a topic and its ledger topic differ in their number of partitions; else None."""
    if size.partitions == size.ledger:
        return None
    return (
        f"{topic} has {counted(size.partitions, 'partition')}, and its ledger's topic {size.ledger}. Publishers place "
        "accounts by the first number, and the worker places their ledger by the second. For some accounts these are "
        f"two different partitions, which two workers may have. {REMEDY}"
    )
