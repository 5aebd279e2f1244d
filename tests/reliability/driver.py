"""Runs a command of the worker and kills it, as ``kill -9`` does, at a named point. Started as a process by tests.

The environment variable ``KILL_AT`` names the point and which time it is passed: ``commit:3``. The points:

migration: before a statement of a migration · begin: before a transaction · statement: before any statement ·
inside: before a transaction's commit · commit: after it · call: before a call to Mailchimp · answer: after its answer,
before anything is made of it · keep: before ledger or settings are written to Kafka · kept: after that, before the
transaction's commit · seconds: so many seconds after the start, wherever that is.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlite_utils import Database as Tables

from worker.__main__ import main
from worker.changelog import backfill
from worker.changelog.writer import ChangelogWriter
from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import Call
from worker.mailchimp.client import Client
from worker.sqlite.database import Database

POINTS = ("begin", "statement", "inside", "commit", "call", "answer", "keep", "kept")


class Killer:
    """Counts the points that are passed."""

    def __init__(self, point: str, number: int) -> None:
        self._point = point
        self._number = number
        self._passed: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, point: str) -> None:
        """Notes that a point is passed; the chosen one is the last."""
        if point != self._point:
            return
        with self._lock:
            self._passed[point] += 1
            if self._passed[point] == self._number:
                kill()


def kill() -> None:
    """Ends this process as nothing can prevent."""
    os.kill(os.getpid(), signal.SIGKILL)


def wrap(passed: Killer) -> None:
    """Has the product tell of the points that it passes."""
    transaction, send, write = Database.transaction, Client.send, ChangelogWriter.write

    @contextmanager
    def told_transaction(self: Database) -> Iterator[None]:
        passed("begin")
        with transaction(self):
            yield
            passed("inside")
        passed("commit")

    def told_send(self: Client, call: Call) -> Answer:
        passed("call")
        answer = send(self, call)
        passed("answer")
        return answer

    def told_write(self: ChangelogWriter, *arguments: Any, **named: Any) -> Any:
        passed("keep")
        written = write(self, *arguments, **named)
        passed("kept")
        return written

    def told(point: str, method: Any) -> Any:
        def telling(*arguments: Any, **named: Any) -> Any:
            passed(point)
            return method(*arguments, **named)

        return telling

    product: Any = Database
    product.transaction = told_transaction
    product.execute = told("statement", Database.execute)
    product.executemany = told("statement", Database.executemany)
    changelog: Any = ChangelogWriter
    changelog.write = told_write
    client: Any = Client
    client.send = told_send
    tables: Any = Tables
    tables.execute = told("migration", tables.execute)


if __name__ == "__main__":
    where, _, when = os.environ.pop("KILL_AT").partition(":")
    if where == "seconds":
        alarm = threading.Timer(float(when), kill)
        alarm.daemon = True
        alarm.start()
    else:
        wrap(Killer(where, int(float(when))))
    backfill.MOST_AT_ONCE = 2  # several writes, also of few rows
    sys.argv[0] = "mailchimp-worker"
    main()
