"""A customer's address changes."""

import pytest

from tests.integration.flush.world import World

OLD, NEW, BOBS = "ann@example.com", "new@example.com", "bob@example.com"


def test_a_free_new_address_renames_the_member(world: World):
    """The member gets the new address and keeps everything else; nobody is archived."""
    world.event("ann", OLD, first_name="Ann")
    world.flush()
    world.event("ann", NEW, first_name="Ann")
    world.flush()
    assert world.members() == {NEW: "subscribed"}
    assert world.outcomes("ann") == ["added", "renamed"]
    assert not world.waits("ann")
    assert world.entry(OLD) is None


def test_a_taken_new_address_is_written_and_the_old_one_archived(world: World):
    """Where the new address is a member already, it gets the fields, and the old member is archived."""
    world.event("ann", OLD, first_name="Ann")
    world.flush()
    world.by_hand(NEW, "subscribe")
    world.event("ann", NEW, first_name="Ann")
    world.flush()
    assert world.members() == {OLD: "archived", NEW: "subscribed"}
    assert world.fields(NEW) == {"FNAME": "Ann"}
    assert world.outcomes("ann") == ["added", "found", "archived"]


def test_a_new_address_taken_by_an_unsubscribed_member_stays_unsubscribed(world: World):
    """A member who left under the new address stays so."""
    world.event("ann", OLD)
    world.flush()
    world.by_hand(NEW, "subscribe")
    world.by_hand(NEW, "unsubscribe")
    world.event("ann", NEW)
    world.flush()
    assert world.status(NEW) == "unsubscribed"
    assert world.status(OLD) == "archived"
    assert "unsubscribed" in world.receipts("ann")[1].detail


def test_who_left_under_the_old_address_is_not_added_under_the_new_one(world: World):
    """An opt-out follows the customer, and the receipt says so; the ledger learns of it."""
    world.event("ann", OLD)
    world.flush()
    world.by_hand(OLD, "unsubscribe")
    world.event("ann", NEW)
    world.flush()
    assert world.members() == {OLD: "unsubscribed"}
    assert world.outcomes("ann")[-1] == "left"
    assert not world.waits("ann")
    assert world.entry(OLD).member_status == "unsubscribed"  # type: ignore[union-attr]
    world.event("ann", "third@example.com")
    world.flush()
    assert world.members() == {OLD: "unsubscribed"}


def test_who_was_archived_or_deleted_by_hand_is_not_added_under_a_new_address(world: World):
    """Archived by somebody else, or gone, is a departure too."""
    for name, act in (("ann", "archive"), ("bob", "forget")):
        world.event(name, f"{name}@example.com")
        world.flush()
        world.by_hand(f"{name}@example.com", act)
        world.event(name, f"{name}.new@example.com")
        world.flush()
        assert world.status(f"{name}.new@example.com") is None
        assert world.outcomes(name)[-1] == "left"


def test_a_member_that_bounced_is_added_under_its_new_address(world: World):
    """Cleaned says that the address was bad, which the new one is not."""
    world.event("ann", OLD)
    world.flush()
    world.by_hand(OLD, "clean")
    world.event("ann", NEW)
    world.flush()
    assert world.members() == {OLD: "cleaned", NEW: "subscribed"}


def test_a_pending_member_is_pending_under_its_new_address(world: World):
    """Who has not confirmed yet is asked under the new address, and the receipt says why; the old member stays."""
    world.standin.find_list("master").insert(OLD, "pending", {}, "by hand")
    world.event("ann", OLD)
    world.flush()
    world.event("ann", NEW)
    world.flush()
    assert world.members() == {OLD: "pending", NEW: "pending"}
    (moved, *_) = [receipt for receipt in world.receipts("ann") if receipt.outcome == "moved"]
    assert moved.detail == f"Moved: added here as pending, because the member {OLD} on list master is pending."


def test_swapped_addresses_swap_fields_and_nothing_else(world: World):
    """Two customers that swap addresses leave both members where they are."""
    world.event("ann", "a@example.com", first_name="Ann")
    world.event("bob", "b@example.com", first_name="Bob")
    world.flush()
    world.event("ann", "b@example.com", first_name="Ann")
    world.event("bob", "a@example.com", first_name="Bob")
    world.flush()
    assert world.members() == {"a@example.com": "subscribed", "b@example.com": "subscribed"}
    assert world.fields("a@example.com") == {"FNAME": "Bob"}
    assert {one.method for one in world.writes()} == {"PATCH"}


def test_an_address_changed_only_in_case_makes_no_call_that_writes(world: World):
    """Mailchimp tells members apart by the lowercased address."""
    world.event("ann", OLD)
    world.flush()
    world.event("ann", "ANN@Example.Com")
    world.flush()
    assert world.writes() == []
    assert world.outcomes("ann")[-1] == "unchanged"


def test_an_old_address_that_another_customer_uses_stays(world: World):
    """With the old address wanted by somebody else, the member stays and the new address is added."""
    world.event("ann", OLD, first_name="Ann")
    world.event("bob", OLD, first_name="Bob")
    world.flush()
    world.event("ann", NEW, first_name="Ann")
    world.flush()
    assert world.members() == {OLD: "subscribed", NEW: "subscribed"}


def test_a_member_renamed_by_the_person_is_not_made_again(world: World):
    """A person who changed the address in Mailchimp is gone under the old one, and is not added there again."""
    world.event("ann", OLD, first_name="Ann")
    world.flush()
    world.by_hand(OLD, "rename", value="her.own@example.com")
    world.event("ann", OLD, first_name="Anne")
    world.flush()
    assert world.members() == {"her.own@example.com": "subscribed"}
    assert world.outcomes("ann")[-1] == "gone"
    world.event("ann", NEW, first_name="Anne")
    world.flush()
    assert world.members() == {"her.own@example.com": "subscribed"}
    assert world.outcomes("ann")[-1] == "left"


def test_a_member_that_is_there_again_is_written_again(world: World):
    """What was gone and came back by itself is found, and updated as such."""
    world.event("ann", OLD, first_name="Ann")
    world.flush()
    world.by_hand(OLD, "rename", value=NEW)
    world.event("ann", OLD, first_name="Anne")
    world.flush()
    world.by_hand(NEW, "rename", value=OLD)
    world.event("ann", OLD, first_name="Anna")
    world.flush()
    assert world.fields(OLD) == {"FNAME": "Anna"}
    assert world.entry(OLD).origin == "found"  # type: ignore[union-attr]


def test_a_customer_that_loses_its_address_is_archived_and_comes_back_with_it(world: World):
    """Without an address there is no member; with the same one again, the archived one is restored."""
    world.event("ann", OLD)
    world.flush()
    world.event("ann", None)
    world.flush()
    assert world.members() == {OLD: "archived"}
    world.event("ann", OLD)
    world.flush()
    assert world.members() == {OLD: "subscribed"}
    assert world.outcomes("ann")[-1] == "restored"


def test_a_malformed_address_is_refused_and_the_old_member_stays(world: World):
    """A typing error sends nothing; the member stays as it was until the address is right."""
    world.event("ann", OLD)
    world.flush()
    world.event("ann", "ann@@example.com")
    world.flush()
    assert world.writes() == []
    assert world.members() == {OLD: "subscribed"}
    assert world.outcomes("ann")[-1] == "refused"
    world.event("ann", NEW)
    world.flush()
    assert world.members() == {NEW: "subscribed"}


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("successor", ["comes", "left elsewhere"])
def test_an_address_that_is_given_up_stays_only_if_another_customer_takes_it_on(
    world: World, successor: str, deleted: bool
):
    """If the next customer with the address may not be added, the old member is archived when its own customer goes."""
    world.event("ann", OLD)
    world.event("bob", BOBS)
    world.flush()
    if successor != "comes":
        world.by_hand(BOBS, "unsubscribe")
    if deleted:
        world.deleted("ann", OLD)
    else:
        world.event("ann", NEW)
    world.event("bob", OLD)
    world.flush()
    if successor == "comes":
        assert (world.status(OLD), world.status(BOBS)) == ("subscribed", "archived")
        assert "left" not in world.outcomes("bob")
        assert (world.outcomes("ann")[-1] == "left alone") == deleted
    else:
        assert (world.status(OLD), world.outcomes("bob")[-1]) == ("archived", "left")
        assert world.outcomes("ann")[-1] == "archived"
    assert world.status(NEW) == (None if deleted else "subscribed")
    assert not world.waits("ann")
    assert not world.waits("bob")


@pytest.mark.parametrize("act", ["unsubscribe", "archive", "clean"])
def test_who_left_under_an_address_that_the_person_chose_is_kept_out_under_it(world: World, act: str):
    """The ledger knows the member by its contact id, so its departure counts for all who have the new one."""
    world.event("ann", OLD)
    world.flush()
    world.daily()  # reads the contact ids
    world.by_hand(OLD, "rename", value=NEW)
    world.daily()
    world.by_hand(NEW, act)
    world.daily()
    world.event("bob", NEW, list_id="other")
    world.daily()
    assert world.status(NEW, "other") is None
    assert world.outcomes("bob") == ["left"]
