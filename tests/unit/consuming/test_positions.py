"""Where reading a partition begins."""

from __future__ import annotations

from worker.consuming.positions import Start, start_of
from worker.staging.offsets import Reading


def reading(next_offset: int, topic_id: str = "id", partition: int = 0) -> Reading:
    """How far a partition was read."""
    return Reading("t", topic_id, partition, next_offset, "2026-11-22T10:00:00.000Z")


def test_begins_at_the_logs_start_at_first() -> None:
    """Nothing stored: from the first record that there is, and no alarm."""
    assert start_of([], "id", 0, low=7, high=20) == Start(7)


def test_goes_on_from_next_offset() -> None:
    """What is stored decides, up to the very end of the log and from its very start."""
    for offset in (7, 12, 20):
        assert start_of([reading(offset)], "id", 0, low=7, high=20) == Start(offset)


def test_a_topic_made_anew_is_read_from_its_beginning() -> None:
    """Another topic id: no old offset is compared, and it is said."""
    start = start_of([reading(12, "old")], "new", 0, low=0, high=20)
    assert (start.offset, start.event) == (0, "recreated")
    assert start.notice


def test_a_partition_that_another_worker_read_is_no_new_topic() -> None:
    """Readings of other partitions of the same topic raise no alarm."""
    assert start_of([reading(12, "id", partition=1)], "id", 0, low=0, high=20) == Start(0)


def test_a_new_partition_of_a_topic_that_was_made_anew_long_ago_raises_no_alarm() -> None:
    """Once the topic is known by its id, partitions that come to it are only new."""
    known = [reading(12, "old"), reading(3, "new", partition=1)]
    assert start_of(known, "new", 0, low=0, high=20) == Start(0)


def test_records_that_expired_unread_are_told() -> None:
    """A log that begins after next_offset is read from its start, and how many are gone is said."""
    start = start_of([reading(5)], "id", 0, low=7, high=20)
    assert (start.offset, start.event) == (7, "expired")
    assert "2 offsets expired unread" in str(start.notice)


def test_a_log_that_was_cut_is_read_again() -> None:
    """A log that ends before next_offset lost records: its rest is read again, and it is said."""
    start = start_of([reading(21)], "id", 0, low=7, high=20)
    assert (start.offset, start.event) == (7, "cut")


def test_a_broker_that_tells_no_ids_raises_no_alarm() -> None:
    """Without an id nothing can be said of the topic's identity."""
    assert start_of([reading(12, "old")], "", 0, low=0, high=20) == Start(0)
    assert start_of([reading(12, "")], "new", 0, low=0, high=20) == Start(0)
