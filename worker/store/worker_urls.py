"""Where each worker can be reached, with the partitions that it has: kept beside the settings, so that all know it."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from worker.store import settings_notes
from worker.store.changed_rows import Rows
from worker.store.database import Database

ABOUT = "worker_url"
"""Names these rows among the notes beside the settings."""


@dataclass(frozen=True, slots=True)
class WorkerUrl:
    """What a worker last said of itself.

    Attributes:
        at: when, as text.
    """

    url: str
    partitions: frozenset[int]
    at: str


def put(db: Database, url: str, partitions: Collection[int], at: str) -> Rows:
    """Writes where a worker can be reached. Belongs in a transaction."""
    text = json.dumps({"url": url, "partitions": sorted(partitions), "at": at})
    return settings_notes.put(db, ABOUT, url, text)


def with_partition(db: Database, partition: int) -> str | None:
    """Returns the URL of the worker that last said that it has a partition; None where none did."""
    found = [_read(text) for text in settings_notes.all_about(db, ABOUT).values()]
    having = [one for one in found if partition in one.partitions]
    return max(having, key=lambda one: one.at).url if having else None


def _read(text: str) -> WorkerUrl:
    told = json.loads(text)
    return WorkerUrl(told["url"], frozenset(told["partitions"]), told["at"])
