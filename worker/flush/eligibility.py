"""Which accounts a flush may deliver: those whose partitions the consumer group assigned to this worker.

An account's events and ledger are in one partition, so that one worker has both. If a publisher partitions differently,
or a topic's number of partitions changed, several workers may each have a part, and none delivers the account.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from worker.consumer.owned_partitions import Held, OwnedPartitions
from worker.kafka.partitioner import partition_of
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.store import offsets
from worker.store.offsets import TopicSize
from worker.store.run_result import RunResult
from worker.text.plural import counted

REMEDY = (
    "One worker alone delivers them. For several, make a new topic with as many partitions as you want and have all "
    "customers published there; run one worker alone until status shows all partitions read, end it, set kafka.topic "
    "to the new topic, run mailchimp-worker move-ledger, and start the other workers with new databases."
)


class Refused(NamedTuple):
    """Why an account is not delivered by this worker now.

    Attributes:
        end: how its part of the run ends: failed if it is known that no other worker delivers it either.
    """

    reason: str
    end: RunResult


class Eligibility(Protocol):
    """Decides which accounts may be delivered: their partition is assigned to this worker and read to its end."""

    def why_not(self, account_id: AccountId) -> Refused | None:
        """Returns why nothing may be delivered for an account now; None if it may."""
        ...

    def may_call(self, account_id: AccountId) -> bool:
        """Returns whether a call for the account may still start."""
        ...


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
        where = f"events in partition {_listed(self.partitions)}, by the contract {self.expected}"
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


class GroupEligibility:
    """Decides by the assignment, the partitions of each account's records, and that of its ledger."""

    def __init__(
        self,
        db: Database,
        owned_partitions: OwnedPartitions,
        topic: str,
        topic_id: str,
        ledger_partition: Callable[[AccountId], int],
    ) -> None:
        """Looks up the accounts' partitions.

        Args:
            db: the staging database; not used afterwards.
            ledger_partition: returns the partition of an account's ledger: that of its events, if publishers comply.
        """
        self._ownership = owned_partitions
        self._partitions = offsets.account_partitions(db, topic, topic_id)
        self._ledger_partition = ledger_partition
        self._assignments: dict[AccountId, Held] = {}

    def why_not(self, account_id: AccountId) -> Refused | None:
        """Returns why nothing may be delivered for an account now; None if it may."""
        partitions = self._partitions.get(account_id, frozenset()) | {self._ledger_partition(account_id)}
        assignments = self._ownership.held(partitions)
        foreign = partitions - {partition for partition, _ in assignments}
        if foreign and assignments:
            # A worker with the others does not have these.
            reason = (
                f"No worker delivers it: its events and its ledger are in partitions {_listed(partitions)}, of which "
                f"{_listed(foreign)} are not this worker's. {REMEDY}"
            )
            return Refused(reason, RunResult.FAILED)
        if foreign:
            subject = "its partition is" if len(partitions) == 1 else f"partitions {_listed(foreign)} of it are"
            return Refused(f"Left to another worker: {subject} not this worker's.", RunResult.DONE)
        if not partitions <= self._ownership.ready():
            reason = "Its partition is not read to its end yet, or a former owner may still be calling."
            return Refused(reason, RunResult.INCOMPLETE)
        self._assignments[account_id] = assignments
        return None

    def may_call(self, account_id: AccountId) -> bool:
        """Returns whether a call may still start for an account that :meth:`why_not` allowed."""
        assignments = self._assignments.get(account_id)
        return assignments is not None and self._ownership.may_call(assignments)


def _listed(partitions: frozenset[int]) -> str:
    return ", ".join(str(partition) for partition in sorted(partitions))
