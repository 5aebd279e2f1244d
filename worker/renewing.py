"""Renews hashes of what was sent while a worker has two secret keys, after `account rekey`."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Collection
from contextlib import closing
from functools import partial

from worker.app import App
from worker.consumer.owned_partitions import OwnedPartitions
from worker.errors import WorkerError
from worker.flush.rehash import Rehashing, account_ids
from worker.plural import counted
from worker.store import rekeying
from worker.store.changed_rows import Changed
from worker.store.database import Database

log = logging.getLogger("worker.daemon")

LOOK_SECONDS = 5.0
"""How often it is looked for whether the secret key was changed."""
AGAIN_SECONDS = 60.0
"""How long to wait after it could not be done."""
LOOKS = 3
"""How often all rows of a partition are looked at, until none is left to renew: a flush may have written an old one."""


def renew_hashes(app: App, db: Database, partitions: Collection[int]) -> int:
    """Renews the hashes of accounts whose ledger this worker writes; returns how many rows it wrote.

    Args:
        app: with both keys; else nothing is done.
        db: outside of a transaction.
        partitions: of the ledger, read to their ends, as are their customers.

    Raises:
        WorkerError: not all is renewed; the rest is found again.
    """
    wanted = rekeying.newest(db)
    if app.secret.previous is None or wanted is None or (wanted.key, wanted.before) != app.secret.names:
        return 0
    written = 0
    for partition in sorted(set(partitions) - set(rekeying.renewed(db, wanted))):
        for _ in range(LOOKS):
            counts = _renew_partition(app, db, partition)
            written += counts["renewed"]
            if _must_end(db):
                return written
            if not counts["renewed"]:
                act = partial(rekeying.note_renewed, db, partition, wanted, counts["left"])
                app.changelog.commit(db, lambda act=act: Changed(None, act()))  # type: ignore[misc]
                break
    if written:
        told = "renewed the hashes of %s, by the new secret key"
        log.info(told, counted(written, "ledger row"), extra={"count": written})
    return written


def _renew_partition(app: App, db: Database, partition: int) -> Counter[str]:
    counts = Counter({"renewed": 0, "left": 0})
    for account_id in account_ids(db):
        if _must_end(db):
            break
        if app.changelog.ledger_partition(account_id) == partition:
            state_if_missing = app.config.mailchimp.state_if_missing
            counts.update(Rehashing(db, app.changelog, app.hashes_of(account_id), state_if_missing).carry_out())
    return counts


def _must_end(db: Database) -> bool:
    return db.must_end is not None and db.must_end()


def try_to_renew(app: App, db: Database, partitions: Collection[int]) -> bool:
    """Does the same, and returns whether it could: hashes of the key before prevent no delivery."""
    try:
        renew_hashes(app, db, partitions)
    except WorkerError as error:
        log.warning("hashes are not renewed yet: %s %s", error.what, error.advice, extra={"reason": error.what})
        return False
    return True


class RenewingThread:
    """Renews hashes while a worker runs that has two secret keys, also while a flush is under way."""

    def __init__(self, app: App, owned_partitions: OwnedPartitions) -> None:
        self._app, self._owned_partitions = app, owned_partitions
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="renewing", daemon=True)

    def start(self) -> None:
        """Starts it, where there are two keys."""
        if self._app.secret.previous is not None:
            self._thread.start()

    def end(self, timeout: float) -> None:
        """Ends it; what it did not finish is found again."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        with closing(self._app.open_database()) as db:
            db.must_end = self._stop.is_set
            pause = LOOK_SECONDS
            while not self._stop.wait(pause):
                try:
                    renewed = try_to_renew(self._app, db, self._owned_partitions.ready())
                except Exception:
                    # Whatever it was, it is tried as long as the worker runs.
                    log.exception("renewing hashes failed; see the traceback below")
                    renewed = False
                pause = LOOK_SECONDS if renewed else AGAIN_SECONDS
