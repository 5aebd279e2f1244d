"""A consumer that reads a test's topic into a database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.connected import connected
from tests.integration.topic import Topic
from worker.clock import Clock, utc_now
from worker.consumer.consumer import Consumer
from worker.consumer.owned_partitions import OwnedPartitions
from worker.model import AccountId
from worker.sqlite.database import open_database
from worker.store import customers, offsets

ACCOUNT = AccountId("acct-1")
SECONDS = 30.0
CALL_SECONDS = 600.0
"""Longer than any test: who waits for calls of a former owner never becomes ready."""


class Reading:
    """A consumer on a thread of its own, as the worker has it."""

    def __init__(self, topic: Topic, path: Path, clock: Clock = utc_now, **settings: str) -> None:
        self.owned_partitions = OwnedPartitions()
        self.db = connected(open_database(path))
        self.topic = topic
        self._stop = threading.Event()
        self.error: BaseException | None = None
        self._own = open_database(path)
        self.consumer = Consumer(
            topic.settings(**settings), self._own, self.owned_partitions, clock, call_seconds=CALL_SECONDS
        )
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.consumer.read(self._stop)
        except BaseException as error:
            self.error = error

    def to_the_end(self) -> None:
        """Waits until everything is staged that was there at the assignment."""
        self.until(lambda: self.owned_partitions.wait_until_ready(0.1))

    def until(self, what: Callable[[], object]) -> None:
        """Waits until something is so."""
        ended = time.monotonic() + SECONDS
        while not what():
            assert self.error is None, self.error
            assert time.monotonic() < ended, f"nothing after {SECONDS} s; next offsets: {self.next_offsets()}"
            time.sleep(0.01)

    def until_dead(self) -> None:
        """Waits until an error has ended reading."""
        self._thread.join(SECONDS)
        assert self.error is not None

    def next_offsets(self) -> dict[int, int]:
        """Where reading goes on, by partition, under the topic's present id."""
        found = offsets.of_topic(self.db, self.topic.name)
        return {one.partition: one.next_offset for one in found if one.topic_id == self.consumer.topic.id}

    def versions(self) -> dict[str, int | None]:
        """The staged version of each customer of the account."""
        return {one.customer_id: one.version for one in customers.changed(self.db, ACCOUNT, None, 100_000)}

    def end(self) -> None:
        """Ends reading."""
        self._stop.set()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()
        self._own.close()
        self.db.close()


@contextmanager
def reading(topic: Topic, path: Path, clock: Clock = utc_now, **settings: str) -> Iterator[Reading]:
    """Reads as long as the context lasts."""
    made = Reading(topic, path, clock, **settings)
    try:
        yield made
    finally:
        made.end()
