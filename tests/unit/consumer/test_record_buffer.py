"""Records between librdkafka and the database."""

from __future__ import annotations

import pytest

from tests.unit.consumer.test_batch import event
from worker.clock import utc_now
from worker.config import Kafka
from worker.consumer.assignment import Assignment, AssignmentOver, EventsTopic
from worker.consumer.batch import Batch
from worker.consumer.owned_partitions import OwnedPartitions
from worker.consumer.record_buffer import RecordBuffer
from worker.consumer.report import ConsumerReport
from worker.consumer.retention_gap import RetentionGap
from worker.metrics import Metrics
from worker.sqlite.database import Database
from worker.store import customers, offsets


@pytest.fixture
def buffer(db: Database) -> RecordBuffer:
    """With partitions 0 and 1, which had five and no records when they were assigned."""
    topic = EventsTopic("t", 2, "id")
    assignment, owned = Assignment(topic), OwnedPartitions(lambda: 0.0)
    gap = RetentionGap(Kafka(topic="t"), db, assignment, owned, utc_now, None, lambda _: (0, 5))
    report = ConsumerReport("t", owned, Metrics())
    made = RecordBuffer(lambda: Batch(db, *topic.log), assignment, owned, gap, report, utc_now)
    for reading, end in zip(assignment.begin([0, 1]), (5, 0), strict=True):
        reading.find_start(0, end)
        reading.start(0.0)
    owned.assigned({0: (0, 5), 1: (0, 0)})
    return made


@pytest.mark.parametrize("marker", [True, False], ids=["a marker at the end", "a record at the end"])
def test_a_turn_is_over_once_a_partition_was_read_to_the_end_that_it_had(buffer: RecordBuffer, marker: bool) -> None:
    """By its offset, or because nothing comes after it: a transaction's marker is no record. Until the next batch."""
    buffer.take([event(2), event(0, "cus-2", partition=1)], {1: 1})
    assert not buffer.turn_is_over
    buffer.take([] if marker else [event(4)], {0: 5} if marker else {})
    assert buffer.turn_is_over
    buffer.stage()
    assert not buffer.turn_is_over
    buffer.take([event(5)], {0: 6})
    assert not buffer.turn_is_over


def test_the_rest_of_the_worker_is_told_after_staging(buffer: RecordBuffer) -> None:
    """Then only of what is still assigned: what was staged in a rebalance may be another worker's now."""
    buffer.take([event(4), event(0, "cus-2", partition=1)], {0: 5})
    buffer.stage()
    assert buffer.owned_partitions.at_end() == {1: 0}
    buffer.assignment.drop([1])
    buffer.tell()
    assert buffer.owned_partitions.at_end() == {0: 5, 1: 0}
    assert buffer.is_empty


def test_records_of_a_reading_that_is_over_are_not_staged(buffer: RecordBuffer, db: Database) -> None:
    """That would be a bug: they would have been dropped before. Nothing is written then."""
    buffer.take([event(0)], {})
    buffer.assignment.drop([0])
    with pytest.raises(AssignmentOver):
        buffer.stage()
    assert customers.total_count(db) == 0
    assert offsets.of_topic(db, "t") == []
