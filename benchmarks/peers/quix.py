"""Quix Streams with a batching sink into SQLite. Runs in its own environment, `.venv-bench`.

python quix.py BOOTSTRAP_SERVERS TOPIC GROUP DATABASE COUNT; prints seconds from the first event, and customers.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
import time

from quixstreams import Application
from quixstreams.sinks.base import BatchingSink, SinkBatch

COLUMNS = ("email", "first_name", "last_name", "company", "phone", "list_id", "marketing_consent")


class SQLiteSink(BatchingSink):
    """Writes a partition's batch in one transaction: the newest state of each customer."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.began = self.ended = 0.0
        self._db = sqlite3.connect(path, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        names = ", ".join(("account_id", "customer_id", "version", "address", *COLUMNS))
        self._db.execute(f"CREATE TABLE customer ({names}, PRIMARY KEY (account_id, customer_id))")
        marks = ", ".join("?" * (4 + len(COLUMNS)))
        self._upsert = f"INSERT OR REPLACE INTO customer ({names}) VALUES ({marks})"

    def add(self, *args: object, **named: object) -> None:
        """Adds an event, and records when the first one arrived."""
        self.began = self.began or time.monotonic()
        super().add(*args, **named)

    def write(self, batch: SinkBatch) -> None:
        """Writes a batch."""
        with self._db:
            self._db.executemany(self._upsert, map(_row, batch))
        self.ended = time.monotonic()

    def count(self) -> int:
        """Returns the number of customers."""
        return int(self._db.execute("SELECT count(*) FROM customer").fetchone()[0])


def _row(item: object) -> tuple[object, ...]:
    data = item.value["data"]  # type: ignore[attr-defined]
    customer = data["customer"]
    address = json.dumps(customer["address"])
    told = (customer.get(name) for name in COLUMNS)
    return (data["account_id"], customer["id"], data["version"], address, *told)


def main(bootstrap_servers: str, topic: str, group: str, path: str, count: int) -> None:
    """Reads `count` events into a table of customers."""
    with tempfile.TemporaryDirectory() as state:
        application = Application(
            broker_address=bootstrap_servers,
            consumer_group=group,
            auto_offset_reset="earliest",
            auto_create_topics=False,
            state_dir=state,
            loglevel="ERROR",
        )
        sink = SQLiteSink(path)
        application.dataframe(application.topic(topic, value_deserializer="json")).sink(sink)
        application.run(count=count)
    print(json.dumps([sink.ended - sink.began, sink.count()]))


if __name__ == "__main__":
    main(*sys.argv[1:5], int(sys.argv[5]))
