"""Which of two events is the newer one."""

from __future__ import annotations

from functools import reduce

from hypothesis import given, settings
from hypothesis import strategies as st

from worker.consumer.event_order import Known, Verdict, judge

FIRST = Known(version=5, topic="t", topic_id="id", partition=0, offset=10, time="2026-11-22T10:00:00Z")
UNVERSIONED = FIRST._replace(version=None)


def test_a_null_is_newer_than_what_its_log_has_before_it() -> None:
    """Its version is that of an older event, so a record that was unreadable at first may have a higher one."""
    null = FIRST._replace(null=True)
    assert judge(null, FIRST._replace(version=6, offset=9)) is Verdict.OLDER
    assert judge(null, FIRST._replace(version=6, offset=11)) is Verdict.NEWER
    assert judge(null, FIRST._replace(version=6, offset=9, partition=1)) is Verdict.NEWER


def test_the_higher_version_wins_wherever_it_was_read() -> None:
    """A higher version is newer even at a lower offset, in another partition or of another topic."""
    for place in ({"offset": 3}, {"partition": 1, "offset": 3}, {"topic_id": "other", "offset": 3}):
        assert judge(FIRST, FIRST._replace(version=6, **place)) is Verdict.NEWER


def test_an_equal_version_is_a_repeat() -> None:
    """The same version again changes nothing, at whatever offset."""
    assert judge(FIRST, FIRST._replace(offset=11)) is Verdict.REPEAT


def test_a_lower_version_at_a_higher_offset_is_the_publishers_fault() -> None:
    """It is not taken for a late event of another partition or topic, whose offsets say nothing."""
    assert judge(FIRST, FIRST._replace(version=4, offset=11)) is Verdict.OUT_OF_ORDER
    assert judge(FIRST, FIRST._replace(version=4, offset=9)) is Verdict.OLDER
    assert judge(FIRST, FIRST._replace(version=4, offset=11, partition=1)) is Verdict.OLDER
    assert judge(FIRST, FIRST._replace(version=4, offset=11, topic_id="other")) is Verdict.OLDER


def test_the_first_version_wins_over_none() -> None:
    """A row that never had a version yields to the first event that has one."""
    assert judge(UNVERSIONED, FIRST._replace(version=0, offset=1)) is Verdict.NEWER


def test_without_a_version_the_offset_decides_within_a_partition() -> None:
    """Time does not matter where offsets can be compared."""
    later = UNVERSIONED._replace(time="2020-01-01T00:00:00Z", offset=11)
    assert judge(UNVERSIONED, later) is Verdict.NEWER
    assert judge(UNVERSIONED, UNVERSIONED._replace(offset=9, time="2030-01-01T00:00:00Z")) is Verdict.OLDER
    assert judge(UNVERSIONED, UNVERSIONED) is Verdict.REPEAT


def test_without_a_version_time_decides_between_partitions() -> None:
    """Moments are compared, not texts: offsets from UTC and fractions count."""
    other = UNVERSIONED._replace(partition=1, offset=0)
    assert judge(UNVERSIONED, other._replace(time="2026-11-22T10:00:00.000000001Z")) is Verdict.NEWER
    assert judge(UNVERSIONED, other._replace(time="2026-11-22T10:59:59+01:00")) is Verdict.OLDER
    assert judge(UNVERSIONED, other._replace(time="2026-11-22T11:00:01+01:00")) is Verdict.NEWER


def test_where_nothing_decides_what_is_read_later_wins() -> None:
    """Without comparable offsets and times, the later reading is taken for the newer state."""
    for time in (None, "", "yesterday", "0001-01-01T00:00:00+23:59", "2026-11-22T10:00:00Z"):
        assert judge(UNVERSIONED, UNVERSIONED._replace(partition=1, offset=0, time=time)) is Verdict.NEWER


@given(st.permutations(range(8)), st.lists(st.integers(0, 2), min_size=8, max_size=8))
@settings(deadline=None)
def test_versions_in_any_order_give_the_highest(versions: list[int], partitions: list[int]) -> None:
    """Whatever order and partitions versions are read in, the highest counts in the end."""
    read = [
        FIRST._replace(version=version, partition=partition, offset=offset)
        for offset, (version, partition) in enumerate(zip(versions, partitions, strict=True))
    ]
    last = reduce(lambda known, new: new if judge(known, new) is Verdict.NEWER else known, read)
    assert last.version == 7


@given(st.text(max_size=30) | st.none(), st.text(max_size=30) | st.none())
@settings(deadline=None)
def test_any_text_may_stand_for_a_time(known: str | None, new: str | None) -> None:
    """A time that is none never stops the worker."""
    assert isinstance(judge(UNVERSIONED._replace(time=known), UNVERSIONED._replace(partition=1, time=new)), Verdict)
