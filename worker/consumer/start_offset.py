"""Decides where reading a partition starts. Does no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from worker.clock import as_moment
from worker.kafka.admin import Compaction
from worker.store.counts import CountKind
from worker.store.offsets import NextOffset
from worker.text.plural import counted


@dataclass(frozen=True, slots=True)
class Start:
    """Where to start.

    Attributes:
        event: what an operator must know; None if reading just continues.
        notice: the same in words.
    """

    offset: int
    event: CountKind | None = None
    notice: str | None = None


def start_of(
    readings: Sequence[NextOffset],
    topic_id: str,
    partition: int,
    low: int,
    high: int,
    compaction: Compaction | None = None,
    now: datetime | None = None,
) -> Start:
    """Returns where to start reading a partition.

    Args:
        readings: how far the topic was read before, under any of its ids.
        topic_id: its current id; "" if the broker does not report it.
        low: the first offset of its log.
        high: the offset after the last record.
        compaction: the topic's settings; None if unknown, or not needed.
        now: needed with compaction.
    """
    same = [reading for reading in readings if reading.partition == partition and reading.topic_id == topic_id]
    if not same:
        ids = {reading.topic_id for reading in readings} - {""}
        if not topic_id or not ids or topic_id in ids:
            return Start(low)
        notice = f"The topic was recreated (its id is {topic_id} now), so the worker reads it from its beginning."
        return Start(low, "recreated", notice)
    next_offset = same[-1].next_offset
    if next_offset < low:
        notice = (
            f"Partition {partition} begins at offset {low}, after {next_offset} where the worker stopped reading: "
            f"{counted(low - next_offset, 'offset')} expired unread. Publish those customers again if their events "
            "matter."
        )
        return Start(low, "expired", notice)
    if next_offset > high:
        notice = (
            f"Partition {partition} ends at offset {high}, before {next_offset} where the worker stopped reading: its "
            "log was cut. The worker reads it again from its beginning."
        )
        return Start(low, "cut", notice)
    # If nothing was written since, nothing was deleted.
    if compaction is not None and now is not None and next_offset < high:
        since = same[-1].updated_at
        if (now - as_moment(since)).total_seconds() > compaction.keeps_seconds:
            return Start(low, "away", _retention_gap(partition, since, compaction, low))
    return Start(next_offset)


def _retention_gap(partition: int, since: str, compaction: Compaction, low: int) -> str:
    reason = why_absence_proves_nothing(compaction, low)
    consequence = (
        "Customers that are missing from it then count as deleted."
        if reason is None
        else f"Deletions may have been missed, because {reason}: publish those again as .deleted."
    )
    return (
        f"Partition {partition} was last read to its end at {since}, longer ago than its topic keeps nulls "
        f"(delete.retention.ms: {compaction.keeps_seconds / 3600:g} h): customers may have been deleted since "
        f"without a trace. The worker reads it again from its beginning. {consequence}"
    )


def why_absence_proves_nothing(compaction: Compaction, low: int, misnamed: int = 0) -> str | None:
    """Returns why a partition may lack a customer that was not deleted; None if only a tombstone can be the reason.

    Args:
        compaction: the topic's settings.
        low: the first offset of the partition's log.
        misnamed: records in it whose key names another customer than their data: compaction replaces that one's
            records.
    """
    if compaction.policy != "compact":
        return f"its cleanup.policy is {compaction.policy}, which also drops records of existing customers"
    if low > 0:
        return f"its log begins at offset {low} and not at 0"
    if misnamed:
        return f"the keys of {counted(misnamed, 'record')} named another customer than the data"
    return None
