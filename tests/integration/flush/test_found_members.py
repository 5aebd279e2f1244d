"""A member that this worker found goes along with a customer only where it surely is that customer's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.flush.world import World

TYPO, RIGHT = "an@example.com", "ann@example.com"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One account with two stored lists, nobody in them; calls go straight to the stand-in."""
    with World(tmp_path, direct=True) as made:
        yield made


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
    from worker.store import lists
    from worker.store.lists import Pause

    world.standin.find_list("master").insert(TYPO, "pending", {}, "by hand")
    world.event("ann", TYPO)
    world.flush()
    world.event("ann", TYPO, list_id="other")
    world.flush()
    with world.db.transaction():
        lists.pause(world.db, ACCOUNT, "other", Pause("it refuses everybody", world.clock()))  # type: ignore[arg-type]
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
