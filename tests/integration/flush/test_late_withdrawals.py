"""A consent that is withdrawn before a deletion, or by an event whose version is too low."""

from __future__ import annotations

from tests.integration.flush.world import ACCOUNT, TOPIC, World
from tests.staged import stage_batch
from worker.clock import as_text
from worker.consumer.decode import Record

ANN = "ann@example.com"


def null(world: World, customer: str) -> None:
    """Stages a null value."""
    world.clock.forward(seconds=1)
    record = Record(0, world._offset, f"{ACCOUNT}/{customer}".encode(), None)
    world._offset += 1
    stage_batch(world.db, TOPIC, "", [record], as_text(world.clock()))


def test_a_withdrawal_that_is_followed_by_a_null_unsubscribes(world: World) -> None:
    """On all stored lists, also where somebody else added the member: the deletion alone would have left it there."""
    for name in ("master", "other"):
        world.by_hand(ANN, "subscribe", name)
    world.event("ann", ANN, marketing_consent=False)
    null(world, "ann")
    world.flush()
    assert [world.status(ANN, name) for name in ("master", "other")] == ["unsubscribed", "unsubscribed"]
    assert not world.waits("ann")


def test_a_withdrawal_before_a_deletion_counts_for_who_shares_the_address(world: World) -> None:
    """One withdrawn consent is enough, and it was not delivered when its customer was deleted."""
    world.event("ann", ANN)
    world.event("lee", ANN)
    world.flush()
    world.event("ann", ANN, marketing_consent=False)
    null(world, "ann")
    world.flush()
    assert world.status(ANN) == "unsubscribed"
    world.event("lee", ANN, first_name="Lee")
    world.flush()
    assert world.status(ANN) == "unsubscribed"


def test_a_withdrawal_with_a_version_that_is_too_low_unsubscribes(world: World) -> None:
    """Also where a version before it was far too high; the receipt names the withdrawal's event."""
    world._versions["ann"] = 2**40
    world.event("ann", ANN)
    world.flush()
    world._versions["ann"] = 17
    world.event("ann", ANN, marketing_consent=False)
    world.flush()
    assert world.status(ANN) == "unsubscribed"
    assert world.receipts("ann")[-1].event_id == "ann-18"
    world.event("ann", ANN)
    assert not world.waits("ann")
