"""The metrics: names by the conventions, labels of few values, all of it quickly."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.connected import connected
from tests.unit.web.asgi import get
from worker.app import App
from worker.clock import as_text
from worker.config import Config
from worker.consumer.owned_partitions import OwnedPartitions
from worker.errors import DatabaseError
from worker.metrics import Metrics
from worker.sqlite.database import Database, open_database
from worker.store import bare_customers, counts, customers, runs
from worker.store.run_result import RunResult
from worker.web.application import web_application
from worker.web.call import WebContext
from worker.web.collector import PREFIX, WorkerCollector, registry_of

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
UNITS = {"seconds", "total", "records", "info", "bytes"}
COUNTS = {"customers_waiting", "customers_retried_later", "customers_without_fields", "dead_letters", "accounts",
          "stored_lists", "held_changes", "partitions", "partitions_ready", "calls_in_flight",
          "database_up"}  # fmt: skip
"""Gauges that count what their name says: they have no unit."""
LABELS = {"result", "kind", "answer", "outcome", "ended", "state", "what", "partition", "le", "version", "python"}


class World:
    """A worker's metrics, of a database in memory."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.owned = OwnedPartitions()
        self.metrics = Metrics()
        collector = WorkerCollector(db, "t", self.owned, self.metrics, lambda: 3, lambda: NOW, lambda: NOW)
        self.application = web_application(dict, dict, registry_of(collector), WebContext(App(Config())))

    def scrape(self, accept: str = "") -> str:
        """The answer of /metrics."""
        status, headers, body = get(self.application, "/metrics", accept=accept)
        assert status == 200
        assert headers["content-type"].startswith("application/openmetrics-text" if accept else "text/plain")
        return body

    def values(self) -> dict[tuple[str, ...], float]:
        """Name and label values to value."""
        families = text_string_to_metric_families(self.scrape())
        return {(one.name.removeprefix(PREFIX), *one.labels.values()): one.value for f in families for one in f.samples}


@pytest.fixture
def world() -> Iterator[World]:
    """One that did nothing yet."""
    with closing(open_database(":memory:")) as db:
        yield World(db)


def test_what_is_stored_is_read_when_it_is_asked_for(world: World) -> None:
    """Waiting customers with the age of the oldest, the last success and what the log lost."""
    assert ("last_success_timestamp_seconds",) not in world.values()
    with world.db.transaction():
        staged = as_text(NOW - timedelta(hours=2))
        customers.stage(world.db, [("a", "c", None, None, 0, None, None, None, "t", "id", 0, 1, staged)])
        counts.add(world.db, "t", 0, {"recreated": 1, "misplaced": 4})
        runs.end(
            world.db, runs.start(world.db, staged, "daily", None), as_text(NOW - timedelta(hours=1)), RunResult.DONE
        )
    values = world.values()
    assert values["customers_waiting",] == 1
    assert values["customers_without_fields",] == 0
    assert values["oldest_waiting_seconds",] == 7200
    assert values["last_success_timestamp_seconds",] == NOW.timestamp() - 3600
    assert values["log_events_total", "recreated"] == 1
    assert values["publisher_faults_total", "misplaced"] == 4
    assert values["dead_letters",] == 0


def test_who_is_still_to_be_read_again_is_counted(world: World) -> None:
    """Of connected accounts; where no account is connected, nobody is missing anything yet."""
    with world.db.transaction():
        row = ("acct-1", "c", None, bare_customers.CONSENTS, 0, None, None, None, "t", "id", 0, 1, as_text(NOW))
        customers.stage(world.db, [row], bare=True)
        bare_customers.note(world.db, "t", "id", {("acct-1", 0): 1})
    assert world.values()["customers_without_fields",] == 0
    connected(world.db, "acct-1")
    assert world.values()["customers_without_fields",] == 1


def test_what_was_counted_and_read_is_shown(world: World) -> None:
    """Events, contacts, flushes and calls as counters and histograms; the lag of each partition."""
    world.metrics.events_read({"staged": 5})
    world.metrics.contacts_recorded({"added": 4})
    world.metrics.flushed("failed", 90.0)
    world.metrics.called("read_member", "4xx", 0.2)
    world.metrics.called("read_member", "garbled", 0.3)
    world.metrics.changelog_written(0.02)
    world.owned.assigned({7: (0, 100)})
    world.owned.ends_at({7: 150}, time.time())
    values = world.values()
    assert values["events_total", "staged"] == 5
    assert values["events_total", "dead_letter"] == 0
    assert values["contacts_total", "added"] == 4
    assert values["flushes_total", "failed"] == 1
    assert values["flush_seconds_sum",] == 90
    assert values["calls_total", "4xx", "read_member"] == values["calls_total", "garbled", "read_member"] == 1
    assert values["call_seconds_bucket", "read_member", "0.25"] == 1
    assert values["call_seconds_count", "read_member"] == 2
    assert values["changelog_write_seconds_count",] == 1
    assert values["calls_in_flight",] == 3
    assert values["partition_lag_records", "7"] == 150
    assert values["partitions",] == 1


def test_a_contact_that_waits_is_counted_by_each_flush(world: World) -> None:
    """Two flushes that hold the same contact are two receipts, and the HELP text says so."""
    world.metrics.contacts_recorded({"held": 1})
    world.metrics.contacts_recorded({"held": 1})
    assert world.values()["contacts_total", "held"] == 2
    (line,) = [line for line in world.scrape().splitlines() if line.startswith(f"# HELP {PREFIX}contacts_total")]
    assert "Each flush counts a contact that still waits again; see customers_waiting." in line


def test_names_have_units_and_labels_have_few_values(world: World) -> None:
    """By Prometheus' conventions; no label is for an account, a list, a customer or an address."""
    for family in text_string_to_metric_families(world.scrape()):
        if not family.name.startswith(PREFIX):
            assert family.name.startswith("process_"), "the library's own"
            continue
        name = family.name.removeprefix(PREFIX)
        assert re.fullmatch(r"[a-z][a-z_]*", name)
        assert name in COUNTS or UNITS & {name.rpartition("_")[2], *(["total"] if family.type == "counter" else [])}
        assert {label for sample in family.samples for label in sample.labels} <= LABELS
        assert family.documentation.endswith(".")


def test_a_database_that_cannot_be_read_leaves_the_rest_of_the_metrics(world: World) -> None:
    """It is said so in a metric of its own."""

    def fail(*arguments: object) -> None:
        raise DatabaseError("It is locked.", "Wait.")

    assert world.values()["database_up",] == 1
    world.db.execute = fail  # type: ignore[method-assign, assignment]
    values = world.values()
    assert values["database_up",] == 0
    assert ("customers_waiting",) not in values
    assert ("partitions",) in values


def test_the_newer_format_is_given_to_who_asks_for_it(world: World) -> None:
    """Prometheus does."""
    assert world.scrape("application/openmetrics-text; version=1.0.0").endswith("# EOF\n")
