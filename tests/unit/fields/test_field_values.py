"""A value as a merge field takes it."""

from __future__ import annotations

from typing import Any

import pytest

from worker.fields.field_values import (
    NO_ADDRESS,
    NO_BIRTHDAY,
    NO_CHOICE,
    NO_DATE,
    NO_NUMBER,
    NO_URL,
    NO_ZIP,
    TOO_LONG,
    US_NUMBERS_ONLY,
    Formed,
    formed,
)
from worker.mailchimp.merge_fields import MergeField
from worker.sandbox import merge
from worker.sandbox.errors import Problem

CHOICES = ("Gold", "Silver", "silver plus")
TAKEN: list[tuple[str, Any, Any]] = [
    ("text", "Gold", "Gold"),
    ("text", 12, "12"),
    ("text", 12.0, "12"),
    ("text", 1234567.5, "1234567.5"),
    ("number", 12, 12),
    ("number", -0.5, -0.5),
    ("number", "12", 12),
    ("number", "-3.25", -3.25),
    ("date", "2026-05-03", "2026-05-03"),
    ("date", "2026-05-03T23:30:00+02:00", "2026-05-03"),
    ("birthday", "1980-05-03", "05/03"),
    ("birthday", "05/03", "05/03"),
    ("birthday", "--02-29", "02/29"),
    ("url", "https://example.com/a?b=c", "https://example.com/a?b=c"),
    ("imageurl", "HTTP://example.com/logo.png", "HTTP://example.com/logo.png"),
    ("zip", "10001", "10001"),
    ("zip", "10001-0042", "10001-0042"),
    ("zip", 10001, "10001"),
    ("radio", "Gold", "Gold"),
    ("dropdown", "gold", "Gold"),
    ("phone", "+44 113 496 0000", "+44 113 496 0000"),
    ("a type of later", "x", "x"),
]
NOT_TAKEN: list[tuple[str, Any, str]] = [
    ("number", "twelve", NO_NUMBER),
    ("number", "1,5", NO_NUMBER),
    ("number", "nan", NO_NUMBER),
    ("number", "1_000", NO_NUMBER),
    ("date", "03/05/2026", NO_DATE),
    ("date", "2026-02-30", NO_DATE),
    ("date", "2026-05-03 or so", NO_DATE),
    ("date", 20260503, NO_DATE),
    ("birthday", "31/12", NO_BIRTHDAY),
    ("birthday", "May", NO_BIRTHDAY),
    ("url", "example.com", NO_URL),
    ("url", "javascript:alert(1)", NO_URL),
    ("url", "https://[::1", NO_URL),
    ("url", "https://example.com/a b", NO_URL),
    ("url", "https://example.com/" + "a" * 255, TOO_LONG),
    ("zip", "LS1 1AA", NO_ZIP),
    ("zip", 1001, NO_ZIP),
    ("dropdown", "Bronze", NO_CHOICE),
    ("address", "1 High St, Leeds", NO_ADDRESS),
]


def field(kind: str) -> MergeField:
    """A merge field of a type."""
    return MergeField("F", kind, choices=CHOICES if kind in ("radio", "dropdown") else ())


@pytest.mark.parametrize(("kind", "value", "sent"), TAKEN)
def test_a_value_is_sent_in_the_form_of_its_field(kind: str, value: Any, sent: Any) -> None:
    """Each type of field gets what it takes, and the stand-in takes it too."""
    found = formed(field(kind), value)
    assert found == Formed(sent)
    assert type(found.value) is type(sent)
    if kind in merge.KINDS:
        kept = merge.MergeField(1, "F", "F", kind, choices=field(kind).choices)
        assert kept.accepted(found.value) == sent


@pytest.mark.parametrize(("kind", "value", "why"), NOT_TAKEN)
def test_what_a_field_does_not_take_is_left_out_for_a_reason(kind: str, value: Any, why: str) -> None:
    """A value in another form is not sent; the reason says nothing of the value."""
    found = formed(field(kind), value)
    assert found == Formed(None, why)
    assert str(value) not in why


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, value, _ in NOT_TAKEN if len(str(value)) < 200])
def test_the_stand_in_refuses_most_of_what_is_left_out(kind: str, value: Any) -> None:
    """What Mailchimp's documentation rules out is refused by the stand-in, so that a test would show it."""
    kept = merge.MergeField(1, "F", "F", kind, choices=field(kind).choices)
    lenient = {"nan", "1_000", "2026-02-30", "https://[::1"}
    if value in lenient:
        return
    with pytest.raises(Problem):
        kept.accepted(value)


def test_a_long_text_is_cut_and_reported() -> None:
    """A text is sent as far as the field takes it."""
    assert formed(field("text"), "a" * 300) == Formed("a" * 255, "cut to 255 characters")


@pytest.mark.parametrize(("phone", "sent"), [("(212) 555-0147", "212-555-0147"), (2125550147, "212-555-0147")])
def test_a_us_phone_field_takes_us_numbers_only(phone: Any, sent: str) -> None:
    """Of an attribute too: NPA-NXX-LINE or nothing."""
    american = MergeField("MOBILE", "phone", phone_format="US")
    assert formed(american, phone) == Formed(sent)
    assert formed(american, "+44 113 496 0000") == Formed(None, US_NUMBERS_ONLY)
