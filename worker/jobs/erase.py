"""Carries out requests to erase a person: again and again while a worker runs, and once before a flush."""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta

from worker.accounts import erasures
from worker.accounts.erasures import OwnCopy
from worker.app import App
from worker.clock import as_text
from worker.consumer.instance import instance_of
from worker.consumer.owned_partitions import OwnedPartitions
from worker.jobs.job import Job, attempt
from worker.sqlite.database import Database
from worker.store import erasure_requests

log = logging.getLogger("worker.daemon")

AGAIN_DAYS = 7
"""How old requests may be that are carried out once more when this worker gets a partition."""

WITHOUT_PARTITIONS_SECONDS = 60.0
"""How long a worker waits for a partition before it erases from its copy alone."""

_FAILURE = "a request to erase waits"
_one_at_a_time = threading.Lock()


def carry_out_requests(app: App, db: Database) -> None:
    """Erases from this database, and in Kafka where this worker writes, who is to be erased and is not yet.

    Raises:
        WorkerError: not all is erased; what is left is found again.
    """
    with _one_at_a_time:
        if not erasure_requests.to_do(db):
            return
        ledger = app.changelog.topics.ledger
        own_copy = OwnCopy(ledger.name, ledger.partition_of)
        name = instance_of(db, "")
        gone = erasures.carry_out(db, app.changelog, own_copy, app.secret, name, app.clock())
    counts = ", ".join(f"{count} {what}" for what, count in gone.items() if count) or "nothing of them was here"
    log.info("requests to erase were carried out: %s", counts, extra={"counts": dict(gone)})


def try_to_carry_out(app: App, db: Database) -> bool:
    """Does the same before a flush, and returns whether it could: what cannot be erased now prevents no delivery."""
    return attempt(lambda: carry_out_requests(app, db), _FAILURE)


class Erase(Job):
    """Carries out requests as they come, also while a flush is under way."""

    name, failure = "erase", _FAILURE
    every, retry_after = 1.0, 30.0

    def __init__(self, app: App, owned_partitions: OwnedPartitions) -> None:
        self._app, self._owned_partitions = app, owned_partitions
        self._known: frozenset[int] = frozenset()
        self._began = time.monotonic()

    def step(self, db: Database) -> None:
        """Carries out what waits, where what this worker knows of ledger and customers is complete."""
        ready = frozenset(self._owned_partitions.ready())
        if new := ready - self._known:
            since = as_text(self._app.clock() - timedelta(days=AGAIN_DAYS))
            with db.transaction():
                erasure_requests.look_again(db, since)
        self._known = ready if new or not ready else self._known & ready
        # Its ledger is read by then, so that nobody is erased by what is no longer so.
        alone = not ready and time.monotonic() - self._began > WITHOUT_PARTITIONS_SECONDS
        if ready == self._owned_partitions.owned() and (ready or alone):
            carry_out_requests(self._app, db)
