"""Finds out where reading a partition starts, and records what an operator must know about it."""

from __future__ import annotations

import logging
from datetime import datetime

from worker.clock import as_text
from worker.consumer.start_offset import Start, start_of
from worker.kafka.admin import Compaction
from worker.sqlite.database import Database
from worker.store import counts, offsets, unowned

log = logging.getLogger("worker.consumer")


def find_start(
    db: Database,
    topic: str,
    topic_id: str,
    partition: int,
    bounds: tuple[int, int],
    compaction: Compaction | None,
    now: datetime,
) -> Start:
    """Returns where reading a partition starts, and records it.

    Args:
        db: the poll thread's own connection, outside of a transaction.
        topic_id: Kafka's id of the topic; "" if the broker does not report it.
        bounds: the log's low and high watermark.
        compaction: the topic's settings; None if unknown.

    Raises:
        DatabaseError: it cannot be written.
    """
    unowned.events_back(db, partition, as_text(now))
    start = start_of(offsets.of_topic(db, topic), topic_id, partition, *bounds, compaction, now)
    goes_on = start.event is None and offsets.next_of(db, topic, topic_id, partition) is not None
    if start.event is not None:
        log.warning("%s", start.notice, extra={"partition": partition, "offset": start.offset, "what": start.event})
    with db.transaction():
        if start.event is not None:
            counts.add(db, topic, partition, {start.event: 1})
        # An old time is kept until the end is reached, so that a crash before that changes nothing.
        if start.event != "away" and not (goes_on and start.offset < bounds[1]):
            offsets.move_on(db, topic, topic_id, partition, start.offset, as_text(now))
    return start
