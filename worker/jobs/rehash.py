"""Renews hashes of what was sent while a worker has two secret keys, after `account rekey`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection
from functools import partial

from worker.app import App
from worker.fields.rehash import Rehashing, account_ids
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed
from worker.store import rekeying
from worker.store.rekeying import Rekeying
from worker.text.plural import counted

log = logging.getLogger("worker.daemon")

FAILURE = "hashes are not renewed yet"
MOST_PASSES = 3
"""How often to check all rows of a partition until none is left to renew: a flush may write an old hash meanwhile."""


def rehash(app: App, db: Database, partitions: Collection[int]) -> int:
    """Renews the hashes of accounts whose ledger this worker writes; returns how many rows it wrote.

    Args:
        app: with both secret keys; with one, nothing is done.
        db: outside of a transaction.
        partitions: of the ledger, read to their ends, as are their customers.

    Raises:
        WorkerError: not all is renewed; the next call continues.
    """
    change = rekeying.newest(db)
    if app.secret.previous is None or change is None or (change.key, change.before) != app.secret.names:
        return 0
    written = 0
    for partition in sorted(set(partitions) - set(rekeying.renewed(db, change))):
        for _ in range(MOST_PASSES):
            counts = _renew_partition(app, db, partition)
            written += counts["renewed"]
            if db.is_ending:
                return written
            if not counts["renewed"]:
                app.changelog.commit(db, partial(_note_renewed, db, partition, change, counts["left"]))
                break
    if written:
        line = "renewed the hashes of %s, by the new secret key"
        log.info(line, counted(written, "ledger row"), extra={"count": written})
    return written


def _note_renewed(db: Database, partition: int, change: Rekeying, rows_left: int) -> Changed[None]:
    return Changed(None, rekeying.note_renewed(db, partition, change, rows_left))


def _renew_partition(app: App, db: Database, partition: int) -> Counter[str]:
    counts = Counter({"renewed": 0, "left": 0})
    for account_id in account_ids(db):
        if db.is_ending:
            break
        if app.changelog.ledger_partition(account_id) == partition:
            state_if_missing = app.config.mailchimp.state_if_missing
            counts.update(Rehashing(db, app.changelog, app.hashes_of(account_id), state_if_missing).carry_out())
    return counts
