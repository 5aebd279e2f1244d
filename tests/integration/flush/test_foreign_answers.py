"""A proxy or another machine in between answers a call itself: nothing counts as done but what Mailchimp documents."""

import pytest

from tests.integration.flush.world import KEY, World
from worker.mailchimp.calls import Call
from worker.sandbox.faults import Fault

ANN = "ann@example.com"
PAGES = [Fault("page", method="DELETE|POST"), Fault("lacking", method="DELETE|POST")]


@pytest.mark.parametrize("fault", PAGES, ids=lambda fault: fault.kind)
@pytest.mark.parametrize("moved", [False, True], ids=["deleted", "moved"])
def test_an_archive_that_was_answered_with_a_page_is_not_done(world: World, fault: Fault, moved: bool):
    """The customer waits, its receipt names the answer, and the next flush reads before it archives."""
    world.event("ann", ANN)
    world.flush()
    if moved:
        world.event("ann", ANN, list_id="other")
        world.flush()
        world.event("ann", ANN, list_id="master")
    else:
        world.deleted("ann", ANN)
    place = "other" if moved else "master"
    world.standin.faults = [Fault(fault.kind, method="DELETE")]
    part = world.flush()
    receipt = world.receipts("ann")[-1]
    assert (receipt.outcome, receipt.answer_status) == ("later", 200)
    assert "Sent, but the result is not known: an answer that cannot be read" in receipt.detail
    assert part.ended != "done"
    assert world.waits("ann")
    world.standin.faults = []
    world.standin.audit.calls.clear()
    world.flush()
    calls = [call.method for call in world.calls() if f"/{place}/members/" in call.path]
    assert calls[0] == "GET"
    assert world.status(ANN, place) == "archived"
    assert world.outcomes("ann")[-1] == "archived"
    assert not world.waits("ann")


@pytest.mark.parametrize("fault", PAGES, ids=lambda fault: fault.kind)
def test_tags_that_were_answered_with_a_page_are_not_set(world: World, fault: Fault):
    """The customer waits, its receipt names the answer, and the next flush sets them."""
    world.event("ann", ANN)
    world.flush()
    world.event("ann", ANN, tags=["vip"])
    world.standin.faults = [Fault(fault.kind, method="POST", path="/tags$")]
    world.flush()
    receipt = world.receipts("ann")[-1]
    assert receipt.outcome == "later"
    assert "may not be written yet: an answer that cannot be read" in receipt.detail
    assert world.waits("ann")
    world.standin.faults = []
    world.flush()
    member = world.standin.find_list("master").find(ANN)
    assert member is not None
    assert list(member.tags) == ["vip"]
    assert not world.waits("ann")


def test_a_member_that_is_still_subscribed_after_its_archive_was_confirmed_is_archived_again(world: World):
    """What Mailchimp holds counts, not what was answered: no receipt says archived before that is so."""
    world.event("ann", ANN)
    world.flush()
    world.deleted("ann", ANN)
    world.standin.faults = [Fault("bare", status=204, method="DELETE")]
    world.flush()
    assert world.status(ANN) == "subscribed"
    receipt = world.receipts("ann")[-1]
    assert (receipt.outcome, receipt.answer_status) == ("later", 204)
    assert "Mailchimp confirmed it, but the member is subscribed" in receipt.detail
    assert world.waits("ann")
    world.standin.faults = []
    world.flush()
    assert world.status(ANN) == "archived"
    assert world.outcomes("ann")[-1] == "archived"
    assert not world.waits("ann")


def test_a_person_who_joins_right_after_the_archive_stays(world: World):
    """The receipt tells of both; the new member is the person's own."""
    world.event("ann", ANN)
    world.flush()
    world.clock.forward(seconds=5)
    world.deleted("ann", ANN)
    world.after_call(lambda call: world.by_hand(ANN, "subscribe") if call.method == "DELETE" else None)
    world.flush()
    world.after_call(None)
    assert [call.method for call in world.writes()] == ["DELETE"]
    world.daily()
    assert world.status(ANN) == "subscribed"
    receipt = world.receipts("ann")[-1]
    assert receipt.outcome == "archived"
    assert "Somebody has put it back since." in receipt.detail


@pytest.mark.parametrize("by_worker", [True, False])
def test_a_late_archive_that_makes_the_next_one_needless_is_this_workers(world: World, by_worker: bool):
    """A 405 after an unanswered archive: archived within two seconds of the read before it, the member comes back."""
    world.event("ann", ANN)
    world.flush()
    world.deleted("ann", ANN)
    if by_worker:
        world.standin.faults = [Fault("timeout_before", method="DELETE", times=1)]
        world.flush()
        assert world.waits("ann")
        world.standin.faults = []

    def late(call: Call) -> None:
        if call.method == "DELETE":
            world.standin.handle(KEY, call)

    world.before_call(late)
    world.flush()
    world.before_call(None)
    receipt = world.receipts("ann")[-1]
    assert (receipt.outcome, receipt.answer_status) == ("archived" if by_worker else "left alone", 405)
    world.clock.forward(days=1)
    world.event("ann", ANN)
    world.flush()
    assert world.status(ANN) == ("subscribed" if by_worker else "archived")


def test_an_archive_by_hand_long_after_an_unanswered_one_is_a_departure(world: World):
    """Three minutes after its read a call without an answer is certainly over."""
    world.event("ann", ANN)
    world.flush()
    world.deleted("ann", ANN)
    world.standin.faults = [Fault("timeout_before", method="DELETE", times=1)]
    world.flush()
    world.standin.faults = []
    world.clock.forward(minutes=4)
    world.before_call(lambda call: world.by_hand(ANN, "archive") if call.method == "DELETE" else None)
    world.flush()
    world.before_call(None)
    world.event("ann", ANN)
    world.flush()
    assert world.status(ANN) == "archived"
