"""Whether another worker of the group has an account, and which: its customers are in that worker's database."""

from __future__ import annotations

from collections.abc import Callable, Collection

from worker.config import Config
from worker.kafka.group import owner_of
from worker.kafka.partitioner import partition_of
from worker.model import AccountId
from worker.plural import counted
from worker.status.live import read_live
from worker.store import offsets
from worker.store.database import Database
from worker.store.lock import is_locked


def elsewhere(config: Config, db: Database, account_id: AccountId | None) -> str | None:
    """Returns what to tell a person whose account another worker has, or may have, as far as is known.

    Args:
        config: names the group, the topic and the database.
        db: the database.
        account_id: the account; None where it is not known.

    Returns:
        A sentence or two; None where this database's worker has it, or none runs that would know.
    """
    path = config.staging.path
    live, size = read_live(path), offsets.size_of(db, config.kafka.topic)
    if live is None or size is None or not is_locked(path):
        return None
    return in_words(account_id, size.partitions, live.partitions.keys(), lambda one: owner_of(config.kafka, one))


def in_words(
    account_id: AccountId | None, partitions: int, own: Collection[int], owner: Callable[[int], str | None]
) -> str | None:
    """Returns the sentence.

    Args:
        account_id: the account; None where it is not known.
        partitions: how many the topic has.
        own: those that this worker has now.
        owner: returns the name of the worker that has a partition; None where Kafka does not say.
    """
    if len(own) >= partitions:
        return None
    if account_id is None:
        return (
            f"This worker has {len(own)} of {counted(partitions, 'partition')} now: other accounts are in the "
            "databases of other workers. Ask there too."
        )
    partition = partition_of(account_id, partitions)
    if partition in own:
        return None
    name = owner(partition)
    which = f"Another worker, {name}," if name else "Another worker"
    return f"{which} has account {account_id} now (partition {partition}): its customers are known there. Ask there."
