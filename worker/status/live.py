"""The status that a running worker writes to a file beside its database, for commands on its machine."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from worker.clock import Clock, as_text
from worker.consumer.owned_partition import Lag
from worker.consumer.owned_partitions import OwnedPartitions
from worker.consumer.waiting import why_waiting
from worker.sqlite.rows import json_text, parser_of
from worker.system.private_files import open_file

WRITE_SECONDS = 1.0
"""How often it is written."""


@dataclass(frozen=True, slots=True)
class LiveWorker:
    """What a worker last wrote about itself.

    Attributes:
        since: when it started, as text.
        at: when it wrote this, as text.
        away_since: since when it can reach no broker, as text; None if it can.
        waits_for: what a flush must wait for; None if it may start.
    """

    host: str
    pid: int
    since: str
    at: str
    away_since: str | None
    partitions: dict[int, Lag]
    waits_for: str | None = None


_parsed = parser_of(LiveWorker)


def live_path(database: Path) -> Path:
    """Returns the path of the file of a database's worker."""
    return database.with_name(f"{database.name}.worker")


class LiveFile:
    """The file, as its worker writes it. Failures to write are ignored: nothing depends on it."""

    def __init__(self, database: Path, clock: Clock) -> None:
        self._path, self._clock, self._since = live_path(database), clock, as_text(clock())
        self._written_at = -WRITE_SECONDS

    def write(self, owned_partitions: OwnedPartitions) -> None:
        """Writes the current status, unless it was written just before."""
        now = time.monotonic()
        if now - self._written_at < WRITE_SECONDS:
            return
        self._written_at = now
        away, at = owned_partitions.session.away_since, self._clock()
        worker = LiveWorker(
            host=socket.gethostname(),
            pid=os.getpid(),
            since=self._since,
            at=as_text(at),
            away_since=None if away is None else as_text(datetime.fromtimestamp(away, UTC)),
            partitions=owned_partitions.lags(at.timestamp()),
            waits_for=why_waiting(owned_partitions),
        )
        with suppress(OSError):
            new = self._path.with_name(f"{self._path.name}.new")
            with os.fdopen(open_file(new, os.O_WRONLY | os.O_TRUNC), "w", encoding="utf-8") as file:
                file.write(json_text(worker))
            new.replace(self._path)

    def remove(self) -> None:
        """Removes the file when the worker ends."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def read_live(database: Path) -> LiveWorker | None:
    """Returns what the worker of a database last wrote; None if nothing can be read.

    A crashed worker leaves its last status: only the database's lock shows whether a worker runs.
    """
    try:
        return _parsed(live_path(database).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
