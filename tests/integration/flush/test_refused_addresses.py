"""An address that Mailchimp has forgotten: a departure like any other, which ends once the person joins by the form."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.flush.world import ACCOUNT, World
from worker.model import CustomerId
from worker.store import customer_outcomes, marking, refusals

ANN, NEW, BOB = "ann@example.com", "new@example.com", "bob@example.com"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Ann was deleted for good in Mailchimp, which then refuses to add her."""
    with World(tmp_path) as world:
        world.by_hand(ANN, "subscribe")
        world.by_hand(ANN, "forget")
        world.event("ann", ANN, first_name="Ann", last_name="Lee")
        world.flush()
        assert world.outcomes("ann") == ["suppressed"]
        yield world


def _said(world: World, customer: str = "ann") -> customer_outcomes.CustomerOutcome:
    outcome = customer_outcomes.find(world.db, ACCOUNT, CustomerId(customer))
    assert outcome is not None
    return outcome


def _resync(world: World) -> None:
    with world.db.transaction():
        marking.mark_changed(world.db, ACCOUNT, None)


def test_it_says_that_only_the_person_can_join_again(world: World) -> None:
    """Before she joins: receipt and outcome name the form and the flush that notices it; no operator can end it."""
    (receipt,) = world.receipts("ann")
    for text in (receipt.next, _said(world).next):
        assert "Only the person can join again" in text
        assert "daily flush" in text
    assert _said(world).member_status == "none"
    assert [*refusals.clearable(world.db, ACCOUNT, None)] == []
    assert refusals.lasting_count(world.db, ACCOUNT, None) == 1


@pytest.mark.parametrize(("read", "outcome"), [("daily", "updated"), ("read back", "updated"), ("step", "found")])
def test_who_joins_by_the_form_is_delivered(world: World, read: str, outcome: str) -> None:
    """Whichever reading shows it, the next flush writes the fields, and outcome and refusals say so."""
    world.daily()
    world.by_hand(ANN, "subscribe")
    if read == "step":
        world.event("ann", ANN, first_name="Anna", last_name="Lee")
        world.flush()
    elif read == "read back":
        world.read_back()
        assert _said(world).member_status == "subscribed"
        world.flush()
    else:
        world.daily()
    assert world.outcomes("ann")[-1] == outcome
    assert world.fields(ANN)["LNAME"] == "Lee"
    assert (_said(world).member_status, _said(world).outcome) == ("subscribed", outcome)
    assert [*refusals.clearable(world.db, ACCOUNT, None)] == []
    assert refusals.lasting_count(world.db, ACCOUNT, None) == 0
    assert refusals.count(world.db) == 0
    world.event("ann", ANN, first_name="Ann", last_name="Young")
    world.flush()
    assert world.fields(ANN)["LNAME"] == "Young"


def test_a_member_that_was_deleted_is_delivered_once_the_person_joins(tmp_path: Path) -> None:
    """Also where no add was refused: the member that is back lacks the fields that the deleted one had."""
    with World(tmp_path) as world:
        world.event("bob", BOB, first_name="Bob", last_name="Lee")
        world.daily()
        world.by_hand(BOB, "forget")
        world.event("bob", BOB, first_name="Rob", last_name="Lee")
        world.daily()
        assert world.outcomes("bob")[-1] == "gone"
        world.by_hand(BOB, "subscribe")
        world.daily()
        assert world.fields(BOB) == {"FNAME": "Rob", "LNAME": "Lee"}


def test_a_form_that_nobody_confirmed_ends_nothing(world: World) -> None:
    """A form that nobody confirmed ends no departure, because anybody can type an address into it."""
    world.daily()
    world.by_hand(ANN, "sign up")
    world.daily()
    world.event("ann", NEW)
    world.daily()
    assert world.members() == {ANN: "pending"}
    assert world.writes() == []


def test_nobody_is_asked_of_mailchimp_again_before_that(world: World) -> None:
    """A resync reads the member, and sends nothing."""
    _resync(world)
    world.flush()
    assert (world.outcomes("ann")[-1], world.writes()) == ("suppressed", [])
    assert [*refusals.clearable(world.db, ACCOUNT, None)] == []
    assert refusals.lasting_count(world.db, ACCOUNT, None) == 1


@pytest.mark.parametrize("join", [False, True])
def test_another_address_of_the_customer_is_kept_off_until_the_person_joins(world: World, join: bool) -> None:
    """Who was deleted for good left like anybody else, and that goes with the person: the receipt names the place."""
    world.event("ann", NEW, first_name="Ann", last_name="Lee")
    world.daily()
    assert world.members() == {}
    receipt = world.receipts("ann")[-1]
    assert receipt.outcome == "left"
    assert ANN in receipt.detail
    assert "opt-out goes with the person" in receipt.detail
    if join:
        world.by_hand(ANN, "subscribe")
        world.daily()
        assert NEW in world.members()


@pytest.mark.parametrize("other", [False, True])
def test_the_address_is_added_to_no_other_list(world: World, other: bool) -> None:
    """An address that Mailchimp has forgotten is added to no other list, for no customer."""
    world.event("bob" if other else "ann", ANN, list_id="other")
    world.daily()
    assert world.members("other") == {}


def test_a_member_is_updated_at_its_old_place_when_its_new_address_is_forgotten(tmp_path: Path) -> None:
    """The refusal is about the new address, so who has the old one again is updated there."""
    with World(tmp_path) as world:
        world.event("bob", BOB)
        world.by_hand(NEW, "subscribe")
        world.by_hand(NEW, "forget")
        world.flush()
        world.event("bob", NEW)
        world.flush()
        assert (world.outcomes("bob")[-1], world.members()) == ("suppressed", {BOB: "subscribed"})
        world.event("bob", BOB, first_name="Bob")
        world.flush()
        assert world.fields(BOB)["FNAME"] == "Bob"


def test_a_refusal_of_an_earlier_release_ends_too(world: World) -> None:
    """It names no address and no place: the place where the customer belongs is read, and nobody is added."""
    with world.db.transaction():
        world.db.execute("DELETE FROM ledger")
        world.db.execute("UPDATE standing SET refused_address = NULL, list_id = NULL, address = NULL")
    _resync(world)
    world.flush()
    assert (world.outcomes("ann")[-1], world.writes()) == ("suppressed", [])
    world.event("ann", NEW)
    world.flush()
    assert world.members() == {}
    world.event("ann", ANN, first_name="Ann")
    world.by_hand(ANN, "subscribe")
    world.daily()
    assert world.fields(ANN)["FNAME"] == "Ann"
    assert refusals.count(world.db) == 0
