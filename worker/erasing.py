"""The thread of a running worker that carries out requests to erase, and the step of a run that does the same."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import closing
from datetime import timedelta

from worker.accounts import erasures
from worker.accounts.erasures import OwnCopy
from worker.app import App
from worker.clock import as_text
from worker.consumer.instance import instance_of
from worker.consumer.owned_partitions import OwnedPartitions
from worker.errors import WorkerError
from worker.store import erasure_requests
from worker.store.database import Database

log = logging.getLogger("worker.daemon")

LOOK_SECONDS = 1.0
"""How often requests are looked for."""
AGAIN_SECONDS = 30.0
"""How long to wait after one could not be carried out."""
AGAIN_DAYS = 7
"""How old requests may be that are carried out once more when this worker gets a partition."""

WITHOUT_PARTITIONS_SECONDS = 60.0
"""How long a worker waits for a partition before it erases from its copy alone."""

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
    told = ", ".join(f"{count} {what}" for what, count in gone.items() if count) or "nothing of them was here"
    log.info("requests to erase were carried out: %s", told, extra={"counts": dict(gone)})


def try_to_carry_out(app: App, db: Database) -> bool:
    """Does the same before a flush, and returns whether it could: what cannot be erased now prevents no delivery."""
    try:
        carry_out_requests(app, db)
    except WorkerError as error:
        facts = {"reason": error.what}
        log.warning("a request to erase waits: %s %s", error.what, error.advice, extra=facts)
        return False
    return True


class ErasingThread:
    """Carries out requests while a worker runs, also while a flush is under way."""

    def __init__(self, app: App, owned_partitions: OwnedPartitions) -> None:
        self._app, self._owned_partitions = app, owned_partitions
        self._stop = threading.Event()
        self._known: frozenset[int] = frozenset()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="erasing", daemon=True)

    def start(self) -> None:
        """Starts it."""
        self._thread.start()

    def end(self, timeout: float) -> None:
        """Ends it; what it did not finish is found again."""
        self._stop.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        with closing(self._app.open_database()) as db:
            db.must_end = self._stop.is_set
            pause = LOOK_SECONDS
            while not self._stop.wait(pause):
                try:
                    carried_out = self._step(db)
                except Exception:
                    # Whatever it was, requests are looked for as long as the worker runs.
                    log.exception("looking for requests to erase failed; see the traceback below")
                    carried_out = False
                pause = LOOK_SECONDS if carried_out else AGAIN_SECONDS

    def _step(self, db: Database) -> bool:
        ready = frozenset(self._owned_partitions.ready())
        if new := ready - self._known:
            since = as_text(self._app.clock() - timedelta(days=AGAIN_DAYS))
            with db.transaction():
                erasure_requests.look_again(db, since)
        self._known = ready if new or not ready else self._known & ready
        # Its ledger is read by then, so that nobody is erased by what is no longer so.
        alone = not ready and time.monotonic() - self._began > WITHOUT_PARTITIONS_SECONDS
        may = ready == self._owned_partitions.owned() and (ready or alone)
        return try_to_carry_out(self._app, db) if may else True
