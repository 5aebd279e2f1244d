"""What is sent of a customer."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from tests.unit.plan.build import HASHES
from worker.fields.merge_values import Fields, ListFields
from worker.mailchimp.merge_fields import MergeField
from worker.model import CustomerState, PostalAddress

ALL = tuple(MergeField(tag, kind) for tag, kind in (("FNAME", "text"), ("LNAME", "text"), ("COMPANY", "text")))
PHONE = MergeField("PHONE", "phone")
US_PHONE = MergeField("PHONE", "phone", phone_format="US")
ADDRESS = MergeField("ADDRESS", "address")
WHOLE = PostalAddress("1 High St", "", "Leeds", "West Yorkshire", "LS1 1AA", "GB")


def merge_fields(state: CustomerState, available: Iterable[MergeField], state_if_missing: str = "") -> Fields:
    """What is sent, by default without filling anything in."""
    return ListFields(tuple(available), state_if_missing).of(state)


def test_only_fields_of_the_list_are_sent_and_the_rest_is_reported():
    """A value without a field on the list is left out, with the reason."""
    found = merge_fields(CustomerState(first_name="Ann", company="Lee Ltd"), ALL[:2])
    assert found.values == {"FNAME": "Ann"}
    assert found.left_out == {"COMPANY": "this list has no such field"}


def test_what_billmywork_leaves_empty_is_not_sent():
    """An empty value never overwrites what somebody filled in Mailchimp."""
    assert merge_fields(CustomerState(first_name="", last_name="  ", company=None), ALL).values == {}


def test_a_whole_address_is_sent_and_a_partial_one_is_left_out():
    """Mailchimp takes an address with street, city, state and zip, or none."""
    assert merge_fields(CustomerState(address=WHOLE), [ADDRESS]).values["ADDRESS"] == {
        "addr1": "1 High St",
        "city": "Leeds",
        "state": "West Yorkshire",
        "zip": "LS1 1AA",
        "country": "GB",
    }
    partial = merge_fields(CustomerState(address=PostalAddress(line1="1 High St")), [ADDRESS])
    assert not partial.values
    assert partial.left_out == {"ADDRESS": "no city, state, postcode"}


def test_an_address_without_a_state_is_sent_with_what_the_operator_chose():
    """Only a missing state is filled in, only in an address field, and only if there is an address at all."""
    british = replace(WHOLE, state=None)
    sent = merge_fields(CustomerState(address=british), [ADDRESS], "-")
    assert (sent.values["ADDRESS"]["state"], sent.state_filled_in, sent.left_out) == ("-", "-", {})
    assert merge_fields(CustomerState(address=WHOLE), [ADDRESS], "-").state_filled_in is None
    without_city = merge_fields(CustomerState(address=replace(british, city="")), [ADDRESS], "-")
    assert (without_city.left_out, without_city.state_filled_in) == ({"ADDRESS": "no city"}, None)
    assert merge_fields(CustomerState(address=british), [ADDRESS]).left_out == {"ADDRESS": "no state"}
    assert merge_fields(CustomerState(address=PostalAddress()), [ADDRESS], "-") == Fields({}, {})
    text = merge_fields(CustomerState(address=british), [MergeField("ADDRESS", "text")], "-")
    assert text.values == {"ADDRESS": "1 High St, Leeds, LS1 1AA, GB"}


@pytest.mark.parametrize(
    ("phone", "sent"),
    [
        ("(212) 555-0147", "212-555-0147"),
        ("+1 212 555 0147", "212-555-0147"),
        ("+44 113 496 0000", None),
        ("555", None),
    ],
)
def test_a_us_phone_field_takes_us_numbers_only(phone, sent):
    """A field in US format gets NPA-NXX-LINE or nothing; any other phone field gets the text."""
    found = merge_fields(CustomerState(phone=phone), [US_PHONE])
    assert found.values.get("PHONE") == sent
    assert ("PHONE" in found.left_out) == (sent is None)
    assert merge_fields(CustomerState(phone=phone), [PHONE]).values["PHONE"] == phone


def test_a_name_longer_than_mailchimp_takes_is_cut_and_reported():
    """Text beyond 255 characters is cut, in characters of any script."""
    found = merge_fields(CustomerState(first_name="å" * 300), ALL)
    assert found.values["FNAME"] == "å" * 255
    assert found.left_out["FNAME"] == "cut to 255 characters"


def test_changes_are_what_differs_and_what_this_worker_must_clear():
    """Only differing values are sent, "" only for a field that this worker filled and the list still has."""
    sent = HASHES.of({"FNAME": "Ann", "COMPANY": "Lee Ltd", "OLD": "x"})
    assert HASHES.changes({"FNAME": "Ann", "LNAME": "Lee"}, sent, ALL) == {"LNAME": "Lee", "COMPANY": ""}


def test_a_cleared_field_counts_as_never_filled():
    """What was cleared once is not cleared again."""
    sent = HASHES.sent_after(HASHES.of({"FNAME": "Ann", "COMPANY": "Lee Ltd"}), {"COMPANY": ""}, {"FNAME": "Ann"})
    assert HASHES.changes({"FNAME": "Ann"}, sent, ALL) == {}
