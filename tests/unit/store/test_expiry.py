"""What is dropped for its age, and that a clock which is wrong costs little."""

from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.accounts.test_forget import receipt
from worker.clock import as_text
from worker.sqlite.database import open_database
from worker.store import expiry, receipts

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("oldest", "dropped", "before"),
    [
        (401, None, NOW - 400 * DAY),
        (401, 1, NOW - 400 * DAY),
        (401, 0.5, None),
        (401, -0.5, NOW - 400 * DAY),
        (600, 1, NOW - 593 * DAY),
        (3, 1, NOW - 400 * DAY),
        (None, 1, None),
    ],
)
def test_a_few_days_are_dropped_once_a_day(oldest, dropped, before):
    """What is older than wanted, a week's worth at most, and not again on that day; a time in the future is none."""
    moments = [None if one is None else NOW - one * DAY for one in (oldest, dropped)]
    assert expiry.limit(NOW, 400, *moments) == before


@pytest.mark.parametrize("skew", [timedelta(minutes=5), timedelta(minutes=-5)])
def test_five_minutes_more_or_less_change_nothing_but_that(skew):
    """A clock that is a little wrong drops as much as one that is right, five minutes earlier or later."""
    assert expiry.limit(NOW + skew, 400, NOW - 401 * DAY, NOW - DAY) == NOW + skew - 400 * DAY


def test_a_clock_that_jumps_years_ahead_costs_a_week_of_receipts_and_not_all(tmp_path):
    """Also where the worker flushes again and again in that time; once the clock is right, nothing more goes."""
    with closing(open_database(tmp_path / "x.db")) as db:
        with db.transaction():
            for age in range(300):
                moment = as_text(NOW - age * DAY)
                receipts.write(db, [replaced(receipt(age, "a@example.com"), moment)])
        told = []
        for now in (NOW, NOW + 1500 * DAY, NOW + 1500 * DAY + timedelta(hours=1), NOW + timedelta(hours=2)):
            expiry.drop_old(db, receipts, "receipts", 400, now, lambda *one: told.append(one))
        assert told == [(7, True)]
        assert len(list(receipts.find(db))) == 293


def replaced(one, moment):
    """A receipt of another time."""
    from dataclasses import replace

    return replace(one, at=moment)
