"""All metrics, collected on request: from SQLite, from the consumer and from the process's counters.

Names and units: https://prometheus.io/docs/practices/naming. No label contains an account, a list or an address.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import inf

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from worker import __version__
from worker.clock import Clock, as_moment, as_text
from worker.consumer.batch import RESULTS
from worker.consumer.owned_partitions import OwnedPartitions
from worker.errors import DatabaseError
from worker.mailchimp.observed import KINDS
from worker.metrics import Histogram, Metrics
from worker.plan.outcomes import Outcome
from worker.sqlite.database import Database
from worker.store import bare_customers, counts, dead_letters, totals, waiting
from worker.store.run_result import RunResult

PREFIX = "mailchimp_worker_"
ANSWERS = ("2xx", "4xx", "5xx", "throttled", "timeout", "connection")
LOG_EVENTS = ("recreated", "expired", "cut", "away")
FAULTS = ("key_disagrees", "misplaced", "out_of_order")


def registry_of(collector: Collector) -> CollectorRegistry:
    """Returns a registry with a collector and the library's metrics of the process: memory, CPU, open files."""
    registry = CollectorRegistry()
    registry.register(collector)
    ProcessCollector(registry=registry)
    return registry


@dataclass(eq=False)
class WorkerCollector(Collector):
    """Collects the metrics of one worker. Used only by the web server's thread, as its database connection is."""

    db: Database
    topic: str
    owned_partitions: OwnedPartitions
    metrics: Metrics
    in_flight: Callable[[], int]
    clock: Clock
    next_flush: Callable[[], datetime]
    _oldest: totals.OldestWaiting = field(default_factory=totals.OldestWaiting, init=False)

    def collect(self) -> Iterable[Metric]:
        """Returns all metrics. If the database cannot be read, leaves its metrics out and reports that."""
        yield InfoMetricFamily(
            f"{PREFIX}build",
            "The release, and the Python that runs it.",
            {"version": __version__, "python": platform.python_version()},
        )
        try:
            stored = list(self._stored())
        except DatabaseError:
            stored = []
        yield _gauge("database_up", "Whether the database could be read: 1 or 0.", float(bool(stored)))
        yield from stored
        yield from self._consumed()
        yield from self._counted()

    # What is stored

    def _stored(self) -> Iterator[Metric]:
        db, now = self.db, self.clock()
        next_flush = as_text(self.next_flush())
        message = "Changed customers that the next daily flush tries if nothing prevents it."
        yield _gauge("customers_waiting", message, waiting.count(db, next_flush))
        message = "Changed customers whom Mailchimp refused, and who are tried after the next daily flush."
        yield _gauge("customers_retried_later", message, waiting.later_count(db, next_flush))
        oldest = self._oldest.look(db, next_flush)
        age = 0.0 if oldest is None else max((now - as_moment(oldest)).total_seconds(), 0.0)
        yield _gauge("oldest_waiting_seconds", "Age of the oldest change that waits for a flush; 0 without any.", age)
        bare = sum(bare.count for bare in bare_customers.of_connected(db).values())
        yield _gauge("customers_without_fields", "Customers of connected accounts who are to be read again.", bare)
        yield _gauge("dead_letters", "Records that could not be understood.", dead_letters.count(db))
        yield _gauges("accounts", "Accounts by state.", "state", totals.accounts_by_state(db))
        yield _gauges("stored_lists", "Lists that accounts use, by state.", "state", totals.lists_by_state(db))
        yield _gauges("held_changes", "Changes that the brake holds until somebody confirms.", "what", totals.held(db))
        yield from _last_flushes(*totals.last_flushes(db))
        stored_counts = counts.totals(db, self.topic)
        events, faults = ({name: stored_counts.get(name, 0) for name in names} for names in (LOG_EVENTS, FAULTS))
        yield _counter(
            "log_events",
            "How often the log was recreated, or lost records that were not read: events may be missing.",
            "what",
            events,
        )
        yield _counter("publisher_faults", "Events that the contract forbids, by what is wrong.", "what", faults)

    # What is read from Kafka

    def _consumed(self) -> Iterator[Metric]:
        records = GaugeMetricFamily(
            f"{PREFIX}partition_lag_records", "Records of a partition that are not staged yet.", labels=["partition"]
        )
        seconds = GaugeMetricFamily(
            f"{PREFIX}partition_behind_seconds",
            "Age of the last record that was read of a partition; 0 at its end, absent while none was read.",
            labels=["partition"],
        )
        lags = self.owned_partitions.lags(time.time())
        for partition, lag in sorted(lags.items()):
            records.add_metric([str(partition)], lag.records)
            if lag.seconds is not None:
                seconds.add_metric([str(partition)], lag.seconds)
        yield from (records, seconds)
        yield _gauge("partitions", "Partitions that this worker has.", len(lags))
        yield _gauge(
            "partitions_ready", "Partitions of this worker that may be delivered.", len(self.owned_partitions.ready())
        )
        silence = self.owned_partitions.session.seconds_since_answer()
        yield _gauge("kafka_silence_seconds", "How long ago Kafka last confirmed that it serves this worker.", silence)

    # What was counted

    def _counted(self) -> Iterator[Metric]:
        snapshot = self.metrics.snapshot()
        yield _counter("events", "Events that were read, by result.", "result", _with_zeros(RESULTS, snapshot.events))
        message = "Receipts, by outcome. Each flush counts a contact that still waits again; see customers_waiting."
        yield _counter("contacts", message, "outcome", _with_zeros(Outcome, snapshot.contacts))
        yield _counter("flushes", "Flushes that ended, by how.", "ended", _with_zeros(RunResult, snapshot.flushes))
        refused = _with_zeros(("ledger", "settings"), snapshot.refused)
        message = "Records of ledger and settings that were not signed with this worker's secret key."
        yield _counter("changelog_refused", message, "what", refused)
        yield _calls(snapshot.calls)
        yield _gauge("calls_in_flight", "Calls to Mailchimp that wait for their answer.", self.in_flight())
        by_kind = {kind: snapshot.call_seconds[kind] for kind in KINDS}
        yield _histogram("call_seconds", "How long calls to Mailchimp took, by kind.", "kind", by_kind)
        yield _histogram("flush_seconds", "How long flushes took.", None, {"": snapshot.flush_seconds})
        yield _histogram(
            "changelog_write_seconds",
            "How long it took until Kafka had what was written to ledger and settings.",
            None,
            {"": snapshot.changelog_write_seconds},
        )


def _last_flushes(success: str | None, complete: str | None) -> Iterator[Metric]:
    for name, ended_at, meaning in (
        ("last_success", success, "in which everything due was settled"),
        ("last_flush", complete, "that went through, though customers may wait for somebody"),
    ):
        if ended_at is not None:
            text = f"When the last flush of all accounts ended {meaning}; absent without one."
            yield _gauge(f"{name}_timestamp_seconds", text, as_moment(ended_at).timestamp())


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, meaning, value)


def _gauges(name: str, meaning: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, meaning, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family


def _with_zeros(labels: Iterable[str], values: Mapping[str, int]) -> Mapping[str, int]:
    # Known labels start at 0, so that a rate sees their first increase.
    return {**dict.fromkeys(labels, 0), **values}


def _counter(name: str, meaning: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, meaning, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family


def _calls(calls: Mapping[tuple[str, str], int]) -> Metric:
    family = CounterMetricFamily(f"{PREFIX}calls", "Calls to Mailchimp, by kind and answer.", labels=["kind", "answer"])
    for kind, answer in sorted({*calls, *((kind, answer) for kind in KINDS for answer in ANSWERS)}):
        family.add_metric([kind, answer], calls.get((kind, answer), 0))
    return family


def _histogram(name: str, meaning: str, label: str | None, values: Mapping[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(PREFIX + name, meaning, labels=[] if label is None else [label])
    for value, histogram in values.items():
        buckets = [("+Inf" if bound == inf else str(bound), float(count)) for bound, count in histogram.cumulated()]
        family.add_metric([] if label is None else [value], buckets, histogram.total)
    return family
