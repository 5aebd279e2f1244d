"""Fields that lists lack, refuse, require or already hold."""

import base64
import hashlib
import json
from dataclasses import replace

import pytest

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.integration.flush.world import ACCOUNT, World
from worker.accounts import api_keys
from worker.accounts.secrets import parsed
from worker.model import ListId
from worker.sandbox.faults import Fault
from worker.sandbox.merge import MergeField
from worker.status.left_out import sentences
from worker.store import ledger

ANN = "ann@example.com"
WHOLE = {"line1": "1 High St", "city": "Leeds", "state": "West Yorkshire", "postcode": "LS1 1AA", "country": "GB"}


def test_everything_that_the_list_has_is_sent(world: World):
    """Names, company, phone and a whole postal address arrive in their fields."""
    world.event(
        "ann", ANN, first_name="Ann", last_name="Lee", company="Lee Ltd", phone="+44 113 496 0000", address=WHOLE
    )
    world.flush()
    fields = world.fields(ANN)
    assert fields["ADDRESS"]["zip"] == "LS1 1AA"
    assert {tag: fields[tag] for tag in ("FNAME", "LNAME", "COMPANY", "PHONE")} == {
        "FNAME": "Ann",
        "LNAME": "Lee",
        "COMPANY": "Lee Ltd",
        "PHONE": "+44 113 496 0000",
    }


def test_a_field_that_the_list_lacks_is_left_out_and_reported(world: World):
    """The contact is added, and its receipt names what was not sent."""
    del world.standin.find_list("master").fields["COMPANY"]
    world.event("ann", ANN, company="Lee Ltd")
    world.flush()
    assert world.status(ANN) == "subscribed"
    assert "COMPANY (this list has no such field)" in world.receipts("ann")[0].detail


def test_a_required_field_without_a_value_refuses_nobody(world: World):
    """Validation of required fields is skipped with every write."""
    mailing_list = world.standin.find_list("master")
    mailing_list.fields["LNAME"] = replace(mailing_list.fields["LNAME"], required=True)
    world.event("ann", ANN, first_name="Ann")
    world.flush()
    world.event("ann", ANN, first_name="Anne")
    world.flush()
    assert world.fields(ANN) == {"FNAME": "Anne"}


def test_a_refused_field_is_left_out_and_the_rest_is_sent(world: World):
    """A field that Mailchimp refuses is sent again without, and the receipt names it."""
    mailing_list = world.standin.find_list("master")
    mailing_list.fields["COMPANY"] = MergeField(4, "COMPANY", "Company", "dropdown", choices=("One Ltd",))
    world.event("ann", ANN, first_name="Ann", company="Lee Ltd")
    world.flush()
    assert world.fields(ANN) == {"FNAME": "Ann"}
    assert "COMPANY" in world.receipts("ann")[-1].detail
    world.event("ann", ANN, first_name="Anne", company="Two Ltd")
    world.flush()
    assert world.fields(ANN) == {"FNAME": "Anne"}
    assert "COMPANY" in world.receipts("ann")[-1].detail


def test_what_somebody_filled_in_mailchimp_stays_where_billmywork_has_nothing(world: World):
    """A field that billmywork leaves empty is not sent, neither to a found member nor to an own one."""
    world.by_hand(ANN, "subscribe")
    member = world.standin.find_list("master").find(ANN)
    assert member is not None
    member.merge_fields = {"LNAME": "Filled by hand"}
    world.event("ann", ANN, first_name="Ann", last_name=None)
    world.flush()
    world.event("ann", ANN, first_name="Anne", last_name="")
    world.flush()
    assert world.fields(ANN) == {"FNAME": "Anne", "LNAME": "Filled by hand"}


def test_what_this_worker_filled_is_cleared_when_billmywork_empties_it(world: World):
    """A value that was sent once and is no more becomes empty."""
    world.event("ann", ANN, first_name="Ann", company="Lee Ltd")
    world.flush()
    world.event("ann", ANN, first_name="Ann")
    world.flush()
    assert world.fields(ANN) == {"FNAME": "Ann"}
    assert world.writes()[0].body == {"merge_fields": {"COMPANY": ""}}


def test_a_customer_who_comes_to_the_member_of_another_clears_what_was_sent_of_that_one(world: World):
    """The member has the newer customer's fields alone, but for what somebody filled in Mailchimp."""
    world.event("ann", ANN, first_name="Ann", company="Lee Ltd")
    world.event("bob", "bob@example.com", first_name="Bob")
    world.flush()
    world.standin.edit("master", ANN, "LNAME", "By hand")
    world.event("bob", ANN, first_name="Bob")
    world.flush()
    assert world.fields(ANN) == {"FNAME": "Bob", "LNAME": "By hand"}


def test_who_is_put_back_lacks_what_the_customer_lost_meanwhile(world: World):
    """A member that this worker archived comes back without the fields that its customer has no more."""
    world.event("ann", ANN, first_name="Ann", company="Lee Ltd")
    world.flush()
    world.deleted("ann", ANN)
    world.flush()
    assert world.status(ANN) == "archived"
    world.event("ann", ANN, first_name="Ann")
    world.flush()
    assert (world.status(ANN), world.fields(ANN)) == ("subscribed", {"FNAME": "Ann"})


def test_of_another_contact_with_the_same_address_no_field_counts_as_sent(world: World):
    """Who was deleted and joined again by hand keeps its own fields and gets all of the customer's."""
    world.event("ann", ANN, first_name="Ann", company="Lee Ltd")
    world.flush()
    world.by_hand(ANN, "forget")
    world.by_hand(ANN, "subscribe")
    world.standin.edit("master", ANN, "COMPANY", "By hand")
    world.daily()
    world.event("ann", ANN, first_name="Ann")
    world.flush()
    assert world.fields(ANN) == {"FNAME": "Ann", "COMPANY": "By hand"}


def test_a_partial_postal_address_is_left_out(world: World):
    """Mailchimp takes an address whole or not at all."""
    world.event("ann", ANN, address={"line1": "1 High St"})
    world.flush()
    assert "ADDRESS" not in world.fields(ANN)
    assert "ADDRESS (no city, postcode)" in world.receipts("ann")[0].detail


def test_an_address_that_lacks_only_its_state_is_sent_with_a_dash(world: World):
    """A British address without a county arrives, and its receipt says what was sent as its state."""
    world.event("ann", ANN, address={**WHOLE, "state": ""})
    world.flush()
    assert world.fields(ANN)["ADDRESS"]["state"] == "-"
    assert "The address has no state, so - was sent as its state." in world.receipts("ann")[0].detail


@pytest.mark.parametrize("strategy", ["many", "one by one"])
def test_what_is_left_out_is_counted_by_list_and_reason(world: World, strategy: str):
    """Plan and run count alike what they do not send, also of contacts that are added one by one."""
    if strategy == "one by one":
        world.by_hand("old@example.com", "subscribe")
        world.by_hand("old@example.com", "archive")
    del world.standin.find_list("master").fields["COMPANY"]
    world.event("ann", ANN, address={**WHOLE, "city": ""}, company="Lee Ltd")
    world.event("bob", "bob@example.com", address=WHOLE, company="Lee Ltd")
    planned = world.plan().summary.left_out.rows()
    found = world.flush().left_out
    assert sentences(found) == [
        "list master: COMPANY: this list has no such field (2 of 2); ADDRESS not sent for 1 of 2: no city."
    ]
    assert planned == found
    world.event("bob", "bob@example.com", first_name="Bob", address=WHOLE)
    assert world.flush().left_out == ()


def test_a_us_phone_field_gets_us_numbers_only(world: World):
    """A field in US format gets NPA-NXX-LINE; any other number is left out, and the receipt says why."""
    mailing_list = world.standin.find_list("master")
    mailing_list.fields["PHONE"] = replace(mailing_list.fields["PHONE"], phone_format="US")
    world.event("ann", ANN, phone="+1 (212) 555-0147")
    world.event("bob", "bob@example.com", phone="+44 113 496 0000")
    world.flush()
    assert world.fields(ANN) == {"PHONE": "212-555-0147"}
    assert world.fields("bob@example.com") == {}
    assert "PHONE" in world.receipts("bob")[0].detail


def test_a_long_name_is_cut_and_reported(world: World):
    """A name longer than Mailchimp takes is cut, and the receipt says so."""
    world.event("ann", ANN, first_name="A" * 400)
    world.flush()
    assert world.fields(ANN) == {"FNAME": "A" * 255}
    assert "Shortened: FNAME (cut to 255 characters)." in world.receipts("ann")[0].detail


def test_text_in_any_script_arrives_as_it_is(world: World):
    """Names and addresses in any script, emoji and right-to-left marks go through unchanged."""
    names = ["Søren", "陳大文", "Даша", "عائشة", "👩‍👧‍👦", "‮abc"]
    for number, name in enumerate(names):
        world.event(f"c{number}", f"ünï{number}@exämple.com", first_name=name)
    world.flush()
    assert [world.fields(f"ünï{number}@exämple.com")["FNAME"] for number in range(len(names))] == names


def test_a_field_refused_though_it_was_not_sent_ends_the_run_for_that_contact(world: World):
    """A refusal for a field that was not sent is final for this run, and the customer stays changed."""
    world.event("ann", ANN, first_name="Ann")
    world.flush()
    world.standin.faults = [Fault("status", method="PATCH", status=400, title="Invalid Resource")]
    world.event("ann", ANN, first_name="Anne")
    world.flush()
    assert world.waits("ann")


def unkeyed(value: object) -> str:
    """A hash of a field as releases before the keyed ones wrote it."""
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=8).hexdigest()


def test_an_upgrade_costs_no_call_and_the_next_write_replaces_the_old_hashes(world: World):
    """Hashes without a key are recognised, one changed field is sent alone, and the row has keyed ones afterwards."""
    world.event("ann", ANN, first_name="Ann", phone="+44 7700 900123")
    world.flush()
    entry = world.entry(ANN)
    assert entry is not None
    old = {"FNAME": unkeyed("Ann"), "PHONE": unkeyed("+44 7700 900123")}
    assert entry.fields.keys() == old.keys()
    with world.db.transaction():
        ledger.put_entries(world.db, ACCOUNT, [replace(entry, fields=old)])
    world.event("ann", ANN, first_name="Ann", phone="+44 7700 900123")
    world.flush()
    assert world.writes() == []
    world.event("ann", ANN, first_name="Anna", phone="+44 7700 900123")
    world.flush()
    assert [call.body for call in world.writes()] == [{"merge_fields": {"FNAME": "Anna"}}]
    entry = world.entry(ANN)
    assert entry is not None
    assert entry.fields == world.app.hashes_of(ACCOUNT).of({"FNAME": "Anna", "PHONE": "+44 7700 900123"})


def test_a_new_secret_key_costs_no_call_while_the_former_one_is_in_force(world: World):
    """With both keys an unchanged customer costs no call; with the new one alone its next change sends all fields."""
    for customer in ("ann", "bob"):
        world.event(customer, f"{customer}@example.com", first_name="Ann", last_name="Lee")
    world.flush()
    new = parsed(base64.b64encode(b"n" * 32).decode(), "WORKER_SECRET_KEY")
    both = replace(new, previous=world.app.secret)
    world.app.__dict__["secret"] = both
    api_keys.rekey(world.db, CHANGELOG, both, new)
    world.event("ann", ANN, first_name="Ann", last_name="Low")
    world.event("bob", "bob@example.com", first_name="Ann", last_name="Lee")
    world.flush()
    assert [call.body for call in world.writes()] == [{"merge_fields": {"LNAME": "Low"}}]
    world.app.__dict__["secret"] = new
    world.event("ann", ANN, first_name="Ann", last_name="Lot")
    world.event("bob", "bob@example.com", first_name="Ann", last_name="Lot")
    world.flush()
    bodies = [call.body["merge_fields"] for call in world.writes() if call.body is not None]
    assert sorted(bodies, key=len) == [{"LNAME": "Lot"}, {"FNAME": "Ann", "LNAME": "Lot"}]


def chosen(world: World, **fields: str) -> None:
    """Adds merge fields of all types to the master list, and chooses what goes to them."""
    kinds = {"PLAN": "dropdown", "BORN": "birthday", "SINCE": "date", "INVOICES": "number", "SITE": "url"}
    for tag, kind in kinds.items():
        told = {"name": tag.title(), "type": kind, "tag": tag}
        choices = {"options": {"choices": ["Gold", "Silver"]}} if kind == "dropdown" else {}
        world.standin.add_merge_field("master", told | choices)
    setters.choose_fields(world.db, CHANGELOG, ACCOUNT, ListId("master"), fields)


BY_NAME = {"PLAN": "plan", "BORN": "born", "SINCE": "since", "INVOICES": "invoices", "SITE": "site"}


def test_attributes_arrive_in_the_form_of_their_fields(world: World):
    """A choice, a birthday, a date, a number and a URL are sent as Mailchimp wants them."""
    chosen(world, **BY_NAME)
    attributes = {"plan": "gold", "born": "1980-05-03", "since": "2026-11-20T08:00:00Z", "invoices": 12, "other": "x"}
    world.event("ann", ANN, first_name="Ann", attributes=attributes | {"site": "https://example.com"})
    world.flush()
    assert world.fields(ANN) == {
        "FNAME": "Ann",
        "PLAN": "Gold",
        "BORN": "05/03",
        "SINCE": "2026-11-20",
        "INVOICES": 12,
        "SITE": "https://example.com",
    }


def test_an_attribute_that_does_not_fit_is_left_out_for_a_reason(world: World):
    """Plan, receipt and run name the field and why; the rest is sent, and what was sent before is cleared."""
    chosen(world, **BY_NAME)
    world.event("ann", ANN, attributes={"plan": "Gold", "born": "05/03", "invoices": 0})
    world.flush()
    assert world.fields(ANN) == {"PLAN": "Gold", "BORN": "05/03", "INVOICES": 0}
    world.event("ann", ANN, attributes={"plan": "Bronze", "born": "in May", "invoices": 1, "site": "example.com"})
    planned = world.plan().summary.left_out.rows()
    assert world.flush().left_out == planned
    assert world.fields(ANN) == {"INVOICES": 1}
    detail = world.receipts("ann")[-1].detail
    for said in ("PLAN (it is not one of", "BORN (it is neither a day such as", "SITE (it is not a URL"):
        assert said in detail
    assert "Bronze" not in detail


def test_a_new_choice_sends_what_differs_and_clears_what_goes_nowhere(world: World):
    """Every customer is looked at again: another attribute goes to the field, and a field without one is emptied."""
    chosen(world, PLAN="plan")
    world.event("ann", ANN, first_name="Ann", company="Lee Ltd", attributes={"plan": "Gold", "level": "Silver"})
    world.flush()
    setters.choose_fields(world.db, CHANGELOG, ACCOUNT, ListId("master"), {"PLAN": "level", "COMPANY": ""})
    assert world.waits("ann")
    world.flush()
    assert world.fields(ANN) == {"FNAME": "Ann", "PLAN": "Silver"}
    assert world.writes()[0].body == {"merge_fields": {"PLAN": "Silver", "COMPANY": ""}}
    setters.choose_fields(world.db, CHANGELOG, ACCOUNT, ListId("master"), {"PLAN": "level", "COMPANY": ""})
    assert not world.waits("ann")


def test_a_refresh_of_the_lists_keeps_what_was_chosen(world: World):
    """What goes where is the account's setting, and not Mailchimp's."""
    chosen(world, PLAN="plan")
    world.refresh()
    world.event("ann", ANN, attributes={"plan": "Gold"})
    world.flush()
    assert world.fields(ANN) == {"PLAN": "Gold"}
