"""Whose customers a flush may deliver: those whose partitions the consumer group gave to this worker."""

from __future__ import annotations

from worker.consuming.ownership import Ownership
from worker.model import AccountId
from worker.staging import offsets
from worker.staging.database import Database


class GroupPermits:
    """Asks the ownership, by the partitions in which each account's records were read."""

    def __init__(self, db: Database, ownership: Ownership, topic: str, topic_id: str) -> None:
        """Looks the accounts' partitions up.

        Args:
            db: the staging database; not used after this.
            ownership: what the group gave.
            topic: the topic.
            topic_id: its id now.
        """
        self._ownership = ownership
        self._partitions = offsets.account_partitions(db, topic, topic_id)

    def why_not(self, account_id: AccountId) -> str | None:
        """Returns why nothing may be delivered for an account now; None where it may."""
        partitions = self._partitions.get(account_id, frozenset())
        foreign = partitions - self._ownership.owned()
        if foreign:
            others = "its partition is" if len(partitions) == 1 else f"partitions {_listed(foreign)} of it are"
            return f"Left to another worker: {others} not this worker's."
        if not self._ownership.owned():
            return "Left to another worker: this one has no partition."
        if not partitions <= self._ownership.caught_up():
            return "Its partition is not read to its end yet."
        return None

    def may_call(self, account_id: AccountId) -> bool:
        """Tells whether a call for the account may still be begun."""
        return self._ownership.may_call(self._partitions.get(account_id, frozenset()))


def _listed(partitions: frozenset[int]) -> str:
    return ", ".join(str(one) for one in sorted(partitions))
