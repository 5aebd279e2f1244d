"""The outcomes topic of a history, without Kafka: what billmywork would have read there last of each customer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from tests.checked_changelog import CheckedChangelog
from worker.changelog.outcome_records import record_of
from worker.changelog.table_rows import rows_of
from worker.errors import WorkerError
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed, RowKey

_Result = TypeVar("_Result")


class OutcomesTopic(CheckedChangelog):
    """Commits without Kafka, and keeps the newest record of each customer as Kafka would after compaction."""

    def __init__(self) -> None:
        """Nothing was written yet."""
        self.newest: dict[str, bytes | None] = {}
        self.failure: WorkerError | None = None
        """Raised by each commit while the broker does not answer."""

    def commit(self, db: Database, write: Callable[[], Changed[_Result]], *, erase: bool = False) -> _Result:
        """Commits, then takes the records of the customers whose rows were named."""
        if self.failure is not None:
            raise self.failure
        named: list[RowKey] = []

        def noted() -> Changed[_Result]:
            changed = write()
            named[:] = changed.rows
            return changed

        result = super().commit(db, noted, erase=erase)
        for row in rows_of(db, [row_key for row_key in named if row_key.kind == "customer"]):
            key, value = record_of(row)
            if value is not None or key.decode() in self.newest:
                self.newest[key.decode()] = value
        return result

    def newest_data(self, customer: str) -> dict[str, Any] | None:
        """Returns the data of a customer's newest record; None where there is none, or a null."""
        value = next((value for key, value in self.newest.items() if key.endswith(f"/{customer}")), None)
        return json.loads(value)["data"] if value is not None else None
