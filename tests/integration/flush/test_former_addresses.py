"""Who left a list under another address than the one that a customer has is not put there again by that address."""

from __future__ import annotations

import pytest

from tests.checked_changelog import CHANGELOG
from tests.integration.flush.world import ACCOUNT, World
from worker.accounts import forget
from worker.model import AddressKey

pytestmark = pytest.mark.world(direct=True)
ANN, BOB, NEW, NEWER = (f"{name}@example.com" for name in ("ann", "bob", "new", "newer"))


def day(world: World) -> None:
    """A day passes, and its flush reads what changed."""
    world.clock.forward(days=1)
    world.daily()


def changes_address_and_leaves(world: World, act: str = "unsubscribe", *, reads_between: bool = True) -> None:
    """Somebody joins the other list, changes her address there, and leaves, each as a daily flush reads it."""
    world.by_hand(ANN, "subscribe", "other")
    day(world)
    world.by_hand(ANN, "rename", "other", NEW)
    if reads_between:
        day(world)
    world.by_hand(NEW, act, "other")
    day(world)


def rows(world: World) -> list[tuple[object, ...]]:
    """All that is kept of the contacts of people whom the ledger does not know."""
    return [tuple(row) for row in world.db.execute("SELECT * FROM stranger_contact").fetchall()]


@pytest.mark.parametrize("reads_between", [True, False])
@pytest.mark.parametrize("act", ["unsubscribe", "clean", "archive"])
def test_a_customer_is_not_moved_to_a_list_that_she_left_under_another_address(
    world: World, act: str, reads_between: bool
):
    """She was a member there by herself, at the customer's address: nobody is added at that address again."""
    world.event("ann", ANN)
    world.daily()
    changes_address_and_leaves(world, act, reads_between=reads_between)
    world.event("ann", ANN, list_id="other")
    day(world)
    assert world.status(ANN, "other") is None
    assert world.outcomes("ann")[-1] == "gone"
    assert world.status(ANN) == "subscribed"


@pytest.mark.parametrize("list_id", ["master", "other"])
def test_a_later_customer_with_the_former_address_is_added_nowhere(world: World, list_id: str):
    """Neither to the list that she left, nor to another one, though nobody had the address when she left."""
    changes_address_and_leaves(world)
    world.event("ann", ANN, list_id=list_id)
    world.flush()
    assert (world.status(ANN), world.status(ANN, "other")) == (None, None)
    assert world.outcomes("ann") == ["gone" if list_id == "other" else "left"]
    world.by_hand(ANN, "subscribe", "other")
    day(world)
    assert world.status(ANN, list_id) == "subscribed"


@pytest.mark.parametrize("list_id", ["master", "other"])
def test_while_she_is_subscribed_under_her_new_address_the_former_one_has_left_nothing(world: World, list_id: str):
    """Who changed the address in Mailchimp and at billmywork gets both."""
    world.event("ann", ANN, list_id=list_id)
    world.by_hand(ANN, "subscribe", "other" if list_id == "master" else "master")
    day(world)
    world.by_hand(ANN, "rename", "other" if list_id == "master" else "master", NEW)
    day(world)
    world.event("ann", NEW, list_id=list_id)
    day(world)
    assert world.status(NEW, list_id) == "subscribed"
    assert world.outcomes("ann")[-1] == "renamed"


def test_each_of_several_former_addresses_counts(world: World):
    """She changed the address twice before she left."""
    world.by_hand(ANN, "subscribe", "other")
    day(world)
    world.by_hand(ANN, "rename", "other", NEW)
    day(world)
    world.by_hand(NEW, "rename", "other", NEWER)
    day(world)
    world.by_hand(NEWER, "unsubscribe", "other")
    day(world)
    for customer, email in (("ann", ANN), ("bob", NEW), ("dot", NEWER)):
        world.event(customer, email, list_id="other")
    world.flush()
    assert {email: world.status(email, "other") for email in (ANN, NEW, NEWER)} == {
        ANN: None,
        NEW: None,
        NEWER: "unsubscribed",
    }
    assert [world.outcomes(customer) for customer in ("ann", "bob", "dot")] == [["gone"], ["gone"], ["found"]]


def test_who_has_the_former_address_now_is_a_member(world: World):
    """Somebody else joined by it: the member is read first, and found."""
    world.by_hand(ANN, "subscribe", "other")
    day(world)
    world.by_hand(ANN, "rename", "other", NEW)
    world.by_hand(ANN, "subscribe", "other")
    world.by_hand(NEW, "unsubscribe", "other")
    day(world)
    world.event("ann", ANN, list_id="other")
    world.flush()
    assert (world.status(ANN, "other"), world.outcomes("ann")) == ("subscribed", ["found"])


def test_a_form_for_the_former_address_that_nobody_confirmed_ends_no_departure(world: World):
    """Anybody can fill it in: the customer is not moved on from there as one who is asked again."""
    changes_address_and_leaves(world)
    world.by_hand(ANN, "sign up", "other")
    day(world)
    world.event("ann", ANN, list_id="other")
    world.flush()
    entry = world.entry(ANN, "other")
    assert (entry and entry.state, world.status(ANN, "other")) == ("gone", "pending")
    world.event("ann", ANN)
    world.flush()
    assert (world.status(ANN), world.outcomes("ann")[-1]) == (None, "left")


@pytest.mark.parametrize("added_by", ["stranger", "ledger"])
def test_one_whom_the_ledger_knows_under_the_new_address_left_under_the_former_one_too(world: World, added_by: str):
    """She changed her address to one where the worker then found her for another customer."""
    world.by_hand(ANN, "subscribe", "other")
    day(world)
    world.by_hand(ANN, "rename", "other", BOB)
    if added_by == "ledger":
        world.event("bob", BOB, list_id="other")
    day(world)
    world.by_hand(BOB, "unsubscribe", "other")
    day(world)
    world.event("ann", ANN, list_id="other")
    world.flush()
    assert (world.status(ANN, "other"), world.outcomes("ann")) == (None, ["gone"])


@pytest.mark.parametrize("list_id", ["master", "other"])
@pytest.mark.parametrize("known", [True, False])
def test_a_plan_shows_the_reads_of_a_former_address(world: World, list_id: str, known: bool):
    """The calls of a plan are those of the flush, also if both read only now that she left."""
    world.by_hand(ANN, "subscribe", "other")
    day(world)
    world.by_hand(ANN, "rename", "other", NEW)
    world.by_hand(NEW, "unsubscribe", "other")
    if known or list_id == "other":  # a command reads no list for those who are added to it
        day(world)
    world.event("ann", ANN, list_id=list_id)
    planned = [str(one.call) for one in world.plan().calls()]
    world.flush()
    assert [str(one) for one in world.calls() if str(one) not in planned] == []
    assert world.status(ANN, list_id) is None


@pytest.mark.parametrize("lost", ["database", "key", "behind", "earlier release"])
def test_contacts_that_are_lost_are_read_again_once(world: World, lost: str):
    """A daily flush of a worker that lacks them reads all members again; a command does not."""
    world.by_hand(ANN, "subscribe", "other")
    day(world)
    day(world)
    with world.db.transaction():
        match lost:
            case "database":
                world.db.execute("DELETE FROM departed_list")
                world.db.execute("DELETE FROM stranger_contact")
            case "key":
                world.db.execute("UPDATE departed_list SET hashed_with = 'another'")
                world.db.execute("UPDATE stranger_contact SET contact = contact + 1")
            case "behind":  # another worker read it since
                world.db.execute("UPDATE departed_list SET read_at = '2026-11-01T10:00:00.000Z'")
                world.db.execute("UPDATE departed_list SET contacts_read_at = read_at")
                world.db.execute("DELETE FROM stranger_contact")
            case _:
                world.db.execute("UPDATE departed_list SET contacts_read_at = NULL")
                world.db.execute("DELETE FROM stranger_contact")
    world.event("bob", BOB)
    world.flush()
    before = rows(world)
    day(world)
    whole = [one for one in world.calls() if one.path == "/lists/other/members"]
    assert [one.query.get("status", "all") for one in whole] == ["all", "archived"]
    assert (before != rows(world), len(rows(world))) == (True, 1)
    assert [one.query.get("since_last_changed", "")[:10] for one in whole] == (
        ["2026-11-01"] * 2 if lost == "behind" else [""] * 2
    )
    day(world)
    since = [one.query.get("since_last_changed", "")[:7] for one in world.calls() if one.path == "/lists/other/members"]
    assert since == ["2026-11"] * 2
    world.by_hand(ANN, "rename", "other", NEW)
    world.by_hand(NEW, "unsubscribe", "other")
    day(world)
    world.event("ann", ANN, list_id="other")
    world.flush()
    assert world.status(ANN, "other") is None


def test_a_person_or_an_account_that_is_forgotten_leaves_no_contact(world: World):
    """Of a person the address is removed, with the account everything. That somebody left is kept."""
    changes_address_and_leaves(world)
    world.by_hand(BOB, "subscribe", "other")
    day(world)
    assert len(rows(world)) == 3
    world.event("ann", ANN, list_id="other")
    forget.forget_person(world.db, CHANGELOG, AddressKey(ANN), secret=world.app.secret, at=world.clock())
    assert len(rows(world)) == 2
    forget.forget_person(world.db, CHANGELOG, AddressKey(NEW), secret=world.app.secret, at=world.clock())
    assert len(rows(world)) == 1
    world.event("ann2", ANN, list_id="other")
    world.flush()
    assert world.status(ANN, "other") is None
    forget.forget_account(world.db, CHANGELOG, ACCOUNT)
    assert rows(world) == []


def test_members_whom_the_ledger_knows_are_not_kept_twice(world: World):
    """Once the worker finds a member for its customer, the ledger has its contact id."""
    world.by_hand(ANN, "subscribe")
    day(world)
    assert len(rows(world)) == 1
    world.event("ann", ANN)
    world.flush()
    day(world)
    assert rows(world) == []
