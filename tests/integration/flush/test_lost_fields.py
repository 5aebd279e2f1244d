"""Fields of a write whose answer was lost: the next one sends or clears them, for Mailchimp may have them."""

import pytest

from tests.integration.flush.test_lost_answers import A, B, losing
from tests.integration.flush.world import World


def test_a_value_that_came_and_went_around_a_lost_update_is_sent_again(world: World) -> None:
    """The name goes back to the one that was sent before the update without an answer."""
    world.event("ann", A, first_name="Ann")
    world.flush()
    world.event("ann", A, first_name="Anna")
    losing(world, "PATCH")
    assert world.fields(A)["FNAME"] == "Anna"
    world.event("ann", A, first_name="Ann")
    world.flush()
    assert world.fields(A)["FNAME"] == "Ann"
    assert not world.waits("ann")


@pytest.mark.parametrize("kind", ["timeout_after", "timeout_before"])
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_a_value_that_a_lost_write_filled_is_cleared(world: World, method: str, kind: str) -> None:
    """Added, updated or restored with a company, the answer lost; the next event has none."""
    if method != "POST":
        world.event("ann", A, first_name="Ann")
        world.flush()
    if method == "PUT":
        world.deleted("ann", A)
        world.flush()
    world.event("ann", A, first_name="Ann", company="Lee Ltd")
    losing(world, method, kind)
    world.event("ann", A, first_name="Ann")
    world.flush()
    assert world.fields(A) == {"FNAME": "Ann"}


def test_a_value_that_a_lost_rename_filled_is_cleared(world: World) -> None:
    """The member had a company before too, which goes as well."""
    world.event("ann", A, first_name="Ann", company="Lee Ltd")
    world.flush()
    world.event("ann", B, first_name="Ann", company="Lee Ltd", phone="0113 496 0000")
    losing(world, "PATCH")
    world.event("ann", B, first_name="Ann")
    world.flush()
    assert world.fields(B) == {"FNAME": "Ann"}


def test_what_somebody_filled_by_hand_outlives_a_write_that_was_not_done(world: World) -> None:
    """A company that the owner wrote is never cleared where only another field was sent without an answer."""
    world.event("ann", A, first_name="Ann")
    world.flush()
    world.standin.find_list("master").find(A).merge_fields["COMPANY"] = "By hand"
    world.event("ann", A, first_name="Anna")
    losing(world, "PATCH", "timeout_before")
    world.event("ann", A, first_name="Ann")
    world.flush()
    assert world.fields(A) == {"FNAME": "Ann", "COMPANY": "By hand"}
