"""Deletions, returns, and consent withdrawn and given again."""

import pytest

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.integration.flush.world import ACCOUNT, World
from worker.sandbox.faults import Fault

ANN = "ann@example.com"


def test_a_deleted_customer_is_archived(world: World):
    """What this worker added it archives when the customer is deleted."""
    world.event("ann", ANN)
    world.flush()
    world.deleted("ann", ANN)
    world.flush()
    assert world.status(ANN) == "archived"
    entry = world.entry(ANN)
    assert entry is not None
    assert (entry.state, entry.status_before) == ("archived", "subscribed")


def test_a_found_member_is_left_alone_when_its_customer_is_deleted(world: World):
    """A member that was there before stays on the list."""
    world.by_hand(ANN, "subscribe")
    world.event("ann", ANN)
    world.flush()
    world.deleted("ann", ANN)
    world.flush()
    assert world.status(ANN) == "subscribed"
    assert world.outcomes("ann") == ["found", "left alone"]


@pytest.mark.parametrize(("act", "expected"), [("clean", "cleaned"), ("archive", "archived")])
def test_a_cleaned_or_archived_member_is_left_as_it_is(world: World, act: str, expected: str):
    """Deleting the customer of a cleaned or archived member makes no call that writes."""
    world.event("ann", ANN)
    world.flush()
    world.by_hand(ANN, act)
    world.deleted("ann", ANN)
    world.flush()
    assert world.status(ANN) == expected
    assert world.writes() == []


def test_a_deleted_customer_that_never_confirmed_is_unsubscribed(world: World):
    """A pending member cannot be archived, so it is unsubscribed and cannot confirm any more."""
    setters.enable(world.db, CHANGELOG, ACCOUNT, "pending")
    world.event("ann", ANN)
    world.flush()
    assert world.status(ANN) == "pending"
    world.deleted("ann", ANN)
    world.flush()
    assert world.status(ANN) == "unsubscribed"


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_who_never_confirmed_is_off_a_list_that_its_customer_left_and_pending_again_on_return(
    world: World, how: str, lost: bool
):
    """Nobody left by that, so it keeps the customer from no list; the mail that asks is sent again on its return."""
    setters.enable(world.db, CHANGELOG, ACCOUNT, "pending")
    world.event("ann", ANN)
    world.flush()
    if lost:
        world.standin.faults = [Fault("timeout_after", method="PATCH", times=1)]
    world.deleted("ann", ANN) if how == "deleted" else world.event("ann", ANN, list_id="other")
    world.flush()
    world.daily()
    assert world.status(ANN) == "unsubscribed"
    assert world.status(ANN, "other") == ("pending" if how == "moved" else None)
    assert world.outcomes("ann")[-1] == "unsubscribed"
    world.event("ann", ANN)
    world.flush()
    assert world.status(ANN) == "pending"
    assert world.outcomes("ann")[-1] == ("restored" if how == "deleted" else "unsubscribed")


@pytest.mark.parametrize("act", ["archive", "forget", "subscribe"])
def test_a_member_that_never_confirmed_and_was_changed_by_hand_since_is_left_as_it_is(world: World, act: str):
    """What somebody else did after this worker took it off the list stays so."""
    setters.enable(world.db, CHANGELOG, ACCOUNT, "pending")
    world.event("ann", ANN)
    world.flush()
    world.deleted("ann", ANN)
    world.flush()
    world.by_hand(ANN, act)
    now = world.status(ANN)
    world.event("ann", ANN)
    world.flush()
    assert world.status(ANN) == now


@pytest.mark.parametrize("order", ["withdrawn first", "deleted first"])
def test_who_never_confirmed_and_withdrew_consent_is_not_asked_again(world: World, order: str):
    """A withdrawal is an opt-out, whether the member is taken off its list before or after it."""
    setters.enable(world.db, CHANGELOG, ACCOUNT, "pending")
    world.event("ann", ANN)
    world.flush()
    if order == "deleted first":
        world.deleted("ann", ANN)
        world.flush()
    world.event("ann", ANN, marketing_consent=False)
    world.flush()
    world.event("ann", ANN, marketing_consent=True)
    world.flush()
    assert world.status(ANN) == "unsubscribed"
    world.event("ann", "ann.lee@example.com")
    world.flush()
    assert world.status("ann.lee@example.com") is None


def test_an_unsubscribed_member_is_archived_and_comes_back_unsubscribed(world: World):
    """The status before is restored, never a better one."""
    world.event("ann", ANN)
    world.flush()
    world.by_hand(ANN, "unsubscribe")
    world.deleted("ann", ANN)
    world.flush()
    assert world.status(ANN) == "archived"
    world.event("ann", ANN)
    world.flush()
    assert world.status(ANN) == "unsubscribed"


def test_a_returning_customer_is_subscribed_again_with_its_new_fields(world: World):
    """What this worker archived, and nobody touched since, comes back as it was."""
    world.event("ann", ANN, first_name="Ann")
    world.flush()
    world.deleted("ann", ANN)
    world.flush()
    world.event("ann", ANN, first_name="Anne")
    world.flush()
    assert world.status(ANN) == "subscribed"
    assert world.fields(ANN) == {"FNAME": "Anne"}
    assert world.outcomes("ann")[-1] == "restored"


def test_who_was_archived_again_by_hand_is_not_restored(world: World):
    """Somebody else's archiving, after ours, is theirs: last_changed tells."""
    world.event("ann", ANN)
    world.flush()
    world.deleted("ann", ANN)
    world.flush()
    world.by_hand(ANN, "subscribe")
    world.by_hand(ANN, "archive")
    world.event("ann", ANN)
    world.flush()
    assert world.status(ANN) == "archived"
    assert world.outcomes("ann")[-1] == "found"


@pytest.mark.parametrize("acts", [("tag",), ("sign up", "archive")])
def test_a_member_that_was_tagged_by_hand_after_its_archive_stays_archived(world: World, acts: tuple[str, ...]):
    """It looks like one that signed up again and was archived by somebody else: only last_changed tells of either."""
    world.event("ann", ANN)
    world.flush()
    world.deleted("ann", ANN)
    world.flush()
    member = world.standin.find_list("master").find(ANN)
    assert member is not None
    before = member.as_json()
    world.clock.forward(hours=1)
    for act in acts:
        if act == "tag":
            world.standin.tag("master", ANN, "vip", active=True)
        else:
            world.by_hand(ANN, act)
    changed = {name for name, value in member.as_json().items() if value != before[name]}
    assert changed - {"tags", "tags_count"} == {"last_changed"}
    world.event("ann", ANN)
    world.flush()
    assert (world.status(ANN), world.outcomes("ann")[-1]) == ("archived", "found")


def test_a_returning_customer_whose_member_left_meanwhile_stays_out(world: World):
    """Archived by us, rejoined and unsubscribed by the person: a return changes nothing."""
    world.event("ann", ANN)
    world.flush()
    world.deleted("ann", ANN)
    world.flush()
    world.by_hand(ANN, "subscribe")
    world.by_hand(ANN, "unsubscribe")
    world.event("ann", ANN)
    world.flush()
    assert world.status(ANN) == "unsubscribed"


def test_a_new_customer_whom_somebody_archived_is_not_put_back(world: World):
    """An add never revives an archived member, one by one as in large numbers."""
    world.by_hand(ANN, "subscribe")
    world.by_hand(ANN, "archive")
    world.event("ann", ANN)
    world.event("bob", "bob@example.com")
    world.flush()
    assert world.members() == {ANN: "archived", "bob@example.com": "subscribed"}
    assert "POST" not in {one.method for one in world.writes()}


def test_many_new_customers_are_added_together_without_the_archived_ones(world: World):
    """Above the number in config all archived members are read, left out, and the rest goes by POST."""
    for number in range(3):
        world.by_hand(f"gone{number}@example.com", "subscribe")
        world.by_hand(f"gone{number}@example.com", "archive")
        world.event(f"gone{number}", f"gone{number}@example.com")
    for number in range(1100):
        world.event(f"new{number}", f"new{number}@example.com")
    part = world.flush()
    assert part.counts == {"added": 1100, "left": 3}
    assert [one.method for one in world.writes()].count("POST") == 3
    assert {world.status(f"gone{number}@example.com") for number in range(3)} == {"archived"}


def test_one_of_two_customers_with_an_address_may_be_deleted(world: World):
    """The member is archived only when neither uses it any more."""
    world.event("ann", ANN, first_name="Ann")
    world.event("bob", ANN, first_name="Bob")
    world.flush()
    assert world.fields(ANN) == {"FNAME": "Bob"}
    world.deleted("bob", ANN)
    world.flush()
    assert world.status(ANN) == "subscribed"
    world.deleted("ann", ANN)
    world.flush()
    assert world.status(ANN) == "archived"


def test_withdrawn_consent_unsubscribes_also_a_member_added_by_others(world: World):
    """On every stored list the address is unsubscribed, and added on none."""
    world.event("ann", ANN)
    world.flush()
    world.by_hand(ANN, "subscribe", "other")
    world.event("ann", ANN, marketing_consent=False)
    world.flush()
    assert (world.status(ANN), world.status(ANN, "other")) == ("unsubscribed", "unsubscribed")
    assert not world.waits("ann")


def test_consent_withdrawn_by_one_of_two_customers_counts_for_the_address(world: World):
    """One of two customers who share an address is enough, and the other does not undo it."""
    world.event("ann", ANN)
    world.event("bob", ANN)
    world.flush()
    world.event("ann", ANN, marketing_consent=False)
    world.flush()
    assert world.status(ANN) == "unsubscribed"
    world.event("bob", ANN, first_name="Bob")
    world.flush()
    assert world.status(ANN) == "unsubscribed"


def test_consent_given_again_does_not_subscribe(world: World):
    """Given again, fields are written without a status; only the person can rejoin, by the form."""
    world.event("ann", ANN)
    world.flush()
    world.event("ann", ANN, marketing_consent=False)
    world.flush()
    world.event("ann", ANN, first_name="Ann")
    world.flush()
    assert world.status(ANN) == "unsubscribed"
    assert world.fields(ANN) == {"FNAME": "Ann"}
    assert "Only the person can join again" in world.receipts("ann")[-1].next


def test_withdrawn_consent_is_never_added(world: World):
    """A customer without consent from the first event on is on no list, whatever else changes."""
    world.event("ann", ANN, marketing_consent=False)
    world.flush()
    world.event("ann", ANN, first_name="Ann", marketing_consent=False)
    world.flush()
    assert world.members() == {}
    assert world.writes() == []


def test_withdrawn_consent_follows_to_a_new_address_and_back(world: World):
    """Consent withdrawn at one address, given at another: the person stays out under both."""
    world.event("ann", ANN)
    world.flush()
    world.event("ann", ANN, marketing_consent=False)
    world.flush()
    world.event("ann", "new@example.com")
    world.flush()
    assert world.members() == {ANN: "unsubscribed"}


def test_consent_withdrawn_while_archived_keeps_a_return_unsubscribed(world: World):
    """A member archived by this worker, whose consent was withdrawn since, comes back as unsubscribed."""
    world.event("ann", ANN)
    world.flush()
    world.deleted("ann", ANN)
    world.flush()
    world.event("ann", ANN, marketing_consent=False)
    world.flush()
    world.event("ann", ANN)
    world.flush()
    assert world.status(ANN) != "subscribed"


def test_a_null_value_deletes_like_an_event(world: World):
    """A null value, which tells nothing but the deletion, archives the member at its last known place."""
    from tests.staged import stage_batch
    from worker.clock import as_text
    from worker.consumer.decode import Record

    world.event("ann", ANN)
    world.flush()
    stage_batch(world.db, "billmywork.customers", "", [Record(0, 999, b"acct-1/ann", None)], as_text(world.clock()))
    world.flush()
    assert world.status(ANN) == "archived"


def test_a_deleted_customer_whose_member_stays_for_another_is_told_so(world: World):
    """Of two customers with one address one left and changes address, the other is deleted: both have a receipt."""
    world.event("ann", ANN)
    world.event("bob", ANN)
    world.flush()
    world.by_hand(ANN, "unsubscribe")
    world.event("ann", "new@example.com")
    world.deleted("bob", ANN)
    world.flush()
    assert world.members() == {ANN: "unsubscribed"}
    assert (world.outcomes("ann")[-1], world.outcomes("bob")[-1]) == ("left", "left alone")
    assert world.receipts("bob")[-1].event_id == "bob-2"
    assert not world.waits("bob")
