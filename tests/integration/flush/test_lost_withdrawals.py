"""Consent is withdrawn and the answer to the unsubscribing is lost, before or after it was done."""

import pytest

from tests.integration.flush.world import World
from worker.sandbox.audit import BY_HAND
from worker.sandbox.faults import Fault

A, B = "a@example.com", "b@example.com"
LOST = pytest.mark.parametrize("lost", ["timeout_after", "timeout_before", "bare_after", "cut"])


def withdrawn_without_answer(world: World, lost: str) -> bool:
    """Ann is a member, withdraws consent, and the answer is lost; returns whether it was done."""
    world.event("ann", A)
    world.flush()
    world.event("ann", A, marketing_consent=False)
    world.standin.faults = [Fault(lost, method="PATCH", status=503, times=1)]  # type: ignore[arg-type]
    world.flush()
    world.standin.faults = []
    noted = world.entry(A)
    assert noted is not None
    assert noted.intent is not None
    assert noted.intent.kind == "unsubscribe"
    assert world.waits("ann")
    return world.status(A) == "unsubscribed"


@LOST
def test_the_next_flush_unsubscribes_or_finds_that_it_was_done(world: World, lost: str):
    """It looks first, so that it writes only what is not done; nothing is in doubt then."""
    done = withdrawn_without_answer(world, lost)
    assert done is (lost != "timeout_before")
    world.flush()
    assert world.status(A) == "unsubscribed"
    assert len(world.writes()) == (0 if done else 1)
    noted = world.entry(A)
    assert noted is not None
    assert (noted.intent, noted.origin) == (None, "added")
    assert not world.waits("ann")
    on_master = [one.outcome for one in world.receipts("ann") if one.list_id == "master"]
    assert on_master[-1] == ("withheld" if done else "unsubscribed")


@LOST
def test_consent_that_is_given_again_subscribes_nobody(world: World, lost: str):
    """Unsubscribed by the lost call, she stays so; where it was not done, she never left."""
    done = withdrawn_without_answer(world, lost)
    world.event("ann", A, first_name="Ann")
    world.flush()
    assert world.status(A) == ("unsubscribed" if done else "subscribed")
    assert world.fields(A) == {"FNAME": "Ann"}
    assert not [one for one in world.writes() if one.body and "status" in one.body]
    assert not world.waits("ann")


@LOST
@pytest.mark.parametrize("list_id", ["master", "other"])
def test_the_withdrawal_follows_to_another_address_and_list(world: World, lost: str, list_id: str):
    """Consent is there again, and she has moved: done, nobody is added; not done, her old member is archived."""
    done = withdrawn_without_answer(world, lost)
    world.event("ann", B, list_id=list_id)
    world.flush()
    assert world.status(B, list_id) == (None if done else "subscribed")
    assert world.status(A) == ("unsubscribed" if done else "archived")


@LOST
def test_who_joins_again_meanwhile_is_unsubscribed(world: World, lost: str):
    """Consent stays withdrawn, whatever the lost call did, and whether or not the member is still the same person."""
    withdrawn_without_answer(world, lost)
    world.by_hand(A, "forget")
    world.clock.forward(seconds=3)
    world.standin.find_list("master").insert(A, "subscribed", {}, BY_HAND)
    world.flush()
    assert world.status(A) == "unsubscribed"
    assert not world.waits("ann")
    noted = world.entry(A)
    assert noted is not None
    assert noted.origin == "found"
