"""Calls that were not made or whose answer said nothing: they are made again, and receipts tell what was sent."""

from pathlib import Path

import pytest

from tests.integration.flush.world import World
from worker.mailchimp.calls import Call
from worker.sandbox.faults import Fault

pytestmark = pytest.mark.world(connections=1)
A, B = "a@example.com", "b@example.com"


def shared_on_other(world: World) -> None:
    """Ann and Bob share a member of the list other, which has Bob's newer name."""
    world.event("ann", A, list_id="other", first_name="Ann")
    world.event("bob", A, list_id="other", first_name="Bob")
    world.flush()
    assert world.fields(A, "other")["FNAME"] == "Bob"


def test_a_name_that_a_sharer_gets_back_is_sent_again_after_a_failure(world: World):
    """Bob moves to another list: Ann, who did not change, gets her name, by the next flush if need be."""
    shared_on_other(world)
    world.event("bob", A, list_id="master", first_name="Bob")
    world.standin.faults = [Fault("status", method="PATCH", path="/lists/other/")]
    world.flush()
    world.standin.faults = []
    assert world.status(A) == "subscribed"
    assert world.waits("ann")
    world.flush()
    assert world.fields(A, "other")["FNAME"] == "Ann"
    assert not world.waits("ann")


def test_a_name_that_a_sharer_gets_back_is_sent_after_a_flush_that_was_stopped(world: World):
    """The flush ends between Bob's move and Ann's name, which was not sent: the next one sends it."""
    shared_on_other(world)
    world.event("bob", A, list_id="master", first_name="Bob")

    def stop(call: Call) -> None:
        if call.method == "PATCH" and call.path.startswith("/lists/other/"):
            world.stop.set()

    world.before_call(stop)
    world.standin.faults = [Fault("timeout_before", method="PATCH", path="/lists/other/")]
    world.flush()
    world.before_call(None)
    world.standin.faults = []
    world.stop.clear()
    assert world.fields(A, "other")["FNAME"] == "Bob"
    world.flush()
    assert world.fields(A, "other")["FNAME"] == "Ann"


def test_a_receipt_tells_of_a_write_though_the_next_try_ended_at_its_read(tmp_path: Path):
    """If a move's PUT gets an unreadable answer and the next try's read fails, the receipts show both."""
    with World(tmp_path, direct=True, connections=1, patience=2) as world:
        world.event("ann", A, list_id="other")
        world.flush()
        world.event("ann", B, list_id="master")
        world.standin.faults = [Fault("garbled", method="PUT", times=1)]

        def lose_the_reads(call: Call) -> None:
            if call.method == "PUT":
                world.standin.faults.append(Fault("bare", method="GET", status=503))

        world.before_call(lose_the_reads)
        world.flush()
        told = [(one.list_id, one.address, (one.call or "")[:3], one.detail[:23]) for one in world.receipts("ann")[1:]]
        assert ("master", B, "PUT", "Sent, but the result is") in told
        assert any(call == "GET" and detail.startswith("Not done") for _, _, call, detail in told)


@pytest.mark.parametrize(("status", "last"), [(503, "later"), (401, "account stopped")])
def test_a_receipt_of_a_post_does_not_say_that_it_was_not_done_where_the_next_try_ended_at_its_read(
    tmp_path: Path, status: int, last: str
):
    """The POST of several was done and its answer lost; what became of the read after it says nothing of it."""
    with World(tmp_path, direct=True, connections=1, patience=2) as world:
        world.event("ann", A)
        world.event("bob", B)
        world.standin.faults = [Fault("timeout_after", method="POST", times=1)]

        def lose_the_reads(call: Call) -> None:
            if call.method == "POST":
                title = "API Key Invalid"
                world.standin.faults.append(Fault("status", method="GET", status=status, title=title))

        world.before_call(lose_the_reads)
        world.flush()
        for customer in ("ann", "bob"):
            told = world.receipts(customer)
            assert (told[0].call or "").startswith("POST")
            assert told[0].detail.startswith("Sent, but the result is not known")
            assert told[-1].outcome == last
            assert not any("Not done" in one.detail for one in told)


def test_a_receipt_of_a_write_without_an_answer_does_not_say_that_it_was_not_done(world: World):
    """If no answer came, the receipt says that the result is unknown."""
    world.event("ann", A)
    world.flush()
    world.event("ann", A, first_name="Ann")
    world.standin.faults = [Fault("timeout_after", method="PATCH", times=1)]
    world.flush()
    assert world.receipts("ann")[-1].detail == "Sent, but the result is not known: no answer in time."


def test_who_took_over_an_address_is_known_by_it_though_the_answer_to_its_first_update_was_lost(world: World):
    """The member may carry its name by then: if that person leaves, the customer is added nowhere else."""
    world.event("ann", A, first_name="Ann")
    world.event("bob", B, first_name="Bob")
    world.flush()
    world.event("ann", "ann@new.example")
    world.event("bob", A, first_name="Bob")
    world.standin.faults = [Fault("timeout_after", method="PATCH", path="/lists/master/")]
    world.flush()
    world.standin.faults = []
    world.by_hand(A, "unsubscribe")
    world.event("bob", "c@example.com", list_id="other", first_name="Bob")
    world.daily()
    assert world.members("other") == {}
    assert world.outcomes("bob")[-1] == "left"


def test_who_left_and_filled_in_a_form_stays_out_though_another_customer_gets_her_address(world: World):
    """An update of her member for that customer, whose answer is lost, does not make her departure his."""
    world.standin.find_list("master").insert(A, "subscribed", {"FNAME": "Eve"}, "by hand")
    world.event("ann", A, first_name="Ann")
    world.flush()
    world.event("ann", "ann@new.example", first_name="Ann")
    world.flush()
    world.by_hand(A, "unsubscribe")
    world.daily()
    world.by_hand(A, "sign up")
    world.daily()
    world.event("bob", A, first_name="Bob")
    world.standin.faults = [Fault("timeout_before", method="PATCH", path="/lists/master/")]
    world.flush()
    world.standin.faults = []
    world.flush()
    world.event("ann", "ann@new.example", list_id="other", first_name="Ann")
    world.daily()
    assert "ann@new.example" not in world.members("other")


def test_who_was_known_by_an_address_is_so_though_an_update_for_its_new_customer_is_refused(world: World):
    """The member has her names still: if she leaves, she is added nowhere, and the other customer is."""
    world.event("ann", A, first_name="Ann")
    world.event("bob", B, first_name="Bob")
    world.flush()
    world.event("ann", "ann@new.example", first_name="Ann")
    world.event("bob", A, first_name="Bob")
    world.standin.faults = [
        Fault("status", method="PATCH", path="/lists/master/", status=400, title="Invalid Resource"),
    ]
    world.flush()
    world.standin.faults = []
    world.by_hand(A, "unsubscribe")
    world.event("ann", "ann@new.example", list_id="other", first_name="Ann")
    world.event("bob", "bob@new.example", list_id="other", first_name="Bob")
    world.daily()
    assert world.members("other") == {"bob@new.example": "subscribed"}
