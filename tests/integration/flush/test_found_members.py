"""A member that this worker found goes along with a customer only where it surely is that customer's."""

import pytest

from tests.integration.flush.world import World
from worker.mailchimp.calls import member_hash
from worker.sandbox.audit import BY_HAND
from worker.sandbox.faults import Fault

TYPO, RIGHT = "an@example.com", "ann@example.com"


@pytest.mark.parametrize("list_id", ["master", "other"])
def test_a_bystander_is_left_alone_when_a_typing_error_is_corrected(world: World, list_id: str):
    """Who joined by herself, and was a customer's address by mistake, is neither renamed nor archived."""
    world.by_hand(TYPO, "subscribe")
    world.event("ann", TYPO)
    world.flush()
    world.event("ann", RIGHT, list_id=list_id)
    world.flush()
    assert world.status(TYPO) == "subscribed"
    assert world.status(RIGHT, list_id) == "subscribed"
    assert "left alone" in world.outcomes("ann")


def test_a_found_member_goes_along_after_thirty_days(world: World):
    """What was the customer's for so long surely is."""
    world.by_hand(TYPO, "subscribe")
    world.event("ann", TYPO)
    world.flush()
    world.clock.forward(days=31)
    world.event("ann", RIGHT)
    world.flush()
    assert world.members() == {RIGHT: "subscribed"}


def test_a_customer_that_is_held_is_not_settled_by_what_is_left_over(world: World):
    """A customer of a list that is paused waits, though a member of its is left over elsewhere."""
    from tests.integration.flush.world import ACCOUNT
    from worker.store import accounts
    from worker.store.accounts import Pause

    world.standin.find_list("master").insert(TYPO, "pending", {}, "by hand")
    world.event("ann", TYPO)
    world.flush()
    world.event("ann", TYPO, list_id="other")
    world.flush()
    with world.db.transaction():
        accounts.pause_list(world.db, ACCOUNT, "other", Pause("it refuses everybody", world.clock()))  # type: ignore[arg-type]
    world.event("ann", RIGHT, list_id="other")
    world.flush()
    assert world.waits("ann")
    assert world.status(TYPO) == "pending"
    assert world.outcomes("ann")[-1] == "held"


@pytest.mark.parametrize("days", [0, 40])
@pytest.mark.parametrize("updated", [False, True])
@pytest.mark.parametrize("then", ["deleted", "address", "list"])
def test_who_was_deleted_and_joined_again_by_herself_is_left_alone(world: World, days: int, updated: bool, then: str):
    """A member that this worker added is another one after that, however long the customer had the address."""
    world.event("ann", RIGHT, first_name="Ann")
    world.flush()
    world.clock.forward(days=days)
    world.by_hand(RIGHT, "forget")
    world.by_hand(RIGHT, "subscribe")
    if updated:
        world.event("ann", RIGHT, first_name="Anne")
        world.flush()
    if then == "deleted":
        world.deleted("ann", RIGHT)
    elif then == "address":
        world.event("ann", TYPO, first_name="Ann")
    else:
        world.event("ann", RIGHT, first_name="Ann", list_id="other")
    world.flush()
    assert world.status(RIGHT) == "subscribed"


def joined(world: World, email: str, first: str, last: str) -> None:
    """A person with these names joins the master list by the form."""
    world.clock.forward(seconds=3)
    fields = {"FNAME": first, "LNAME": last}
    world.standin.find_list("master").insert(email, "subscribed", fields, BY_HAND)
    world.clock.forward(seconds=3)


def settle(world: World, strategy: str, **names: str) -> None:
    """Makes the person's address Ann's, by each way by which a member is found."""
    if strategy == "moved to":
        world.event("ann", "before@example.com", **names)
        world.flush()
    if strategy == "alone":
        world.by_hand("somebody@example.com", "subscribe")
        world.by_hand("somebody@example.com", "archive")
    world.event("ann", TYPO, **names)
    world.flush()
    assert world.outcomes("ann")[-1] in ("found", "archived")
    assert world.fields(TYPO) == {"FNAME": names.get("first_name"), "LNAME": names.get("last_name")}


WAYS = pytest.mark.parametrize("strategy", ["together", "alone", "moved to"])


@WAYS
def test_a_found_member_with_its_customers_names_gets_the_new_address(world: World, strategy: str):
    """It surely is that customer's, so it is renamed the day after, and no second member is made."""
    joined(world, TYPO, "Ann ", "LEE")
    settle(world, strategy, first_name="Ann", last_name="Lee")
    world.event("ann", RIGHT, first_name="Ann", last_name="Lee")
    world.flush()
    assert world.outcomes("ann")[-1] == "renamed"
    assert (world.status(TYPO), world.status(RIGHT)) == (None, "subscribed")
    # It is still known as that customer's.
    world.event("ann", "third@example.com", first_name="Ann", last_name="Lee")
    world.flush()
    assert (world.status(RIGHT), world.status("third@example.com")) == (None, "subscribed")


def test_a_found_member_with_its_customers_names_goes_along_to_another_list(world: World):
    """It is added there, and archived where it was."""
    joined(world, TYPO, "Ann", "Lee")
    settle(world, "together", first_name="Ann", last_name="Lee")
    world.event("ann", TYPO, first_name="Ann", last_name="Lee", list_id="other")
    world.flush()
    assert (world.status(TYPO), world.status(TYPO, "other")) == ("archived", "subscribed")


@WAYS
@pytest.mark.parametrize("list_id", ["master", "other"])
def test_a_found_member_with_other_names_is_left(world: World, strategy: str, list_id: str):
    """The new one is added, the old one stays, and the receipt says why, though it has the customer's names by now."""
    joined(world, TYPO, "Anna", "Leigh")
    settle(world, strategy, first_name="Ann", last_name="Lee")
    world.event("ann", RIGHT, first_name="Ann", last_name="Lee", list_id=list_id)
    world.flush()
    assert (world.status(TYPO), world.status(RIGHT, list_id)) == ("subscribed", "subscribed")
    told = {one.outcome: one.detail for one in world.receipts("ann")[-2:]}
    assert set(told) == {"moved", "left alone"}
    assert "other names or none when it was found" in told["left alone"]


@pytest.mark.parametrize("names", [("", ""), ("Ann", ""), ("", "Lee")])
def test_empty_names_agree_with_nothing(world: World, names: tuple[str, str]):
    """A member that lacks a name, as the customer may, is left where it is."""
    joined(world, TYPO, *names)
    world.event("ann", TYPO, first_name=names[0], last_name=names[1])
    world.flush()
    world.event("ann", RIGHT, first_name=names[0], last_name=names[1])
    world.flush()
    assert (world.status(TYPO), world.status(RIGHT)) == ("subscribed", "subscribed")


@pytest.mark.parametrize("strategy", ["together", "alone"])
@pytest.mark.parametrize("lost", ["timeout_after", "bare_after"])
def test_names_that_a_lost_call_wrote_do_not_count(world: World, strategy: str, lost: str):
    """The first write is done and its answer lost: the names that are read then are this worker's own."""
    joined(world, TYPO, "Anna", "Leigh")
    if strategy == "alone":
        world.by_hand("somebody@example.com", "subscribe")
        world.by_hand("somebody@example.com", "archive")
    world.event("ann", TYPO, first_name="Ann", last_name="Lee")
    world.standin.faults = [Fault(lost, method="PATCH", status=503, times=1)]
    world.flush()
    assert world.fields(TYPO) == {"FNAME": "Ann", "LNAME": "Lee"}
    world.flush()
    assert not world.waits("ann")
    world.event("ann", RIGHT, first_name="Ann", last_name="Lee")
    world.flush()
    assert (world.status(TYPO), world.status(RIGHT)) == ("subscribed", "subscribed")


def test_an_agreement_is_of_one_customer(world: World):
    """Another customer who takes the address on does not take the member along."""
    joined(world, TYPO, "Ann", "Lee")
    settle(world, "together", first_name="Ann", last_name="Lee")
    world.event("bob", TYPO, first_name="Bob", last_name="Ray")
    world.flush()
    world.deleted("ann", TYPO)
    world.flush()
    world.event("bob", RIGHT, first_name="Bob", last_name="Ray")
    world.flush()
    assert (world.status(TYPO), world.status(RIGHT)) == ("subscribed", "subscribed")


def test_who_was_deleted_after_thirty_days_is_not_renamed_in_the_place_of_another(world: World):
    """Another person who joined at the address since is not the one who was found there, whatever the ledger says."""
    joined(world, TYPO, "Anna", "Leigh")
    settle(world, "together", first_name="Ann", last_name="Lee")
    world.clock.forward(days=31)
    world.by_hand(TYPO, "forget")
    joined(world, TYPO, "Anna", "Leigh")
    world.event("ann", RIGHT, first_name="Ann", last_name="Lee")
    world.flush()
    assert (world.status(TYPO), world.status(RIGHT)) == ("subscribed", "subscribed")
    assert world.fields(TYPO) == {"FNAME": "Anna", "LNAME": "Leigh"}


def test_a_rename_takes_the_thirty_days_along(world: World):
    """A member that went along once goes along again the day after."""
    joined(world, TYPO, "Anna", "Leigh")
    settle(world, "together", first_name="Ann", last_name="Lee")
    world.clock.forward(days=31)
    for email in (RIGHT, "third@example.com"):
        world.event("ann", email, first_name="Ann", last_name="Lee")
        world.flush()
        assert world.members() == {email: "subscribed"}


def test_a_member_that_mailchimp_did_not_show_is_not_reported_as_added(world: World):
    """A read says that nobody is there, though the member is archived: the write leaves its status, and shows it."""
    world.by_hand("dot@example.com", "subscribe")  # so that the list has somebody archived, and adds go one by one
    world.by_hand("dot@example.com", "archive")
    world.by_hand("ann@example.com", "subscribe")
    world.by_hand("ann@example.com", "archive")
    world.clock.forward(days=1)
    world.event("ann", "ann@example.com", first_name="Ann")
    title = "Resource Not Found"
    world.standin.faults = [Fault("status", "GET", f"members/{member_hash('ann@example.com')}", "", 404, title, 2)]
    world.flush()
    assert (world.status("ann@example.com"), world.outcomes("ann")) == ("archived", ["found"])
