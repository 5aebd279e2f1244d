"""Where reading a partition begins. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.staging.counts import What
from worker.staging.offsets import Reading


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


def start_of(readings: Sequence[Reading], topic_id: str, partition: int, low: int, high: int) -> Start:
    """Returns where to begin reading a partition.

    Args:
        readings: how far the topic was read before, under any of its ids.
        topic_id: its id now; "" where the broker does not tell.
        partition: which.
        low: offset of the first record in its log.
        high: offset after the last one.
    """
    same = [one for one in readings if one.partition == partition and one.topic_id == topic_id]
    if not same:
        ids = {one.topic_id for one in readings} - {""}
        if not topic_id or not ids or topic_id in ids:
            return Start(low)
        notice = f"The topic was made anew (its id is {topic_id} now): it is read from its beginning."
        return Start(low, "recreated", notice)
    next_offset = same[-1].next_offset
    if next_offset < low:
        notice = (
            f"Partition {partition} begins at offset {low}, after {next_offset} where reading should go on: "
            f"{low - next_offset} offsets expired unread. Publish those customers again if their events matter."
        )
        return Start(low, "expired", notice)
    if next_offset > high:
        notice = (
            f"Partition {partition} ends at offset {high}, before {next_offset} where reading should go on: its log "
            "was cut. It is read again from its beginning."
        )
        return Start(low, "cut", notice)
    return Start(next_offset)
