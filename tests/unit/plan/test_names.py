"""Whether a member that was found has the names of its customer."""

from dataclasses import replace

import pytest

from tests.unit.plan.build import entry
from worker.mailchimp.answers import Member, member_of
from worker.model import CustomerId
from worker.plan.identity import agreed_when_found, as_read, is_first_sight
from worker.plan.names import has_names, names_agree

OWNER = CustomerId("ann")
ANN_LEE = {"FNAME": "Ann", "LNAME": "Lee"}


def member(first: str = "Ann", last: str = "Lee", contact_id: str | None = "c1") -> Member:
    """A subscribed member of these names."""
    return Member("ann@example.com", "subscribed", "t1", None, contact_id, names=(first, last))


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("Ann", "Lee", True),
        (" ANN ", "lee", True),
        ("Ann", "Leigh", False),
        ("Lee", "Ann", False),
        ("", "Lee", False),
        ("Ann", " ", False),
        ("", "", False),
    ],
)
def test_both_names_must_be_there_and_the_same(first, last, expected):
    """Case, outer spaces and Unicode's form do not count; a name that is missing on either side agrees with nothing."""
    assert names_agree(ANN_LEE, member(first, last)) is expected
    assert names_agree({"FNAME": first, "LNAME": last}, member()) is expected


def test_letters_count_by_what_they_are_and_not_by_how_they_are_encoded():
    """One letter with an accent, or a letter and an accent; a sharp s, or two; one space, or two."""
    composed = {"FNAME": "Ren\u00e9 Paul", "LNAME": "Stra\u00dfe"}
    assert names_agree(composed, member("rene\u0301  paul", "STRASSE"))


@pytest.mark.parametrize("values", [{}, {"FNAME": "Ann"}, {"LNAME": "Lee"}, {"FNAME": "Ann", "LNAME": " "}])
def test_a_customer_without_both_names_agrees_with_nobody(values):
    """Not even with a member that has as little."""
    assert not has_names(values)
    assert not names_agree(values, member("Ann", ""))
    assert not names_agree(values, member("", ""))


def test_names_that_this_worker_may_have_written_say_nothing():
    """A member that the ledger knows keeps what was found out when it was found, for the same customer only."""
    known = replace(entry(), customer_id=OWNER, origin="found", contact_id="c1")
    assert not is_first_sight(known, member())
    assert not agreed_when_found(known, member(), OWNER, ANN_LEE)
    agreed = replace(known, names_agreed=True)
    assert agreed_when_found(agreed, member("Other", "Names"), OWNER, ANN_LEE)
    assert not agreed_when_found(agreed, member(), CustomerId("bob"), ANN_LEE)


def test_another_contact_at_the_place_is_looked_at_for_the_first_time():
    """Who was deleted and joined again has names of her own."""
    known = replace(entry(), customer_id=OWNER, origin="found", contact_id="c1", names_agreed=True)
    assert agreed_when_found(known, member(contact_id="c2"), OWNER, ANN_LEE)
    assert not agreed_when_found(known, member("Eve", contact_id="c2"), OWNER, ANN_LEE)


def test_an_agreement_ends_with_the_membership():
    """Read as another contact, a member's names were never looked at, and it is its customer's from now on only."""
    known = replace(
        entry(), origin="found", contact_id="c1", names_agreed=True, customer_since="2026-01-01T00:00:00.000Z"
    )
    same, other = as_read(known, member(), None), as_read(known, member(contact_id="c2"), None)
    assert (same.names_agreed, same.customer_since) == (True, "2026-01-01T00:00:00.000Z")
    assert (other.names_agreed, other.customer_since) == (None, None)


def test_names_are_read_from_the_answer():
    """What is no text counts as no name."""
    told = {"email_address": "a@example.com", "status": "subscribed"}
    for fields, names in (
        ({"FNAME": "Ann", "LNAME": "Lee", "PHONE": "1"}, ("Ann", "Lee")),
        ({"FNAME": 5, "LNAME": None}, ("", "")),
        ([], ("", "")),
        (None, ("", "")),
    ):
        found = member_of({**told, "merge_fields": fields})
        assert found is not None
        assert found.names == names
