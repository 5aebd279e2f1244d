"""Which fields and attributes go to which merge fields of a list."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from worker.errors import AccountError
from worker.fields.field_mapping import DEFAULT, checked, mapped, mapping_of, unfit
from worker.mailchimp.merge_fields import MergeField
from worker.model import AccountId, ListId
from worker.store.accounts import AccountList

AVAILABLE = (
    MergeField("FNAME", "text"),
    MergeField("ADDRESS", "address"),
    MergeField("BIRTHDAY", "birthday"),
    MergeField("PLAN", "dropdown", choices=("Gold",)),
)


def on_list(chosen: dict[str, str] | None) -> AccountList:
    """A list for which an account chose that."""
    at = datetime(2026, 11, 22, tzinfo=UTC)
    return AccountList(ListId("a1"), "Customers", True, 0, False, at, merge_fields=chosen)


def choice(**chosen: str) -> dict[str, str]:
    """What is stored of a choice."""
    return checked(AccountId("acct-1"), ListId("a1"), chosen, AVAILABLE)


def test_what_was_chosen_is_beside_the_default() -> None:
    """A list without a choice has the default; a chosen tag comes to it, replaces it, or takes it away."""
    assert mapping_of(None) == mapping_of(on_list(None)) == DEFAULT
    chosen = {"BIRTHDAY": "birthday", "FNAME": "nickname", "COMPANY": ""}
    found = mapping_of(on_list(chosen))
    assert (found["BIRTHDAY"], found["FNAME"], found["LNAME"]) == ("birthday", "nickname", "last_name")
    assert "COMPANY" not in found


def test_only_what_differs_from_the_default_is_kept() -> None:
    """To name what is so anyhow chooses nothing."""
    assert choice(FNAME="first_name", BIRTHDAY="birthday", PLAN="") == {"BIRTHDAY": "birthday"}
    assert choice(FNAME="", COMPANY="") == {"FNAME": "", "COMPANY": ""}


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"BDAY": "birthday"}, "has no merge field BDAY"),
        ({"ADDRESS": "street"}, "which takes a whole address"),
        ({"FNAME": "phone"}, None),
        ({"BIRTHDAY": "first_name"}, "first_name goes to fields of the type text or radio or dropdown"),
        ({"PLAN": "address"}, "address goes to fields of the type address or text"),
        ({"PLAN": "p" * 65}, "is longer than"),
    ],
)
def test_a_choice_that_does_not_fit_the_list_is_refused(chosen: dict[str, str], said: str | None) -> None:
    """The list must have the field, and its type must take what goes there."""
    if said is None:
        assert choice(**chosen) == chosen
        return
    with pytest.raises(AccountError, match=said):
        choice(**chosen)


def test_an_attribute_goes_to_any_field_but_an_address() -> None:
    """Whether its values fit shows with each customer."""
    kinds = ("text", "number", "phone", "date", "birthday", "url", "imageurl", "zip", "radio", "dropdown")
    assert [kind for kind in kinds if unfit("plan", MergeField("F", kind)) is not None] == []
    assert unfit("plan", MergeField("F", "address")) is not None


def test_every_field_of_the_list_is_shown_and_what_it_lacks() -> None:
    """The list's fields come first, then tags that it does not have."""
    found = mapped(on_list({"PLAN": "plan"}), AVAILABLE)
    assert [(one.tag, one.source, one.chosen, one.field is not None) for one in found] == [
        ("FNAME", "first_name", False, True),
        ("ADDRESS", "address", False, True),
        ("BIRTHDAY", None, False, True),
        ("PLAN", "plan", True, True),
        ("LNAME", "last_name", False, False),
        ("COMPANY", "company", False, False),
        ("PHONE", "phone", False, False),
    ]
