"""When a flush is due."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.flush.schedule import is_due, latest_flush_time, next_flush_time

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
