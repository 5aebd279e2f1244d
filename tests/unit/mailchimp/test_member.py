from datetime import UTC, datetime

import pytest

from worker.mailchimp.answers import Answer, Member, answered_member, member_of, total_items

ANN = {"email_address": "Ann@Example.com", "status": "subscribed", "last_changed": "2026-11-20T10:00:00+00:00"}
TOLD = Member("Ann@Example.com", "subscribed", "2026-11-20T10:00:00+00:00", None)


def test_a_member_is_read_as_mailchimp_tells_it():
    """Address, status and time of change are taken over as they were written."""
    assert member_of(ANN) == TOLD
    assert member_of(ANN | {"unknown": 1}) == TOLD


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"email_address": "a@example.com"},
        {"status": "cleaned"},
        ANN | {"status": None},
        ANN | {"email_address": 5},
    ],
)
def test_without_address_or_status_there_is_no_member(body):
    """An object that lacks either decides nothing."""
    assert member_of(body) is None
    assert answered_member(Answer(200, body)) is None


@pytest.mark.parametrize(
    ("times", "born"),
    [
        ({}, None),
        ({"timestamp_signup": "", "timestamp_opt": ""}, None),
        ({"timestamp_signup": None, "timestamp_opt": 5}, None),
        ({"timestamp_signup": "yesterday"}, None),
        ({"timestamp_opt": "2026-11-20T10:00:00+00:00"}, datetime(2026, 11, 20, 10, tzinfo=UTC)),
        ({"timestamp_signup": "", "timestamp_opt": "2026-11-20T10:00:00Z"}, datetime(2026, 11, 20, 10, tzinfo=UTC)),
        (
            {"timestamp_signup": "2026-11-20T12:00:00+03:00", "timestamp_opt": "2026-11-20T10:00:00+00:00"},
            datetime(2026, 11, 20, 9, tzinfo=UTC),
        ),
        (
            {"timestamp_signup": "2026-11-20T12:00:00+00:00", "timestamp_opt": "2026-11-20T10:00:00"},
            datetime(2026, 11, 20, 10, tzinfo=UTC),
        ),
    ],
)
def test_a_member_was_born_at_the_earlier_of_sign_up_and_opt_in(times, born):
    """The earlier of both times that can be read counts, in whatever zone each is written."""
    found = member_of(ANN | times)
    assert found is not None
    assert found.born == born


def test_a_time_of_change_that_is_no_text_is_none():
    """Without a text there is no time of change."""
    found = member_of(ANN | {"last_changed": 5})
    assert found is not None
    assert found.last_changed is None


@pytest.mark.parametrize("answer", [Answer(404, ANN), Answer(500, ANN), Answer(200), Answer(None, failure="timeout")])
def test_only_a_good_answer_tells_a_member(answer):
    """A refusal, an answer without JSON or none tells no member, whatever is in it."""
    assert answered_member(answer) is None
    assert answered_member(Answer(200, ANN)) == TOLD


@pytest.mark.parametrize(
    ("answer", "total"),
    [
        (Answer(200, {"total_items": 0}), 0),
        (Answer(200, {"total_items": 12}), 12),
        (Answer(200, {"total_items": "12"}), None),
        (Answer(200, {}), None),
        (Answer(200), None),
        (Answer(404, {"total_items": 12}), None),
        (Answer(None, failure="timeout"), None),
    ],
)
def test_a_total_is_reported_by_a_good_answer_only(answer, total):
    """No total is something else than a total of nothing."""
    assert total_items(answer) == total


def test_a_member_has_the_contact_id_that_mailchimp_tells():
    """It tells which contact a member is under whatever address; an answer without one tells nothing."""
    assert member_of(ANN | {"contact_id": "c0ffee"}).contact_id == "c0ffee"  # type: ignore[union-attr]
    for lacking in ({}, {"contact_id": ""}, {"contact_id": None}):
        assert member_of(ANN | lacking).contact_id is None  # type: ignore[union-attr]


def test_a_time_out_of_the_calendar_is_none():
    """The first day of the calendar in a zone ahead of UTC lies before it: that is no time, and no error."""
    assert member_of(ANN | {"timestamp_opt": "0001-01-01T00:00:00+01:00"}).born is None  # type: ignore[union-attr]
