"""A customer's list changes."""

import pytest

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.integration.flush.world import ACCOUNT, World
from worker.model import ListId
from worker.sandbox.faults import Fault

ANN = "ann@example.com"


def test_another_list_is_joined_and_the_old_one_left(world: World):
    """The customer is added to the new list and archived in the old."""
    world.event("ann", ANN, first_name="Ann")
    world.flush()
    world.event("ann", ANN, first_name="Ann", list_id="other")
    world.flush()
    assert (world.status(ANN), world.status(ANN, "other")) == ("archived", "subscribed")
    assert world.outcomes("ann") == ["added", "moved", "archived"]
    assert world.receipts("ann")[1].list_reason == "its own list"


def test_there_and_back_again_restores_what_this_worker_archived(world: World):
    """Back on the first list, the member is restored with the status from before, not added as new."""
    world.event("ann", ANN)
    world.flush()
    world.event("ann", ANN, list_id="other")
    world.flush()
    world.event("ann", ANN)
    world.flush()
    assert (world.status(ANN), world.status(ANN, "other")) == ("subscribed", "archived")
    assert "restored" in world.outcomes("ann")


def test_who_left_the_old_list_is_not_added_to_the_new_one(world: World):
    """Leaving one list keeps a person off the others too."""
    world.event("ann", ANN)
    world.flush()
    world.by_hand(ANN, "unsubscribe")
    world.event("ann", ANN, list_id="other")
    world.flush()
    assert (world.status(ANN), world.status(ANN, "other")) == ("unsubscribed", None)
    assert world.outcomes("ann")[-1] == "left"


def test_a_bounced_address_is_not_moved(world: World):
    """The same address bounces on any list."""
    world.event("ann", ANN)
    world.flush()
    world.by_hand(ANN, "clean")
    world.event("ann", ANN, list_id="other")
    world.flush()
    assert (world.status(ANN), world.status(ANN, "other")) == ("cleaned", None)


def test_a_list_that_is_not_stored_means_the_master_list(world: World):
    """A list that the account did not store is as none; the receipt says why."""
    world.event("ann", ANN, list_id="spare")
    world.flush()
    assert (world.status(ANN), world.status(ANN, "spare")) == ("subscribed", None)
    assert world.receipts("ann")[0].list_reason == "master list: the list given is not stored"


def test_a_list_made_in_mailchimp_serves_only_after_refresh_and_store(world: World):
    """A list created in Mailchimp is used only once it was refreshed and stored; then its customers move there."""
    world.standin.create_list("owner", "fresh", "Fresh")
    world.event("ann", ANN, list_id="fresh")
    world.flush()
    assert world.status(ANN) == "subscribed"
    world.refresh()
    world.run()
    assert world.status(ANN, "fresh") is None
    setters.store(world.db, CHANGELOG, ACCOUNT, [ListId("master"), ListId("other"), ListId("fresh")])
    world.flush()
    assert (world.status(ANN), world.status(ANN, "fresh")) == ("archived", "subscribed")


def test_customers_of_a_list_deleted_in_mailchimp_wait_and_new_ones_go_to_the_master_list(world: World):
    """Who was on a list that is gone waits for the account to choose; who never was goes to the master list."""
    world.event("ann", ANN, list_id="other")
    world.flush()
    world.standin.delete_list("other")
    world.event("ann", ANN, first_name="Ann", list_id="other")
    world.event("bob", "bob@example.com", list_id="other")
    world.flush()
    assert world.settings.list_of("other").gone  # type: ignore[union-attr]
    assert world.waits("ann")
    world.run()
    assert world.status(ANN) is None
    assert world.status("bob@example.com") == "subscribed"
    assert world.receipts("bob")[-1].list_reason == "master list: the list given is gone from Mailchimp"
    assert world.outcomes("ann")[-1] == "held"


def test_when_another_list_is_stored_in_place_of_one_that_is_gone_its_customers_move_by_the_ledger(world: World):
    """Confirmed, those last known as subscribed go on, those last known as unsubscribed do not."""
    world.event("ann", ANN, list_id="other")
    world.event("bob", "bob@example.com", list_id="other")
    world.flush()
    world.by_hand("bob@example.com", "unsubscribe", "other")
    world.event("bob", "bob@example.com", first_name="Bob", list_id="other")
    world.flush()
    world.standin.delete_list("other")
    world.refresh()
    setters.store(world.db, CHANGELOG, ACCOUNT, [ListId("master"), ListId("spare")])
    world.event("ann", ANN, list_id="spare")
    world.event("bob", "bob@example.com", list_id="spare")
    part = world.flush()
    assert world.members("spare") == {}
    assert "1 customer would move off list Other (other)" in (part.message or "")
    assert (world.outcomes("ann")[-1], world.outcomes("bob")[-1]) == ("held", "left")
    assert world.waits("ann")
    assert world.flush(confirmed=True).message is None
    assert world.status(ANN, "spare") == "subscribed"
    assert world.status("bob@example.com", "spare") is None


@pytest.mark.parametrize("number", [1, 2])
def test_who_was_never_added_to_a_list_goes_on_once_it_is_deleted_and_replaced(world: World, number: int):
    """Mailchimp refused the only add: nobody can have left that list, and its customers are on the one in its place."""
    people = [f"p{one}" for one in range(number)]
    for one in people:
        world.event(one, f"{one}@example.com", list_id="other")
    world.standin.faults = [Fault("status", method="POST|PUT", path="/lists/other", status=401)]
    world.flush()
    assert {outcome for one in people for outcome in world.outcomes(one)} == {"account stopped"}
    world.standin.faults = []
    setters.resume(world.db, CHANGELOG, ACCOUNT)
    world.standin.delete_list("other")
    world.refresh()
    setters.store(world.db, CHANGELOG, ACCOUNT, [ListId("master"), ListId("spare")])
    for one in people:
        world.event(one, f"{one}@example.com", list_id="spare")
    world.run()
    world.run(confirmed=True)
    assert world.members("spare") == {f"{one}@example.com": "subscribed" for one in people}


def test_a_master_list_that_is_gone_pauses_the_account(world: World):
    """Without its master list nothing is delivered, and what is missing is said."""
    world.standin.delete_list("master")
    world.event("ann", ANN)
    part = world.flush()
    assert part.message == "The master list Master (master) is gone from Mailchimp."
    assert world.waits("ann")
    assert world.writes() == []


def test_a_list_deleted_in_the_middle_of_a_flush_stops_only_its_own_customers(world: World):
    """A 404 on a POST means that the list is gone: its customers wait, the others go on."""
    world.event("ann", ANN, first_name="Ann", list_id="other")
    world.flush()
    world.standin.delete_list("other")
    world.standin.create_list("owner", "other", "Other again")
    world.event("ann", ANN, first_name="Anne", list_id="other")
    world.event("bob", "bob@example.com")
    world.flush()
    assert world.status("bob@example.com") == "subscribed"
    assert world.status(ANN, "other") is None
    assert world.outcomes("ann")[-1] == "gone"
