"""Where reading a partition begins."""

from __future__ import annotations

from datetime import timedelta

import pytest

from worker.clock import as_moment
from worker.consumer.start_offset import Compaction, Start, start_of, why_absence_proves_nothing
from worker.store.offsets import NextOffset

AT = "2026-11-22T10:00:00.000Z"
DAY = Compaction("compact", 24 * 3600.0)


def reading(next_offset: int, topic_id: str = "id", partition: int = 0) -> NextOffset:
    """How far a partition was read."""
    return NextOffset("t", topic_id, partition, next_offset, AT)


def test_begins_at_the_logs_start_at_first() -> None:
    """Nothing stored: from the first record that there is, and no alarm."""
    assert start_of([], "id", 0, low=7, high=20) == Start(7)


def test_goes_on_from_next_offset() -> None:
    """What is stored decides, up to the very end of the log and from its very start."""
    for offset in (7, 12, 20):
        assert start_of([reading(offset)], "id", 0, low=7, high=20) == Start(offset)


def test_a_topic_recreated_is_read_from_its_beginning() -> None:
    """Another topic id: no old offset is compared, and it is said."""
    start = start_of([reading(12, "old")], "new", 0, low=0, high=20)
    assert (start.offset, start.event) == (0, "recreated")
    assert start.notice


def test_a_partition_that_another_worker_read_is_no_new_topic() -> None:
    """Readings of other partitions of the same topic raise no alarm."""
    assert start_of([reading(12, "id", partition=1)], "id", 0, low=0, high=20) == Start(0)


def test_a_new_partition_of_a_topic_that_was_recreated_long_ago_raises_no_alarm() -> None:
    """Once the topic is known by its id, partitions that come to it are only new."""
    known = [reading(12, "old"), reading(3, "new", partition=1)]
    assert start_of(known, "new", 0, low=0, high=20) == Start(0)


def test_records_that_expired_unread_are_reported() -> None:
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


def after(hours: float, next_offset: int = 12, compaction: Compaction | None = DAY, low: int = 0) -> Start:
    """Where to begin so long after a partition was read to its end, up to an offset; it ends at 20."""
    now = as_moment(AT) + timedelta(hours=hours)
    return start_of([reading(next_offset)], "id", 0, low, 20, compaction, now)


def test_who_was_away_longer_than_nulls_are_kept_begins_at_the_logs_start() -> None:
    """The notice says since when, what that means and what to do."""
    start = after(24.01)
    assert (start.offset, start.event) == (0, "away")
    for part in (AT, "delete.retention.ms: 24 h", "count as deleted"):
        assert part in str(start.notice)


def test_who_was_away_for_less_goes_on() -> None:
    """Up to the last moment for which nulls are kept."""
    assert after(24) == Start(12)


def test_who_missed_no_record_missed_no_null() -> None:
    """At the end of the log reading goes on, however long the pause was."""
    assert after(1000, next_offset=20) == Start(20)


def test_a_topic_that_does_not_tell_what_it_keeps_is_read_on() -> None:
    """Unknown means that nothing is done."""
    assert after(1000, compaction=None) == Start(12)


def test_a_pause_is_nothing_beside_a_log_that_is_another() -> None:
    """A log that was recreated, cut or begins later is reported as that."""
    now = as_moment(AT) + timedelta(days=9)
    assert start_of([reading(12, "old")], "new", 0, 0, 20, DAY, now).event == "recreated"
    assert start_of([reading(21)], "id", 0, 0, 20, DAY, now).event == "cut"
    assert start_of([reading(5)], "id", 0, 7, 20, DAY, now).event == "expired"


@pytest.mark.parametrize(
    ("compaction", "low", "misnamed", "told"),
    [
        (Compaction("delete", 1), 0, 0, "cleanup.policy is delete"),
        (Compaction("compact,delete", 1), 0, 0, "cleanup.policy is compact,delete"),
        (DAY, 1, 0, "begins at offset 1"),
        (DAY, 0, 3, "keys of 3 records"),
    ],
)
def test_records_go_for_other_reasons_than_nulls(compaction: Compaction, low: int, misnamed: int, told: str) -> None:
    """Then it is reported that deletions may have been missed, and who is gone from the log is not taken as deleted."""
    assert told in str(why_absence_proves_nothing(compaction, low, misnamed))
    if not misnamed:
        notice = str(after(25, compaction=compaction, low=low).notice)
        assert told in notice
        assert "may have been missed" in notice


def test_of_a_whole_compacted_log_only_nulls_take_customers() -> None:
    """Compacted alone, from its first offset on, and with right keys."""
    assert why_absence_proves_nothing(DAY, 0) is None
