"""When a flush is due."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.flush.schedule import is_due, latest_flush_time, next_flush_time, takes_part

LONDON, TEN = ZoneInfo("Europe/London"), time(10)


def utc(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "latest"),
    [
        ("2026-11-22T09:59:59", "2026-11-21T10:00:00"),
        ("2026-11-22T10:00:00", "2026-11-22T10:00:00"),
        ("2026-07-01T08:59:59", "2026-06-30T09:00:00"),
        ("2026-07-01T09:00:00", "2026-07-01T09:00:00"),
        ("2026-03-29T09:00:00", "2026-03-29T09:00:00"),
        ("2026-10-25T09:30:00", "2026-10-24T09:00:00"),
        ("2026-10-25T10:00:00", "2026-10-25T10:00:00"),
    ],
)
def test_ten_in_london_is_nine_in_utc_in_summer(now, latest):
    """The latest flush time is by the zone's clock, on the days of clock changes too."""
    assert latest_flush_time(utc(now), TEN, LONDON) == utc(latest)


def test_a_worker_that_was_down_at_ten_catches_up():
    """A partition whose last run is before the latest flush time is due, however late it is."""
    assert is_due(utc("2026-11-22T23:00:00"), TEN, LONDON, utc("2026-11-21T10:00:05"))
    assert not is_due(utc("2026-11-22T23:00:00"), TEN, LONDON, utc("2026-11-22T10:00:00"))
    assert is_due(utc("2026-11-22T03:00:00"), TEN, LONDON, None)


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)),  # noqa: DTZ001 - hypothesis wants naive bounds
    st.times(),
    st.sampled_from(["Europe/London", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kathmandu"]),
)
def test_there_is_one_flush_time_a_day_whatever_the_zone_does(now, at, zone):
    """The latest flush time is not in the future and the next one is, about a day apart, in every zone."""
    now, zone, at = now.replace(tzinfo=UTC), ZoneInfo(zone), at.replace(microsecond=0)
    latest, following = latest_flush_time(now, at, zone), next_flush_time(now, at, zone)
    assert latest <= now < following
    assert timedelta(hours=22) < following - latest < timedelta(hours=26)


@pytest.mark.parametrize(
    ("enabled_at", "part"),
    [(None, True), ("09:59", True), ("10:00", True), ("10:01", False), ("11:55", False), ("13:00", True)],
)
def test_an_account_takes_part_in_a_daily_flush_if_it_was_enabled_before_its_time(
    enabled_at: str | None, part: bool
) -> None:
    """One of an earlier release has no time; a time in the future was noted by a clock that was ahead."""
    at = None if enabled_at is None else datetime.fromisoformat(f"2026-11-22T{enabled_at}:00+00:00")
    flush_time, now = (datetime(2026, 11, 22, hour, tzinfo=UTC) for hour in (10, 12))
    assert takes_part(at, flush_time, now) is part
