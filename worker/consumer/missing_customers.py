"""Deletes customers that are in the ledger but no longer in the log, once a partition was read completely."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from worker.model import AccountId
from worker.sqlite.database import Database
from worker.store import first_reading
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
    """Stages them as deleted if nothing else can explain it, and logs it.

    Args:
        db: outside of a transaction.
        ledger_partition: returns the partition of an account's ledger.

    Raises:
        DatabaseError: the database cannot be used.
    """
    revived = first_reading.delete_revived(db)
    if revived:
        message = "still deleted: %s; the events that came again are older"
        log.info(message, counted(revived, "customer"), extra={"count": revived})
    for absent in first_reading.judge(db, topic, topic_id, ready, ledger_partition, at):
        if absent.deleted:
            log.warning(
                "partition %d was read to its end. Missing from it, and therefore deleted: %s of the ledger",
                absent.partition,
                counted(absent.deleted, "customer"),
                extra={"partition": absent.partition, "count": absent.deleted},
            )
        if absent.unclear:
            reason = absent.reason or "they were settled under another id of the topic, or checked again since"
            log.warning(
                "partition %d was read to its end. Not in it, but not deleted: %s of the ledger, because %s. Publish "
                "those that were deleted again, as .deleted",
                absent.partition,
                counted(absent.unclear, "customer"),
                reason,
                extra={"partition": absent.partition, "count": absent.unclear, "reason": reason},
            )
