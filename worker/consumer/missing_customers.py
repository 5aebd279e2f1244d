"""Customers that the ledger knows and the log no longer has, once a partition was read as a whole."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from worker.model import AccountId
from worker.store import first_reading
from worker.store.database import Database
from worker.text.plural import counted

log = logging.getLogger("worker.consumer")


def delete_missing(
    db: Database,
    topic: str,
    topic_id: str,
    ready: Collection[int],
    ledger_partition: Callable[[AccountId], int],
    at: str,
) -> None:
    """Stages them as deleted, where nothing else can be the reason, and logs it.

    Args:
        db: the staging database, outside of a transaction.
        ledger_partition: returns in which partition an account's ledger is kept.

    Raises:
        DatabaseError: the database cannot be used.
    """
    revived = first_reading.delete_revived(db)
    if revived:
        told = "still deleted: %s; the events that came again are older"
        log.info(told, counted(revived, "customer"), extra={"count": revived})
    for one in first_reading.judge(db, topic, topic_id, ready, ledger_partition, at):
        if one.deleted:
            log.warning(
                "partition %d was read to its end. Missing from it, and therefore deleted: %s of the ledger",
                one.partition,
                counted(one.deleted, "customer"),
                extra={"partition": one.partition, "count": one.deleted},
            )
        if one.unclear:
            reason = one.reason or "they were settled under another id of the topic, or checked again since"
            log.warning(
                "partition %d was read to its end. Not in it, but not deleted: %s of the ledger, because %s. Publish "
                "those that were deleted again, as .deleted",
                one.partition,
                counted(one.unclear, "customer"),
                reason,
                extra={"partition": one.partition, "count": one.unclear, "reason": reason},
            )
