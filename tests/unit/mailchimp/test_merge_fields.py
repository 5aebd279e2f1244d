import pytest

from tests.unit.mailchimp.build import Scripted
from worker.mailchimp.answers import Answer
from worker.mailchimp.merge_fields import MergeField, merge_fields
from worker.model import ListId

LIST = ListId("a1")


def answer(*fields):
    """One page of merge fields."""
    return Answer(200, {"merge_fields": list(fields), "total_items": len(fields)})


def read(*fields):
    """The merge fields of a list that tells these."""
    return merge_fields(Scripted(answer(*fields)), LIST)


def test_a_field_is_read_with_what_decides_its_value():
    """Tag, type, name, whether it is required and its options are read, and no more is asked for."""
    sender = Scripted(
        answer(
            {"tag": "FNAME", "type": "text", "name": "First Name", "required": True, "options": {"size": 25}},
            {"tag": "PHONE", "type": "phone", "name": "Phone", "required": False, "options": {"phone_format": "US"}},
            {"tag": "KIND", "type": "radio", "name": "Kind", "required": False, "options": {"choices": ["a", 2]}},
        )
    )
    assert merge_fields(sender, LIST) == (
        MergeField("FNAME", "text", "First Name", required=True, size=25),
        MergeField("PHONE", "phone", "Phone", phone_format="US"),
        MergeField("KIND", "radio", "Kind", choices=("a", "2")),
    )
    (call,) = sender.calls
    assert call.path == "/lists/a1/merge-fields"
    assert set(call.query["fields"].split(",")) == {
        "merge_fields.tag",
        "merge_fields.name",
        "merge_fields.type",
        "merge_fields.required",
        "merge_fields.options",
        "total_items",
    }


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"name": None, "required": None, "options": None},
        {"name": 5, "required": "yes", "options": []},
        {"options": {"phone_format": "", "choices": None, "size": "wide"}},
        {"options": {"phone_format": 5, "choices": {}, "size": None}},
    ],
)
def test_parts_that_are_absent_or_odd_are_left_out(told):
    """A field can be filled if the answer has only its tag and type."""
    assert read({"tag": "FNAME", "type": "text"} | told) == (MergeField("FNAME", "text"),)


@pytest.mark.parametrize("told", [{"tag": None}, {"tag": ""}, {"tag": 5}, {"type": None}, {"type": 5}])
def test_a_field_without_tag_or_type_makes_the_answer_garbled(told):
    """One field that cannot be understood makes the whole answer one that cannot be used."""
    found = read({"tag": "LNAME", "type": "text"}, {"tag": "FNAME", "type": "text"} | told)
    assert isinstance(found, Answer)
    assert found.failure == "garbled"


def test_a_list_without_fields_has_none():
    """A list may have no merge fields at all."""
    assert read() == ()


def test_a_list_that_is_gone_comes_back_as_such():
    """The 404 of a list that is gone comes back as it is."""
    gone = Answer(404, {"title": "Resource Not Found"})
    assert merge_fields(Scripted(gone), LIST) == gone
