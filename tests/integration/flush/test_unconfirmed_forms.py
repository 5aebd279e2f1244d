"""A form that nobody has confirmed ends no opt-out: only a member who is read as subscribed is back."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.integration.flush.world import ACCOUNT, World
from worker.model import ListId
from worker.plan.outcomes import ONLY_THE_PERSON
from worker.sandbox.audit import BY_HAND

ANN, NEW, DAN = "ann@example.com", "ann.new@example.com", "dan@example.com"
DEPARTURES = ("unsubscribe", "clean", "archive", "forget")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One account with two stored lists; Ann is a member of the master list."""
    with World(tmp_path, direct=True) as made:
        made.event("ann", ANN, list_id="master")
        made.event("dan", DAN, list_id="master")
        made.daily()
        yield made


def leaves(world: World, departure: str, *, noted: bool = True) -> None:
    """Ann leaves the master list, and the worker reads that."""
    world.by_hand(ANN, departure)
    if noted:
        world.event("ann", ANN, list_id="master", first_name="Noted")
        world.daily()


def moved(world: World) -> None:
    """Ann's customer goes to another list."""
    world.event("ann", ANN, list_id="other")


def renamed(world: World) -> None:
    """Ann's customer gets another address."""
    world.event("ann", NEW, list_id="master")


def newcomer(world: World) -> None:
    """Another customer comes with Ann's address, to another list."""
    world.event("new", ANN, list_id="other")


def other_customer(world: World) -> None:
    """A customer who is a member gets Ann's address, and another list."""
    world.event("dan", ANN, list_id="other")


EVENTS: tuple[Callable[[World], None], ...] = (moved, renamed, newcomer, other_customer)


def is_nowhere_else(world: World) -> bool:
    """Returns whether Ann is on no list but the one whose form was filled in, and at no other address."""
    return (world.status(ANN, "other"), world.status(NEW), world.status(NEW, "other")) == (None, None, None)


@pytest.mark.parametrize("change", EVENTS)
@pytest.mark.parametrize("departure", DEPARTURES)
@pytest.mark.parametrize("read", ["before the form", "after the form", "by nobody"])
def test_a_pending_form_lets_nobody_in(world: World, departure: str, change: Callable[[World], None], read: str):
    """For every customer with the address, on every list, and whether or not a reading showed departure and form."""
    leaves(world, departure, noted=read != "by nobody")
    if read == "before the form":
        change(world)
        world.daily()
        if departure != "clean" or change is not renamed:
            assert is_nowhere_else(world)
        else:
            return  # a bounce concerns the address only
    world.by_hand(ANN, "sign up")
    if read == "after the form":
        world.daily()
    if read != "before the form":
        change(world)
    world.daily()
    world.run()
    assert world.status(ANN) == "pending"
    assert is_nowhere_else(world)


@pytest.mark.parametrize("change", EVENTS)
@pytest.mark.parametrize("departure", DEPARTURES)
def test_a_confirmed_form_lets_them_in_without_a_further_event(
    world: World, departure: str, change: Callable[[World], None]
):
    """The flush that reads the confirmation delivers those who were kept out."""
    leaves(world, departure)
    world.by_hand(ANN, "sign up")
    change(world)
    world.daily()
    assert is_nowhere_else(world)
    world.by_hand(ANN, "confirm")
    world.daily()
    expected = (NEW, "master") if change is renamed else (ANN, "other")
    assert world.status(*expected) == "subscribed"


def test_a_former_member_is_not_restored_while_a_form_waits(world: World):
    """What this worker archived on another list stays archived, with no event at all."""
    world.event("bob", ANN, list_id="other")
    world.daily()
    world.event("bob", "bob@example.com", list_id="other")
    world.daily()
    assert world.status(ANN, "other") in (None, "archived")
    leaves(world, "unsubscribe")
    world.event("bob", ANN, list_id="other")
    world.daily()
    world.by_hand(ANN, "sign up")
    world.daily()
    assert world.status(ANN, "other") in (None, "archived")
    world.by_hand(ANN, "confirm")
    world.daily()
    assert world.status(ANN, "other") == "subscribed"


def test_a_form_that_is_filled_in_twice_ends_nothing_either(world: World):
    """A second form after a second departure, which was pending all the time, is no consent."""
    leaves(world, "unsubscribe")
    for act in ("sign up", "forget", "sign up"):
        world.by_hand(ANN, act)
        world.event("ann", ANN, list_id="master", first_name=act)
        world.daily()
    other_customer(world)
    world.daily()
    assert is_nowhere_else(world)


def test_fields_of_a_pending_member_are_written_and_end_no_opt_out(world: World):
    """The customer's own place gets its fields; the receipt says that it is subscribed once the person confirms."""
    leaves(world, "unsubscribe")
    world.by_hand(ANN, "sign up")
    world.event("ann", ANN, list_id="master", first_name="Anna")
    world.daily()
    assert world.fields(ANN)["FNAME"] == "Anna"
    assert world.receipts("ann")[-1].next == "Subscribed once the person confirms."
    moved(world)
    world.daily()
    assert is_nowhere_else(world)
    assert "has not subscribed again (it is pending)" in world.receipts("ann")[-1].detail


@pytest.mark.parametrize("left", [False, True])
def test_a_buyer_has_no_opt_out_unless_it_left_before(world: World, left: bool):
    """A transactional member keeps nobody off other lists; one that had left and bought something since still does."""
    if left:
        leaves(world, "archive")
    else:
        world.deleted("ann", ANN)
        world.daily()
        world.by_hand(ANN, "forget")
    mailing_list = world.standin.find_list("master")
    world.by_hand(ANN, "subscribe")
    member = mailing_list.find(ANN)
    assert member is not None
    mailing_list.set_status(member, "transactional", BY_HAND)
    newcomer(world)
    world.daily()
    assert world.status(ANN) == "transactional"
    assert (world.status(ANN, "other") == "subscribed") is not left


def test_an_address_that_its_person_changed_is_no_opt_out_in_words(world: World):
    """Nobody is added under another address then, but nothing says that the person opted out."""
    world.daily()  # reads the contact ids
    world.by_hand(ANN, "rename", value=NEW)
    world.daily()
    moved(world)
    world.daily()
    receipt = world.receipts("ann")[-1]
    assert "changed the address" in receipt.detail
    assert "opt-out" not in receipt.detail + receipt.next
    assert world.status(ANN, "other") is None


def test_a_pending_member_whose_customer_goes_stays_for_its_person(world: World):
    """The worker does not unsubscribe a form that waits: that would look like its own pending member."""
    leaves(world, "unsubscribe")
    world.by_hand(ANN, "sign up")
    world.daily()
    world.deleted("ann", ANN)
    world.daily()
    assert world.status(ANN) == "pending"
    newcomer(world)
    world.daily()
    assert is_nowhere_else(world)


@pytest.mark.parametrize("change", EVENTS)
def test_who_confirmed_left_and_is_pending_again_is_kept_out(tmp_path: Path, change: Callable[[World], None]):
    """Double opt-in: no reading came in between, but Mailchimp says that the pending member opted in since."""
    with World(tmp_path, direct=True) as world:
        setters.enable(world.db, CHANGELOG, ACCOUNT, status_if_new="pending")
        world.event("ann", ANN, list_id="master")
        world.event("dan", DAN, list_id="master")
        world.daily()
        for act in ("confirm", "unsubscribe", "sign up"):
            world.by_hand(ANN, act)
        change(world)
        world.run()
        assert world.status(ANN) == "pending"
        assert is_nowhere_else(world)


@pytest.mark.parametrize("read", [False, True])
@pytest.mark.parametrize("change", [moved, renamed, newcomer])
def test_a_form_for_a_member_that_this_worker_archived_lets_nobody_in(
    world: World, change: Callable[[World], None], read: bool
):
    """The person may have left by an old mail in between, so somebody else's form is no consent; hers is, confirmed."""
    world.deleted("ann", ANN)
    world.daily()
    assert world.status(ANN) == "archived"
    for act in ("unsubscribe", "sign up"):
        world.by_hand(ANN, act)
    if read:
        world.daily()
    change(world)
    world.daily()
    assert world.status(ANN) == "pending"
    assert is_nowhere_else(world)
    world.by_hand(ANN, "confirm")
    world.daily()
    expected = (NEW, "master") if change is renamed else (ANN, "other")
    assert world.status(*expected) == "subscribed"


def test_a_form_on_a_list_that_a_member_was_moved_from_keeps_others_out(world: World):
    """Her customer is on another list by now, and keeps being updated there; nobody else is added with her address."""
    world.refresh()
    setters.store(world.db, CHANGELOG, ACCOUNT, [ListId("master"), ListId("other"), ListId("spare")])
    moved(world)
    world.daily()
    for act in ("unsubscribe", "sign up"):
        world.by_hand(ANN, act)
    world.daily()
    world.event("dan", ANN, list_id="spare")
    world.event("ann", ANN, list_id="other", first_name="Anna")
    world.daily()
    assert world.status(ANN, "spare") is None
    assert world.fields(ANN, "other")["FNAME"] == "Anna"


def test_a_pending_member_of_this_worker_still_moves(tmp_path: Path):
    """Double opt-in: nobody left, so the member is pending on the new list, taken off the old one, and comes back."""
    with World(tmp_path, direct=True) as world:
        setters.enable(world.db, CHANGELOG, ACCOUNT, status_if_new="pending")
        for list_id, off in (("master", "other"), ("other", "master"), ("master", "other")):
            world.event("ann", ANN, list_id=list_id)
            world.daily()
            assert world.status(ANN, list_id) == "pending"
            assert world.status(ANN, off) in (None, "unsubscribed")


def test_who_has_a_status_that_nobody_knows_is_moved_nowhere(world: World):
    """Mailchimp may get new statuses: such a member counts as one that left, and the receipt says so."""
    world.standin.find_list("other").insert(ANN, "inactive", {}, "by hand")
    world.event("ann", ANN, list_id="other")
    world.daily()
    world.event("ann", ANN, list_id="master")
    world.daily()
    assert world.outcomes("ann")[-1] == "left"
    assert world.receipts("ann")[-1].next == ONLY_THE_PERSON
    assert world.status(ANN) == "archived"
