"""Which accounts a flush may deliver: those whose partitions the consumer group assigned to this worker.

An account's events and ledger are in one partition, so that one worker has both. If a publisher partitions differently,
or a topic's number of partitions changed, several workers may each have a part, and none delivers the account.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

from worker.consumer.owned_partitions import Held, OwnedPartitions
from worker.kafka.partitioner import partition_of
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.store import offsets
from worker.store.run_result import RunResult

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


class Eligibility:
    """Decides by the assignment, the partitions of each account's records, and that of its ledger."""

    def __init__(
        self,
        db: Database,
        owned_partitions: OwnedPartitions,
        topic: str,
        topic_id: str,
        ledger_partition: Callable[[AccountId], int],
        owners_elsewhere: Callable[[], Mapping[int, str] | None],
    ) -> None:
        """Looks up the accounts' partitions.

        Args:
            db: the staging database; not used afterwards.
            ledger_partition: returns the partition of an account's ledger: that of its events, if publishers comply.
            owners_elsewhere: asks Kafka which partitions other workers have; None if it does not tell.
        """
        self._owned_partitions = owned_partitions
        self._partitions = offsets.account_partitions(db, topic, topic_id)
        size = offsets.size_of(db, topic)
        self._events_partitions = size.partitions if size is not None and size.topic_id == topic_id else None
        self._ledger_partition = ledger_partition
        self._assignments: dict[AccountId, Held] = {}
        self._owners_elsewhere = owners_elsewhere
        self._asked: tuple[Mapping[int, str] | None] | None = None
        self._asking = threading.Lock()

    def why_not(self, account_id: AccountId) -> Refused | None:
        """Returns why nothing may be delivered for an account now; None if it may."""
        partitions = self._partitions.get(account_id, frozenset()) | {self._ledger_partition(account_id)}
        if self._events_partitions is not None:
            # Where its events go now: if partitions were added, another worker may have read newer ones there.
            partitions |= {partition_of(account_id, self._events_partitions)}
        assignments = self._owned_partitions.held(partitions)
        foreign = partitions - {partition for partition, _ in assignments}
        if foreign:
            return self._refused(partitions, foreign)
        if not partitions <= self._owned_partitions.ready():
            reason = "Its partition is not read to its end yet, or a former owner may still be calling."
            return Refused(reason, RunResult.INCOMPLETE)
        self._assignments[account_id] = assignments
        return None

    def _refused(self, partitions: frozenset[int], foreign: frozenset[int]) -> Refused:
        owners = self._owners()
        if owners is not None and (unowned := foreign - owners.keys()):
            reason = (
                f"No worker has partition {_listed(unowned)} now: the group has not assigned it yet. "
                "mailchimp-worker status shows when this worker has it."
            )
            return Refused(reason, RunResult.INCOMPLETE)
        if foreign != partitions:
            # A worker with the others does not have these.
            reason = (
                f"No worker delivers it: its events and its ledger are in partitions {_listed(partitions)}, of which "
                f"{_listed(foreign)} are not this worker's. {REMEDY}"
            )
            return Refused(reason, RunResult.FAILED)
        subject = "its partition is" if len(partitions) == 1 else f"partitions {_listed(foreign)} of it are"
        if owners is None:
            reason = f"{subject.capitalize()} not this worker's, and Kafka does not say whether another worker has it."
            return Refused(reason, RunResult.INCOMPLETE)
        return Refused(f"Left to another worker: {subject} not this worker's.", RunResult.DONE)

    def _owners(self) -> Mapping[int, str] | None:
        # Asked once for a run, and only if an account is not this worker's.
        with self._asking:
            if self._asked is None:
                self._asked = (self._owners_elsewhere(),)
            return self._asked[0]

    def may_call(self, account_id: AccountId) -> bool:
        """Returns whether a call may still start for an account that :meth:`why_not` allowed."""
        assignments = self._assignments.get(account_id)
        return assignments is not None and self._owned_partitions.may_call(assignments)


def _listed(partitions: frozenset[int]) -> str:
    return ", ".join(str(partition) for partition in sorted(partitions))
