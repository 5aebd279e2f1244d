"""Check is green only where a flush now would deliver everything of an account."""

import pytest

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.integration.flush.world import ACCOUNT, World
from worker.accounts import api_keys
from worker.sandbox.faults import Fault
from worker.status.account_facts import facts_of
from worker.status.check_accounts import check_account
from worker.status.checks import Finding, Level

OTHER_KEY = "fedcba9876543210fedcba9876543210-us1"


def checked(world: World) -> Finding:
    """What check finds of the account."""
    (facts,) = facts_of(world.db, world.clock())
    before = len(world.writes())
    found = check_account(world.app, world.db, facts)
    assert len(world.writes()) == before, "check only reads"
    return found


def members(world: World, many: int) -> None:
    """Customers that are members."""
    for number in range(many):
        world.event(f"c{number}", f"c{number}@example.com")
    world.run()


def test_an_account_that_would_be_delivered_is_ok(world: World):
    """`check` is green for an account that would be delivered, with or without waiting customers."""
    assert checked(world).level is Level.OK
    world.event("ann", "ann@example.com")
    found = checked(world)
    assert (found.level, "1 customer to deliver" in found.message) == (Level.OK, True)
    world.flush()
    assert checked(world).level is Level.OK


@pytest.mark.parametrize("flushed", [False, True], ids=["before its flush", "after its flush"])
def test_members_that_the_brake_holds_need_attention(world: World, flushed: bool):
    """Also before any flush has held them, since check plans one."""
    members(world, 30)
    for number in range(30):
        world.deleted(f"c{number}", f"c{number}@example.com")
    if flushed:
        world.flush()
    found = checked(world)
    assert (found.level, found.hinders) == (Level.ATTENTION, True)
    assert "30 members would leave" in found.text
    assert f"flush --account {ACCOUNT} --confirm" in found.text


def test_a_flush_of_nothing_but_errors_needs_attention(world: World):
    """Mailchimp answers again, and still nobody was delivered: the last flush is named."""
    members(world, 30)
    for number in range(30):
        world.event(f"c{number}", f"c{number}@example.com", first_name="Ann")
    world.standin.faults = [Fault("status", method="PATCH", status=500)]
    assert world.flush().failed
    world.standin.faults = []
    found = checked(world)
    assert (found.level, found.hinders) == (Level.ATTENTION, True)
    assert "settled 0 of 30" in found.message
    world.flush()
    assert checked(world).level is Level.OK


def test_mailchimp_that_does_not_answer_now_is_a_failure(world: World):
    """Check gives the reason and says what to do."""
    world.standin.faults = [Fault("status", status=503)]
    found = checked(world)
    assert (found.level, bool(found.advice)) == (Level.FAILED, True)


def test_the_key_of_another_mailchimp_user_is_a_failure(world: World):
    """`check` fails for an API key of another Mailchimp user, which sees none of the stored lists."""
    world.standin.add_key(OTHER_KEY, "somebody else")
    with_ = {"secret": world.app.secret, "open_sender": world.app.open_client, "at": world.clock()}
    api_keys.connect(world.db, CHANGELOG, ACCOUNT, OTHER_KEY, **with_)  # type: ignore[arg-type]
    found = checked(world)
    assert found.level is Level.FAILED
    assert "none of its stored lists in Mailchimp: Master (master), Other (other)" in found.message
    assert f"account connect {ACCOUNT}" in str(found.advice)


@pytest.mark.parametrize("refreshed", [False, True])
def test_a_list_that_is_gone_is_reported_with_what_to_do(world: World, refreshed: bool):
    """`check` reports a gone list with advice, whether a flush has noticed it before or not."""
    world.standin.delete_list("other")
    if refreshed:
        world.refresh()
    found = checked(world)
    assert found.level in (Level.FAILED, Level.ATTENTION)
    assert "Other (other)" in found.message
    assert f"lists store {ACCOUNT} LIST..." in str(found.advice)


@pytest.mark.parametrize("list_id", ["master", "other"])
def test_a_list_that_is_back_is_no_problem(world: World, list_id: str):
    """A flush now would find it again, so check is green though no flush has done so yet."""
    user = world.standin.users["owner"]
    away = user.lists.pop(list_id)
    world.daily()
    assert checked(world).level is not Level.OK
    user.lists[list_id] = away
    assert checked(world).level is Level.OK
    world.event("ann", "ann@example.com")
    assert checked(world).level is Level.OK


def test_an_account_that_is_switched_off_is_ok(world: World):
    """`check` is green for an account that was disabled on purpose."""
    world.event("ann", "ann@example.com")
    setters.disable(world.db, CHANGELOG, ACCOUNT)
    assert checked(world) == Finding(f"account {ACCOUNT}", Level.OK, "Disabled: nothing is due.", hinders=False)
