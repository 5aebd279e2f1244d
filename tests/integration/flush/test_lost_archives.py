"""The answer to an archive is lost while a customer moves: it counts as no departure, and hides none."""

from pathlib import Path

import pytest

from tests.integration.flush.world import World
from worker.mailchimp.calls import Call
from worker.sandbox.faults import Fault

A, B = "a@example.com", "b@example.com"


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


def archived_unread(world: World) -> None:
    """Deletes Ann, whose member is archived, while the read after that gets no answer."""
    world.event("ann", A, list_id="master", first_name="1")
    world.flush()
    world.deleted("ann", A)

    def lose_the_read(call: Call) -> None:
        if call.method == "DELETE":
            world.standin.faults = [Fault("bare", method="GET", status=403)]

    world.before_call(lose_the_read)
    world.flush()
    world.before_call(None)
    world.standin.faults = []
    assert world.status(A) == "archived"
    assert world.outcomes("ann")[-1] == "archived"


def test_a_member_whose_archive_could_not_be_read_again_is_put_back(world: World):
    """The answer to the archive tells when it was done at the latest: a member untouched since is this worker's."""
    archived_unread(world)
    world.clock.forward(days=1)
    world.event("ann", A, list_id="master")
    world.flush()
    assert world.status(A) == "subscribed"
    assert world.outcomes("ann")[-1] == "restored"


def test_whose_archive_could_not_be_read_again_goes_to_another_list(world: World):
    """An archive of this worker is no opt-out, also where its own time was never read."""
    archived_unread(world)
    world.event("ann", B, list_id="other")
    world.flush()
    assert world.status(B, "other") == "subscribed"


def test_a_member_that_came_back_and_was_archived_by_somebody_else_stays_archived(world: World):
    """What was changed after the answer to the archive is not this worker's."""
    archived_unread(world)
    world.clock.forward(days=1)
    world.by_hand(A, "subscribe")
    world.by_hand(A, "archive")
    world.event("ann", A, list_id="master")
    world.event("bob", A, list_id="other")
    world.flush()
    assert world.status(A) == "archived"
    assert world.status(A, "other") is None


@pytest.mark.parametrize(
    ("patience", "end"), [(60, "stays deleted"), (0, "stays deleted"), (0, "comes back"), (0, "moves")]
)
def test_receipts_tell_of_an_archive_whose_answer_was_lost(tmp_path: Path, patience: int, end: str):
    """A member archived too late to be sure of the call stays so, and its receipt says that a call may have done it."""
    with World(tmp_path, direct=True, patience=patience) as world:
        world.event("ann", A)
        world.flush()
        world.deleted("ann", A)
        world.standin.faults = [Fault("timeout_after", method="DELETE", times=1)]
        world.before_call(lambda call: world.clock.forward(seconds=3) if call.method == "DELETE" else None)
        world.flush()
        world.before_call(None)
        if not patience:
            assert "DELETE" in (world.receipts("ann")[-1].call or "")
            if end != "stays deleted":
                world.event("ann", A if end == "comes back" else B)
            world.flush()
        receipt = world.receipts("ann")[-1]
        assert world.members() == {A: "archived"}
        assert "call of this worker whose answer was lost" in receipt.detail
        assert not world.waits("ann")
