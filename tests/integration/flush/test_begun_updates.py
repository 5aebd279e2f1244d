"""Updates that a dead process had begun: their fields are sent or cleared again."""

from __future__ import annotations

import pytest

from tests.integration.flush.test_lost_answers import A, B
from tests.integration.flush.world import World
from worker.mailchimp.calls import Call

pytestmark = pytest.mark.world(connections=1)


class Death(BaseException):
    """Ends the process between an answer and its commit, as kill -9 does."""


def die_after_update(world: World) -> None:
    """Flushes until the first update was done, and dies before its answer is written."""

    def die(call: Call) -> None:
        if call.method == "PATCH":
            raise Death

    world.after_call(die)
    with pytest.raises(Death):
        world.flush()
    world.after_call(None)


def test_a_value_that_went_back_after_a_death_is_sent_again(world: World) -> None:
    """Mailchimp has the new name, the ledger the one before, and billmywork the one before again."""
    world.event("ann", A, first_name="Ann")
    world.flush()
    world.event("ann", A, first_name="Anna")
    die_after_update(world)
    assert world.fields(A)["FNAME"] == "Anna"
    world.event("ann", A, first_name="Ann")
    world.flush()
    assert world.fields(A)["FNAME"] == "Ann"
    assert not world.waits("ann")


def test_a_value_that_went_after_a_death_is_cleared(world: World) -> None:
    """The company was filled by the update whose answer nobody wrote; what somebody filled by hand stays."""
    world.event("ann", A, first_name="Ann")
    world.flush()
    world.standin.find_list("master").find(A).merge_fields["PHONE"] = "By hand"
    world.event("ann", A, first_name="Ann", company="Lee Ltd")
    die_after_update(world)
    world.event("ann", A, first_name="Ann")
    world.flush()
    assert world.fields(A) == {"FNAME": "Ann", "PHONE": "By hand"}


def test_updates_that_were_answered_before_a_death_are_known(world: World) -> None:
    """Only those without an answer are sent once more."""
    for who, email in (("ann", A), ("bob", B)):
        world.event(who, email, first_name=who)
    world.flush()
    for who, email in (("ann", A), ("bob", B)):
        world.event(who, email, first_name=who.title(), company="Lee Ltd")
    patched = list[str]()

    def die(call: Call) -> None:
        patched.extend([call.path] if call.method == "PATCH" else [])
        if len(patched) == 2:
            raise Death

    world.after_call(die)
    with pytest.raises(Death):
        world.flush()
    world.after_call(None)
    for who, email in (("ann", A), ("bob", B)):
        world.event(who, email, first_name=who)
    world.flush()
    assert [world.fields(one) for one in (A, B)] == [{"FNAME": "ann"}, {"FNAME": "bob"}]
    assert len(world.writes()) == 2
