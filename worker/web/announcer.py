"""Announces this worker's URL to the other workers whenever its partitions change."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from contextlib import closing

from worker.app import App
from worker.clock import as_text
from worker.errors import WorkerError
from worker.sqlite.rows import Changed
from worker.store import worker_urls

log = logging.getLogger("worker.web")

LOOK_SECONDS = 1.0


class Announcer:
    """A thread that writes to the settings topic. It retries what cannot be written."""

    def __init__(self, app: App, owned: Callable[[], Collection[int]], why_not_ready: Callable[[], str | None]) -> None:
        """Starts nothing yet.

        Args:
            why_not_ready: returns why settings cannot be written yet; None once they can.
        """
        self._app, self._owned, self._why_not_ready = app, owned, why_not_ready
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="announce", daemon=True)
        self._failed = False

    def start(self) -> None:
        """Starts the thread, if the operator configured this worker's URL."""
        if self._app.config.web.worker_url:
            self._thread.start()

    def close(self) -> None:
        """Stops the thread."""
        self._stop.set()

    def _run(self) -> None:
        announced: frozenset[int] | None = None
        while not self._stop.wait(LOOK_SECONDS):
            owned = frozenset(self._owned())
            if owned != announced and self._why_not_ready() is None and self._announce(owned):
                announced = owned

    def _announce(self, owned: frozenset[int]) -> bool:
        app = self._app
        try:
            with closing(app.open_database()) as db:
                db.must_end = self._stop.is_set
                url, at = app.config.web.worker_url, as_text(app.clock())
                app.changelog.commit(db, lambda: Changed(None, worker_urls.put(db, url, owned, at)))
        except WorkerError as error:
            if not self._failed:
                log.warning(
                    "other workers do not know yet where this one is: %s",
                    error.message,
                    extra={"reason": error.message},
                )
            self._failed = True
            return False
        self._failed = False
        return True
