"""Merge fields: what a list has, which values it takes, and what it does with the others."""

import pytest

from tests.contract.world import LIST, World, contact
from worker.mailchimp.calls import Call
from worker.mailchimp.merge_fields import merge_fields

WHOLE = {"addr1": "1 High St", "addr2": "", "city": "Leeds", "state": "West Yorkshire", "zip": "LS1 1AA"}


def refused(answer) -> tuple[str, str]:
    """Returns the title of a refusal and the first field that it names."""
    return answer.title, answer.body["errors"][0]["field"]


def test_the_worker_reads_them(world: World):
    """A new list has the usual five; one that an owner adds is read with its format and choices."""
    world.standin.add_merge_field(
        LIST, {"name": "Mobile", "type": "phone", "tag": "mobile", "options": {"phone_format": "US"}}
    )
    world.standin.add_merge_field(LIST, {"name": "Tier", "type": "dropdown", "options": {"choices": ["a", "b"]}})
    found = merge_fields(world.sender, LIST)
    assert isinstance(found, tuple)
    assert [one.tag for one in found] == ["FNAME", "LNAME", "ADDRESS", "PHONE", "COMPANY", "MOBILE", "MERGE7"]
    assert (found[5].phone_format, found[6].choices) == ("US", ("a", "b"))


def test_fields_are_added_by_calls(world: World):
    """POST …/merge-fields adds one; its tag is taken once, and has ten characters at most."""
    path = f"/lists/{LIST}/merge-fields"
    made = world.sender.send(Call("POST", path, {}, {"name": "Plan", "type": "text", "tag": "PLAN", "required": True}))
    assert made.status == 200
    for body in (
        {"name": "Plan", "type": "text", "tag": "PLAN"},
        {"name": "Long", "type": "text", "tag": "ELEVENCHARS"},
        {"name": "", "type": "text"},
    ):
        assert world.sender.send(Call("POST", path, {}, body)).status == 400


def test_unknown_tags_are_dropped(world: World):
    """A value for a field that the list has not is passed over."""
    assert world.put("ann@example.com", status_if_new="subscribed", merge_fields={"NONE": "x"}).status == 200
    assert "NONE" not in world.known("ann@example.com").merge_fields


def test_an_empty_text_clears_and_silence_keeps(world: World):
    """A text replaces, an empty one clears, and a field that is not named stays."""
    world.put("ann@example.com", status_if_new="subscribed", merge_fields={"FNAME": "Ann", "LNAME": "Lee"})
    world.patch("ann@example.com", merge_fields={"LNAME": ""})
    values = world.known("ann@example.com").merge_fields
    assert (values["FNAME"], values["LNAME"]) == ("Ann", "")


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("FNAME", "x" * 256),
        ("FNAME", {"a": "b"}),
        ("ADDRESS", {**WHOLE, "zip": ""}),
        ("ADDRESS", {"addr1": "1 High St"}),
        ("ADDRESS", "1 High St, Leeds"),
    ],
)
def test_values_that_are_refused(world: World, tag, value):
    """A text has 255 characters at most, and an address its first line, city, state and zip; nothing is written."""
    answer = world.put("ann@example.com", status_if_new="subscribed", merge_fields={tag: value})
    assert refused(answer) == ("Invalid Resource", tag)
    assert world.status("ann@example.com") is None


def test_a_whole_address_is_taken(world: World):
    """An address comes back with all its parts."""
    answer = world.put("ann@example.com", status_if_new="subscribed", merge_fields={"ADDRESS": WHOLE})
    assert answer.body is not None
    assert answer.body["merge_fields"]["ADDRESS"] == {**WHOLE, "country": ""}


@pytest.mark.parametrize(("value", "status"), [("404-555-0100", 200), ("+44 113 496 0000", 400), ("", 200)])
def test_a_us_phone_takes_one_form(world: World, value, status):
    """A phone field of the US format takes NPA-NXX-LINE only; one without a format takes any."""
    world.standin.add_merge_field(
        LIST, {"name": "Mobile", "type": "phone", "tag": "MOBILE", "options": {"phone_format": "US"}}
    )
    assert world.put("ann@example.com", status_if_new="subscribed", merge_fields={"PHONE": "any"}).status == 200
    assert world.patch("ann@example.com", merge_fields={"MOBILE": value}).status == status


def test_required_fields_unless_validation_is_skipped(world: World):
    """A required field that stays empty is refused, for one and for many, unless skip_merge_validation is true."""
    world.standin.add_merge_field(LIST, {"name": "Plan", "type": "text", "tag": "PLAN", "required": True})
    assert refused(world.put("ann@example.com", status_if_new="subscribed")) == ("Invalid Resource", "PLAN")
    (error,) = world.post(contact("ann@example.com"))["errors"]
    assert (error["error_code"], error["field"]) == ("ERROR_GENERIC", "PLAN")
    assert world.post(contact("ann@example.com"), skip_merge_validation="true")["total_created"] == 1
    assert world.patch("ann@example.com", merge_fields={"FNAME": "Ann"}).status == 400
    assert world.patch("ann@example.com", merge_fields={"PLAN": "gold"}).status == 200
