"""Carries out requests to erase a person or an account: as they come while a worker runs, and before each flush."""

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
from worker.sqlite.database import Database
from worker.store import erasure_requests

log = logging.getLogger("worker.daemon")

FAILURE = "a request to erase waits"

AGAIN_DAYS = 7
"""Requests at most this old are carried out again when this worker gets a partition."""

WITHOUT_PARTITIONS_SECONDS = 60.0
"""How long a worker without partitions waits before it erases from its own copy only."""

_one_at_a_time = threading.Lock()


def carry_out_requests(app: App, db: Database) -> None:
    """Carries out open requests, in this database and in the partitions of Kafka that this worker writes.

    Raises:
        WorkerError: not all is erased; the next call continues.
    """
    with _one_at_a_time:
        if not erasure_requests.to_do(db):
            return
        ledger = app.changelog.topics.ledger
        own_copy = OwnCopy(ledger.name, ledger.partition_of)
        name = instance_of(db, "")
        deleted = erasures.carry_out(db, app.changelog, own_copy, app.secret, name, app.clock())
    counts = ", ".join(f"{count} {kind}" for kind, count in deleted.items() if count) or "nothing of them was here"
    log.info("requests to erase were carried out: %s", counts, extra={"counts": dict(deleted)})


class Erase:
    """Carries out requests as they come, also during a flush."""

    def __init__(self, app: App, owned_partitions: OwnedPartitions) -> None:
        self._app, self._owned_partitions = app, owned_partitions
        self._known: frozenset[int] = frozenset()
        self._began = time.monotonic()

    def step(self, db: Database) -> None:
        """Carries out open requests, once ledger and customers of all owned partitions are read."""
        ready = frozenset(self._owned_partitions.ready())
        if new := ready - self._known:
            since = as_text(self._app.clock() - timedelta(days=AGAIN_DAYS))
            with db.transaction():
                erasure_requests.repeat(db, since)
        self._known = ready if new or not ready else self._known & ready
        # Waits for ledger and customers, so that nobody is erased because of outdated rows.
        alone = not ready and time.monotonic() - self._began > WITHOUT_PARTITIONS_SECONDS
        if ready == self._owned_partitions.owned() and (ready or alone):
            carry_out_requests(self._app, db)
