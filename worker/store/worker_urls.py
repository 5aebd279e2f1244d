"""The URL of each worker and its partitions, kept beside the settings, so that all workers have them."""

from __future__ import annotations

from collections.abc import Collection

from worker.sqlite.database import Database
from worker.sqlite.rows import Rows
from worker.store import settings_notes


def put(db: Database, url: str, partitions: Collection[int], at: str) -> Rows:
    """Stores a worker's URL. Call it in a transaction."""
    return settings_notes.put(db, "worker_url", url, {"url": url, "partitions": sorted(partitions), "at": at})


def with_partition(db: Database, partition: int) -> str | None:
    """Returns the URL of the worker that last announced a partition; None if none did."""
    announced = settings_notes.all_data(db, "worker_url").values()
    owners = [worker for worker in announced if partition in worker["partitions"]]
    return str(max(owners, key=lambda worker: worker["at"])["url"]) if owners else None
