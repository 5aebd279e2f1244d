"""Where reading a partition begins. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from worker.clock import as_moment
from worker.kafka.admin import Compaction
from worker.store.counts import What
from worker.store.offsets import Reading
from worker.text.plural import counted


@dataclass(frozen=True, slots=True)
class Start:
    """Where to begin.

    Attributes:
        event: what an operator must hear of; None where reading just goes on.
        notice: the same in words.
    """

    offset: int
    event: What | None = None
    notice: str | None = None


def start_of(
    readings: Sequence[Reading],
    topic_id: str,
    partition: int,
    low: int,
    high: int,
    compaction: Compaction | None = None,
    now: datetime | None = None,
) -> Start:
    """Returns where to begin reading a partition.

    Args:
        readings: how far the topic was read before, under any of its ids.
        topic_id: its id now; "" where the broker does not report it.
        low: offset of the first record in its log.
        high: offset after the last one.
        compaction: how the topic drops records; None where that is unknown, or does not matter.
        now: the time; needed with compaction.
    """
    same = [one for one in readings if one.partition == partition and one.topic_id == topic_id]
    if not same:
        ids = {one.topic_id for one in readings} - {""}
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
    # Where nothing was written since, nothing was deleted.
    if compaction is not None and now is not None and next_offset < high:
        since = same[-1].updated_at
        if (now - as_moment(since)).total_seconds() > compaction.keeps_seconds:
            return Start(low, "away", _retention_gap(partition, since, compaction, low))
    return Start(next_offset)


def _retention_gap(partition: int, since: str, compaction: Compaction, low: int) -> str:
    reason = why_not_swept(compaction, low)
    found = (
        "Customers that are missing from it then count as deleted."
        if reason is None
        else f"Deletions may have been missed, because {reason}: publish those again as .deleted."
    )
    return (
        f"Partition {partition} was last read to its end at {since}, longer ago than its topic keeps nulls "
        f"(delete.retention.ms: {compaction.keeps_seconds / 3600:g} h): customers may have been deleted since "
        f"without a trace. The worker reads it again from its beginning. {found}"
    )


def why_not_swept(compaction: Compaction, low: int, misnamed: int = 0) -> str | None:
    """Returns why a partition may lack a customer that was not deleted; None where only a null can be the reason.

    Args:
        compaction: how the topic drops records.
        low: offset of the first record in the partition's log.
        misnamed: records in it whose key named another customer than their data: they push that one's records out.
    """
    if compaction.policy != "compact":
        return f"its cleanup.policy is {compaction.policy}, which also drops records of existing customers"
    if low > 0:
        return f"its log begins at offset {low} and not at 0"
    if misnamed:
        return f"the keys of {counted(misnamed, 'record')} named another customer than the data"
    return None
