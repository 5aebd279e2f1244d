"""Which details go to which fields, as an owner reads it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.web.pages.test_problems import READY
from worker.fields import field_values
from worker.model import ListId
from worker.store.runs import LeftOut
from worker.web.pages.your_data import Field, fields_of, not_sent

REASONS = [value for name, value in vars(field_values).items() if name.startswith("NO_")]


def test_what_was_chosen_for_one_list_says_where() -> None:
    """What is so on every list that is used says nothing of lists."""
    first, *others = READY.lists
    chosen = replace(first, stored=True, merge_fields={"PLAN": "plan", "COMPANY": ""})
    second = replace(first, list_id=ListId("second"), name="Second", stored=True)
    found = fields_of(replace(READY, lists=(chosen, second, *others)))
    assert Field("Email address", "EMAIL") in found
    assert Field("First name", "FNAME") in found
    assert Field("“plan”", "PLAN", (first.name,)) in found
    assert [one.only_on for one in found if one.tag == "COMPANY"] != [()]


@pytest.mark.parametrize("reason", [*REASONS, field_values.TOO_LONG])
def test_every_reason_has_a_way_out(reason: str) -> None:
    """None of them sends the owner away without one."""
    found = not_sent(LeftOut(ListId("all"), "PLAN", reason, 1, 2), READY)
    assert found.advice != "Check it in Mailchimp."
