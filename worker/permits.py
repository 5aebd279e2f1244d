"""Whose customers a flush may deliver: those whose partitions the consumer group gave to this worker."""

from __future__ import annotations

from collections.abc import Callable

from worker.consuming.ownership import Held, Ownership
from worker.model import AccountId
from worker.staging import offsets
from worker.staging.database import Database


class GroupPermits:
    """Asks the ownership, by the partitions in which each account's records were read, and by its ledger's."""

    def __init__(
        self,
        db: Database,
        ownership: Ownership,
        topic: str,
        topic_id: str,
        ledger_partition: Callable[[AccountId], int],
    ) -> None:
        """Looks the accounts' partitions up.

        Args:
            db: the staging database; not used after this.
            ownership: what the group gave.
            topic: the topic.
            topic_id: its id now.
            ledger_partition: tells in which partition an account's ledger is kept: the same, if publishers obey.
        """
        self._ownership = ownership
        self._partitions = offsets.account_partitions(db, topic, topic_id)
        self._ledger_partition = ledger_partition
        self._held: dict[AccountId, Held] = {}

    def why_not(self, account_id: AccountId) -> str | None:
        """Returns why nothing may be delivered for an account now; None where it may."""
        partitions = self._partitions.get(account_id, frozenset()) | {self._ledger_partition(account_id)}
        held = self._ownership.held(partitions)
        foreign = partitions - {partition for partition, _ in held}
        if foreign:
            others = "its partition is" if len(partitions) == 1 else f"partitions {_listed(foreign)} of it are"
            return f"Left to another worker: {others} not this worker's."
        if not partitions <= self._ownership.ready():
            return "Its partition is not read to its end yet, or a former owner may still be calling."
        self._held[account_id] = held
        return None

    def may_call(self, account_id: AccountId) -> bool:
        """Tells whether a call for the account may still be begun, since it was found that it may be delivered."""
        held = self._held.get(account_id)
        return held is not None and self._ownership.may_call(held)


def _listed(partitions: frozenset[int]) -> str:
    return ", ".join(str(one) for one in sorted(partitions))
