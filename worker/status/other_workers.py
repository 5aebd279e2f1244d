"""Which other worker of the group has an account, whose customers are then in that worker's database."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from worker.config import Config
from worker.consumer.instance import known_instance_of
from worker.kafka.group import Member, members_of, owners_elsewhere
from worker.kafka.partitioner import partition_of
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.sqlite.lock import is_locked
from worker.status.live import LiveWorker, read_live
from worker.store import offsets
from worker.text.plural import counted


def elsewhere(config: Config, db: Database, account_id: AccountId | None) -> str | None:
    """Returns a sentence or two for a person whose account another worker has, or may have.

    Args:
        account_id: None if it is unknown.

    Returns:
        None if this database's worker has the account, or if no worker runs that would know.
    """
    path = config.staging.path
    live, size = read_live(path), offsets.size_of(db, config.kafka.topic)
    if size is None:
        return None
    if live is not None and is_locked(path):
        return in_words(account_id, size.partitions, live.partitions.keys(), lambda: members_of(config.kafka) or ())
    if account_id is None:
        return None
    # A session that this database's former worker left is not another worker.
    owners = owners_elsewhere(config.kafka, known_instance_of(db) or "") or {}
    return _at_owner(account_id, size.partitions, owners)


def accounts_elsewhere(
    db: Database, topic: str, live: LiveWorker | None, account_ids: Iterable[AccountId]
) -> dict[AccountId, int]:
    """Returns those of the accounts that another worker has now, each with its partition.

    Args:
        live: what this database's worker last wrote about itself; None if it does not run.
    """
    size = offsets.size_of(db, topic)
    if size is None or live is None or not live.partitions:
        return {}
    read = offsets.account_partitions(db, topic, size.topic_id)
    own = {account_id: partition_of(account_id, size.ledger) for account_id in account_ids}
    return {
        account_id: partition
        for account_id, partition in own.items()
        if live.partitions.keys().isdisjoint({*read.get(account_id, ()), partition})
    }


def all_workers(config: Config, db: Database, live: LiveWorker | None) -> list[Member] | None:
    """Returns the workers of the group, ordered by partition.

    Args:
        live: what this database's worker last wrote about itself; None if it does not run.

    Returns:
        All of them, including this one; None if this worker has all partitions, does not run, or Kafka does not tell.
    """
    size = offsets.size_of(db, config.kafka.topic)
    if live is None or size is None or len(live.partitions) >= size.partitions:
        return None
    members = members_of(config.kafka)
    return members and sorted(members, key=lambda member: (not member.partitions, member.partitions, member.name))


def in_words(
    account_id: AccountId | None, partitions: int, own: Collection[int], members: Callable[[], Iterable[Member]]
) -> str | None:
    """Returns the sentence.

    Args:
        account_id: None if it is unknown.
        members: returns the workers of the group; none if Kafka does not tell.
    """
    if len(own) >= partitions:
        return None
    if account_id is None:
        return (
            f"This worker has {len(own)} of {counted(partitions, 'partition')} now: other accounts are in the "
            "databases of other workers. Run the command there too."
        )
    if partition_of(account_id, partitions) in own:
        return None
    owners = {partition: member.name for member in members() for partition in member.partitions}
    return _at_owner(account_id, partitions, owners) or _at(account_id, partitions, "Another worker")


def _at_owner(account_id: AccountId, partitions: int, owners: Mapping[int, str]) -> str | None:
    name = owners.get(partition_of(account_id, partitions))
    return None if name is None else _at(account_id, partitions, f"Another worker, {name},")


def _at(account_id: AccountId, partitions: int, worker: str) -> str:
    return (
        f"{worker} has account {account_id} now (partition {partition_of(account_id, partitions)}): its customers are "
        "known there. Run the command there."
    )
