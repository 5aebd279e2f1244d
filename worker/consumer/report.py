"""Logs the poll thread's work, not too often, and counts it in the metrics."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import Message, TopicPartition

from worker.consumer.messages import partition_of_message
from worker.consumer.owned_partitions import OwnedPartitions
from worker.kafka.outage import Outage
from worker.metrics import Metrics

log = logging.getLogger("worker.consumer")

LOOK_SECONDS = 1.0
"""How often the ends of the partitions are recorded. librdkafka knows them: no broker is queried."""
PROGRESS_SECONDS = 10.0
"""How often progress is logged until partitions are read to their end."""
LETTERS_SECONDS = 60.0
"""How often dead letters are logged."""


class ConsumerReport:
    """Used only by the poll thread."""

    def __init__(
        self,
        topic: str,
        owned_partitions: OwnedPartitions,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Starts with nothing to log.

        Args:
            clock: monotonic, in seconds.
            wall_clock: in seconds since 1970, as in records.
        """
        self._topic, self._ownership, self._metrics = topic, owned_partitions, metrics
        self._clock, self._wall_clock = clock, wall_clock
        self._outage = Outage()
        self._looked_at = self._times_at = self._progress_at = clock()
        self._letters_at = -LETTERS_SECONDS
        self._letters, self._reason = 0, ""
        self._missing: str | None = None
        self._staged = 0
        self._began: float | None = None
        """When reading the backlog began; None without one."""

    def away(self, reason: str) -> None:
        """Records librdkafka's report that no broker can be reached."""
        self._outage.report(reason, self._clock())

    def read(self, polled: Sequence[Message]) -> None:
        """Records what was read, for the age of each partition's last record."""
        now = self._clock()
        if now - self._times_at < LOOK_SECONDS:
            return
        self._times_at = now
        last = {partition_of_message(message): message.timestamp()[1] for message in polled if message.error() is None}
        self._ownership.read_times({partition: milliseconds / 1000 for partition, milliseconds in last.items()})

    def staged(self, results: Mapping[str, int], reason: str | None) -> None:
        """Records what was staged.

        Args:
            results: how many records had each result.
            reason: why the first undecodable record could not be decoded; None if all could.
        """
        self._metrics.events_read(results)
        self._staged += sum(results.values())
        if reason is not None:
            self._reason = self._reason if self._letters else reason
            self._letters += results["dead_letter"]

    def look(self, consumer: Any) -> None:
        """Logs what is due; call it before each poll."""
        now = self._clock()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        self._note_ends(consumer)
        self._log_outage(now)
        self._log_missing()
        self._log_progress(now)
        if now - self._letters_at >= LETTERS_SECONDS:
            self._log_letters(now)

    def end(self) -> None:
        """Logs what is left."""
        self._log_letters(self._clock())

    def _note_ends(self, consumer: Any) -> None:
        ends = {}
        for partition in self._ownership.owned():
            bounds = consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
            if bounds is not None:
                ends[partition] = bounds[1]
        self._ownership.ends_at(ends, self._wall_clock())

    def _log_outage(self, now: float) -> None:
        news = self._outage.update(now - self._ownership.session.seconds_since_answer(), now)
        since = self._outage.since
        self._ownership.session.away_since = None if since is None else self._wall_clock() - (now - since)
        if news is None:
            return
        away, seconds = news
        facts: dict[str, Any] = {"seconds": round(seconds)}
        if away:
            reason = self._outage.reason or "no answer"
            log.warning("Kafka cannot be reached; still retrying: %s", reason, extra=facts)
        else:
            log.info("Kafka answers again", extra=facts)

    def _log_missing(self) -> None:
        missing, before = self._ownership.session.missing_topic, self._missing
        self._missing = missing
        if missing != before:
            if missing is None:
                log.info("the topic %s exists again", self._topic, extra={"topic": self._topic})
            else:
                log.error("%s", missing, extra={"topic": self._topic, "reason": missing})

    def _log_progress(self, now: float) -> None:
        behind = self._ownership.behind()
        if behind and self._began is None:
            self._began, self._progress_at, self._staged = now, now, 0
        if self._began is None or (behind and now - self._progress_at < PROGRESS_SECONDS):
            return
        seconds = now - self._began
        done, total = self._ownership.backlog()
        facts = {"records": done, "of": total, "per_second": round(self._staged / seconds) if seconds else self._staged}
        if behind:
            self._progress_at = now
            log.info("reading what was published before", extra={**facts, "seconds": round(seconds)})
        else:
            self._began = None
            log.info("read to the end", extra={**facts, "seconds": round(seconds, 1)})

    def _log_letters(self, now: float) -> None:
        if not self._letters:
            return
        log.warning(
            "new dead letters: %d. First reason: %s",
            self._letters,
            self._reason,
            extra={"count": self._letters, "reason": self._reason},
        )
        self._letters_at, self._letters = now, 0
