"""Announces this worker's URL to the other workers whenever its partitions change."""

from __future__ import annotations

from worker.app import App
from worker.clock import as_text
from worker.consumer.owned_partitions import OwnedPartitions
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed
from worker.store import worker_urls

FAILURE = "other workers do not know yet where this one is"


class Announce:
    """Writes the URL to the settings topic. Before the ledger is read, which waits for calls of previous workers."""

    def __init__(self, app: App, owned_partitions: OwnedPartitions) -> None:
        self._app, self._owned_partitions = app, owned_partitions
        self._announced: frozenset[int] | None = None

    def step(self, db: Database) -> None:
        """Writes it if the partitions changed, once settings can be written."""
        owned = self._owned_partitions.owned()
        if owned == self._announced or not self._owned_partitions.has_settings:
            return
        url, at = self._app.config.web.worker_url, as_text(self._app.clock())
        self._app.changelog.commit(db, lambda: Changed(None, worker_urls.put(db, url, owned, at)))
        self._announced = owned
