"""The answer to an archive is lost while a customer moves: it counts as no departure, and hides none."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.flush.world import World
from worker.sandbox.faults import Fault

A, B = "a@example.com", "b@example.com"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One account with two stored lists, nobody in them; calls go straight to the stand-in."""
    with World(tmp_path, direct=True) as made:
        yield made


def moved_without_answer(world: World, kind: str = "timeout_after") -> None:
    """Moves Ann from the list other to master, while the answer to the archive is lost."""
    world.event("ann", A, list_id="other", first_name="1")
    world.flush()
    world.event("ann", A, list_id="master", first_name="2")
    world.standin.faults = [Fault(kind, method="DELETE", times=1)]  # type: ignore[arg-type]
    world.flush()
    world.standin.faults = []
    assert world.waits("ann")
    assert world.status(A, "other") == ("archived" if kind == "timeout_after" else "subscribed")


@pytest.mark.parametrize("kind", ["timeout_after", "timeout_before"])
def test_a_customer_whose_old_member_was_archived_without_an_answer_moves_on(world: World, kind: str):
    """It is written where it is, and goes along to its next address."""
    moved_without_answer(world, kind)
    world.event("ann", B, list_id="master", first_name="3")
    world.flush()
    assert (world.status(A), world.status(B)) == ("archived", "subscribed")
    assert world.fields(B)["FNAME"] == "3"
    assert world.status(A, "other") == "archived"
    assert not world.waits("ann")


def test_fields_of_a_customer_are_written_while_its_old_member_is_in_doubt(world: World):
    """What became of the old member keeps no field from the new one."""
    moved_without_answer(world)
    world.clock.forward(days=1)
    world.by_hand(A, "unsubscribe", "other")
    world.event("ann", A, list_id="master", first_name="3")
    world.flush()
    assert world.fields(A)["FNAME"] == "3"
    assert world.status(A, "other") == "unsubscribed"


@pytest.mark.parametrize("act", ["unsubscribe", "archive", "forget"])
def test_who_leaves_the_old_member_after_a_lost_archive_goes_nowhere_else(world: World, act: str):
    """An archive that was not done, and days later somebody leaves there: that is no work of this worker."""
    moved_without_answer(world, "timeout_before")
    world.clock.forward(days=1)
    world.by_hand(A, act, "other")
    world.event("ann", B, list_id="master")
    world.flush()
    assert world.status(B) is None
    assert world.outcomes("ann")[-1] in ("left", "gone")


def test_a_member_archived_without_an_answer_is_put_back(world: World):
    """The same contact, archived within two seconds of the read before the call: that was this worker."""
    moved_without_answer(world)
    world.flush()
    assert not world.waits("ann")
    world.event("ann", A, list_id="other")
    world.flush()
    assert world.status(A, "other") == "subscribed"
    assert world.outcomes("ann")[-2:] == ["restored", "archived"]


def test_a_member_archived_by_somebody_else_after_a_lost_answer_is_not_put_back(world: World):
    """Seconds later than the read before the call it is somebody else's doing."""
    moved_without_answer(world, "timeout_before")
    world.by_hand(A, "archive", "other")
    world.event("ann", A, list_id="other")
    world.flush()
    assert world.status(A, "other") == "archived"
