"""Tags of customers arrive at their members, and those that somebody set by hand stay."""

from __future__ import annotations

import pytest

from tests.integration.flush.world import World
from worker.mailchimp.calls import Call
from worker.sandbox.faults import Fault

ANN = "ann@example.com"
TAGS = "/tags"


def tags(world: World, email: str = ANN, list_id: str = "master") -> set[str]:
    """The tags of a member."""
    member = world.standin.find_list(list_id).find(email)
    assert member is not None
    return set(member.tags)


def tag_calls(world: World) -> list[Call]:
    """The calls about tags since the last flush began."""
    return [one for one in world.writes() if one.path.endswith(TAGS)]


@pytest.mark.parametrize("strategy", ["many", "one by one"])
def test_tags_are_set_once_the_contact_is_added(world: World, strategy: str) -> None:
    """One call after the add, without automations; the same tags again need none."""
    if strategy == "one by one":
        world.by_hand("old@example.com", "subscribe")
        world.by_hand("old@example.com", "archive")
    world.event("ann", ANN, first_name="Ann", tags=["vip", " Gold ", "VIP", " "])
    world.event("bob", "bob@example.com")
    world.flush()
    assert (tags(world), tags(world, "bob@example.com")) == ({"vip", "Gold"}, set())
    (call,) = tag_calls(world)
    assert call.body == {
        "tags": [{"name": "vip", "status": "active"}, {"name": "Gold", "status": "active"}],
        "is_syncing": True,
    }
    assert world.outcomes("ann") == ["added", "tagged"]
    assert not world.waits("ann")
    world.event("ann", ANN, first_name="Ann", tags=["Gold", "Vip"])
    world.flush()
    assert world.writes() == []
    assert world.outcomes("ann")[2:] == ["unchanged"]


def test_tags_that_are_the_same_as_last_sent_need_no_call(world: World) -> None:
    """If only a field changes, its write is the only call, and the plan lists others only for another member."""
    world.event("ann", ANN, first_name="Ann", tags=["vip", "gold"])
    world.flush()
    world.event("ann", ANN, first_name="Anna", tags=["Gold", "vip"])
    planned = [(one.call.method, one.when) for one in world.plan().calls() if one.address == ANN]
    world.flush()
    assert [call.method for call in world.calls() if "/members/" in call.path] == ["PATCH"]
    assert planned == [
        ("PATCH", None),
        ("GET", "if the address has another member now"),
        ("POST", "if the address has another member now, if its tags differ"),
    ]


def test_only_what_differs_is_set_and_removed(world: World) -> None:
    """A new tag is set, one that the customer has no more is taken off; fields go by their own call."""
    world.event("ann", ANN, first_name="Ann", tags=["vip", "gold"])
    world.flush()
    world.event("ann", ANN, first_name="Anne", tags=["vip", "silver"])
    world.flush()
    assert tags(world) == {"vip", "silver"}
    (call,) = tag_calls(world)
    assert call.body == {
        "tags": [{"name": "silver", "status": "active"}, {"name": "gold", "status": "inactive"}],
        "is_syncing": True,
    }
    receipt = world.receipts("ann")[-1]
    assert (receipt.outcome, receipt.detail) == ("tagged", "Tags set: silver. Tags removed: gold.")
    assert world.fields(ANN) == {"FNAME": "Anne"}
    world.event("ann", ANN, first_name="Anne")
    world.flush()
    assert tags(world) == set()


def test_a_tag_set_by_hand_is_never_removed(world: World) -> None:
    """Neither one that billmywork never had, nor one that was there before billmywork had it."""
    world.by_hand(ANN, "subscribe")
    world.standin.tag("master", ANN, "Met in person")
    world.standin.tag("master", ANN, "VIP")
    world.event("ann", ANN, tags=["vip", "gold"])
    world.flush()
    assert tags(world) == {"Met in person", "VIP", "gold"}
    world.event("ann", ANN, tags=[])
    world.flush()
    assert tags(world) == {"Met in person", "VIP"}
    entry = world.entry(ANN)
    assert entry is not None
    assert not entry.member_tags


def test_a_tag_removed_by_hand_is_not_set_again_without_a_change(world: World) -> None:
    """Only what differs from what this worker set is sent."""
    world.event("ann", ANN, tags=["vip"])
    world.flush()
    world.standin.tag("master", ANN, "vip", active=False)
    world.event("ann", ANN, first_name="Ann", tags=["vip"])
    world.flush()
    assert tags(world) == set()
    world.event("ann", ANN, first_name="Ann", tags=[])
    world.flush()
    assert tag_calls(world) == []


def test_nobody_who_left_is_tagged(world: World) -> None:
    """The read before the call tells that the person left: no call, and the status stays."""
    world.event("ann", ANN, tags=["vip"])
    world.flush()
    world.by_hand(ANN, "unsubscribe")
    world.event("ann", ANN, tags=["gold"])
    world.flush()
    assert (world.status(ANN), tags(world), world.writes()) == ("unsubscribed", {"vip"}, [])
    assert world.receipts("ann")[-1].detail == "The member is unsubscribed in Mailchimp, so its tags were left alone."
    assert not world.waits("ann")
    world.event("ann", ANN, tags=["silver"])
    world.flush()
    assert tag_calls(world) == []


def test_a_failed_call_leaves_the_members_outcome_and_is_tried_again(world: World) -> None:
    """The contact is added, as its receipt says; the next flush sets the tags, and does nothing else."""
    world.standin.faults = [Fault("status", method="POST", path=TAGS, status=500)]
    world.event("ann", ANN, tags=["vip"])
    world.flush()
    assert world.status(ANN) == "subscribed"
    assert world.outcomes("ann") == ["added", "later"]
    assert "its tags may not be written yet" in world.receipts("ann")[-1].detail
    assert world.waits("ann")
    world.standin.faults = []
    world.flush()
    assert tags(world) == {"vip"}
    assert [one.path.endswith(TAGS) for one in world.writes()] == [True]
    assert not world.waits("ann")


def test_a_refusal_of_tags_suppresses_nobody(world: World) -> None:
    """A refusal of tags suppresses nobody."""
    world.standin.faults = [Fault("status", method="POST", path=TAGS, status=400, title="Invalid Resource")]
    world.event("ann", ANN, tags=["vip"])
    world.flush()
    world.flush()
    assert world.outcomes("ann") == ["added", "later", "later"]
    world.standin.faults = []
    world.flush()
    assert tags(world) == {"vip"}
    assert world.waits("ann") is False


def test_a_tag_whose_call_lost_its_answer_is_this_workers(world: World) -> None:
    """A tag whose call got no answer counts as this worker's if the member did not have it before."""
    world.standin.faults = [Fault("cut", method="POST", path=TAGS)]
    world.event("ann", ANN, tags=["vip"])
    world.flush()
    assert tags(world) == {"vip"}
    assert world.waits("ann")
    world.standin.faults = []
    world.flush()
    assert tag_calls(world) == []
    assert not world.waits("ann")
    world.event("ann", ANN, tags=[])
    world.flush()
    assert tags(world) == set()


def test_the_plan_shows_the_read_that_settles_a_lost_call(world: World) -> None:
    """After a lost answer, the plan lists the read of all tags, with the reason, and the flush makes it."""
    world.standin.faults = [Fault("cut", method="POST", path=TAGS)]
    world.event("ann", ANN, tags=["vip"])
    world.flush()
    world.standin.faults = []
    planned = [one for one in world.plan().calls() if one.call.path.endswith(TAGS) and one.call.reads_only]
    world.flush()
    made = [call for call in world.calls() if call.path.endswith(TAGS) and call.reads_only]
    assert [one.call for one in planned] == made != []
    assert planned[0].when == "if it is on the list, since the answer to an earlier call about its tags was lost"
    assert planned[0].address == ANN


def test_a_tag_set_by_hand_after_a_lost_call_is_not_this_workers(world: World) -> None:
    """The call may have been done or not: Mailchimp's time of the tag tells that it was not that call."""
    world.standin.faults = [Fault("timeout_before", method="POST", path=TAGS)]
    world.event("ann", ANN, tags=["vip"])
    world.flush()
    world.standin.faults = []
    world.clock.forward(minutes=10)
    world.standin.tag("master", ANN, "vip")
    world.flush()
    world.event("ann", ANN, tags=[])
    world.flush()
    assert tags(world) == {"vip"}


def test_a_tag_set_by_hand_after_a_lost_removal_stays(world: World) -> None:
    """The call removed it, though no answer came; who has it now got it from somebody."""
    world.event("ann", ANN, tags=["vip"])
    world.flush()
    world.standin.faults = [Fault("cut", method="POST", path=TAGS)]
    world.clock.forward(minutes=10)
    world.event("ann", ANN, tags=[])
    world.flush()
    assert tags(world) == set()
    world.standin.faults = []
    world.clock.forward(minutes=10)
    world.standin.tag("master", ANN, "vip")
    world.flush()
    assert tags(world) == {"vip"}
    assert not world.waits("ann")


def test_a_refused_call_claims_no_tag(world: World) -> None:
    """What surely was not done does not make a tag this worker's that somebody sets by hand then."""
    world.standin.faults = [Fault("status", method="POST", path=TAGS, status=400, title="Invalid Resource")]
    world.event("ann", ANN, tags=["vip"])
    world.flush()
    world.standin.faults = []
    world.standin.tag("master", ANN, "vip")
    world.flush()
    world.event("ann", ANN, tags=[])
    world.flush()
    assert tags(world) == {"vip"}


def test_tags_follow_to_a_new_address_and_a_new_list(world: World) -> None:
    """A renamed member keeps its tags without a call; on another list they are set again; the archived keeps its."""
    world.event("ann", ANN, first_name="Ann", last_name="Lee", tags=["vip"])
    world.flush()
    world.event("ann", "new@example.com", first_name="Ann", last_name="Lee", tags=["vip"])
    world.flush()
    assert (tags(world, "new@example.com"), tag_calls(world)) == ({"vip"}, [])
    world.event("ann", "new@example.com", first_name="Ann", last_name="Lee", list_id="other", tags=["vip", "gold"])
    world.flush()
    assert tags(world, "new@example.com", "other") == {"vip", "gold"}
    assert (world.status("new@example.com"), tags(world, "new@example.com")) == ("archived", {"vip"})
    world.event("ann", "new@example.com", first_name="Ann", last_name="Lee", tags=["gold"])
    world.flush()
    assert (world.status("new@example.com"), tags(world, "new@example.com")) == ("subscribed", {"gold"})


def test_of_two_who_share_an_address_the_newest_ones_tags_count(world: World) -> None:
    """They are one member: its tags are those of the newest event, as its fields are."""
    world.event("ann", ANN, first_name="Ann", tags=["vip"])
    world.event("bob", ANN, first_name="Bob", tags=["gold"])
    world.flush()
    assert tags(world) == {"gold"}
    assert not world.waits("ann")
    world.event("ann", ANN, first_name="Ann", tags=["vip"])
    world.flush()
    assert tags(world) == {"vip"}


def test_the_plan_shows_the_calls_about_tags(world: World) -> None:
    """Of a new contact once it is added; of a member the read and what depends on it. Nothing is sent."""
    world.event("ann", ANN, tags=["vip"])
    planned = [(str(one.call), one.when, one.address) for one in world.plan().calls() if TAGS in one.call.path]
    assert planned[0][1:] == ("once it is added", ANN)
    world.flush()
    world.event("ann", ANN, tags=["gold"])
    plan = world.plan()
    assert plan.summary.counts == {("master", "updates"): 1}
    told = [one for one in plan.calls() if one.address == ANN]
    assert [(one.call.method, one.when) for one in told] == [
        ("GET", None),
        ("POST", "if it is on the list, if its tags differ"),
    ]
    assert told[1].call.body == {
        "tags": [{"name": "gold", "status": "active"}, {"name": "vip", "status": "inactive"}],
        "is_syncing": True,
    }
    assert tags(world) == {"vip"}


def test_a_member_with_more_tags_than_an_answer_tells_loses_none(world: World) -> None:
    """A wanted tag that the answer does not tell is set, and counts as set by hand."""
    world.by_hand(ANN, "subscribe")
    for number in range(60):
        world.standin.tag("master", ANN, f"hand-{number}")
    world.event("ann", ANN, tags=["hand-59", "vip"])
    world.flush()
    assert "vip" in tags(world)
    world.event("ann", ANN, tags=[])
    world.flush()
    assert {"hand-59", "vip"} <= tags(world)


def test_a_withdrawal_and_a_deletion_leave_the_tags(world: World) -> None:
    """Who is unsubscribed or archived gets no further call for its tags."""
    world.event("ann", ANN, tags=["vip"])
    world.event("bob", "bob@example.com", tags=["vip"])
    world.flush()
    world.event("ann", ANN, marketing_consent=False)
    world.deleted("bob", "bob@example.com")
    world.flush()
    assert (world.status(ANN), world.status("bob@example.com")) == ("unsubscribed", "archived")
    assert (tag_calls(world), tags(world), tags(world, "bob@example.com")) == ([], {"vip"}, {"vip"})
