"""A person who left joins again by the list's form: whom that departure kept out is looked at again by itself."""

import pytest

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.integration.flush.world import ACCOUNT, World
from worker.model import CustomerId
from worker.plan.outcomes import ONLY_THE_PERSON
from worker.store import customer_outcomes

A, B, C = (f"{one}@example.com" for one in "abc")
WAITING = ("moved", "sharer", "newcomer")


def published(world: World, customer: str) -> tuple[str | None, str, str, str]:
    """Returns list, member status, outcome and next of what was published last about a customer."""
    outcome = customer_outcomes.find(world.db, ACCOUNT, CustomerId(customer))
    assert outcome is not None
    return outcome.list_id, outcome.member_status, outcome.outcome, outcome.next


def kept_out(world: World, *, owner: bool = False) -> None:
    """Keeps out a customer with a new address, one who has the old one on another list, and one who has the new one.

    Args:
        owner: whether another customer keeps the old address.
    """
    world.event("moved", A)
    if owner:
        world.event("owner", A)
    world.flush()
    world.by_hand(A, "unsubscribe")
    world.event("moved", B)
    world.event("sharer", A, list_id="other")
    world.event("newcomer", B, list_id="other")
    world.daily()
    assert {world.outcomes(customer)[-1] for customer in WAITING} == {"left"}
    assert (world.status(A), world.status(B), world.members("other")) == ("unsubscribed", None, {})


def test_whom_a_departure_kept_out_is_delivered_when_the_person_joins_again(world: World):
    """The daily flush that reads the return delivers them, and publishes them for the lists where they belong."""
    kept_out(world)
    world.by_hand(A, "subscribe")
    part = world.daily().accounts[0]
    assert (world.status(B), world.members("other")) == ("subscribed", {A: "subscribed", B: "subscribed"})
    assert (part.to_do, part.settled) == (3, 3)
    for customer, list_id in zip(WAITING, ("master", "other", "other"), strict=True):
        assert not world.waits(customer)
        assert published(world, customer)[:2] == (list_id, "subscribed")
    world.daily()
    assert world.writes() == []


def test_a_return_that_a_step_reads_counts_too(world: World):
    """The answer to another customer's update shows that the person is back; the same flush delivers the others."""
    kept_out(world, owner=True)
    world.by_hand(A, "subscribe")
    world.event("owner", A, first_name="Ann")
    world.flush()
    assert (world.status(B), world.members("other")) == ("subscribed", {A: "subscribed", B: "subscribed"})
    assert not any(world.waits(customer) for customer in WAITING)


def test_a_return_that_is_only_read_is_published_with_what_happens_next(world: World):
    """After read-back alone, the customers wait for the next flush, and their outcomes say so."""
    kept_out(world)
    world.by_hand(A, "subscribe")
    world.read_back()
    assert all(world.waits(customer) for customer in WAITING)
    assert {published(world, customer)[3] for customer in ("moved", "sharer")} == {"Checked again by the next flush."}
    world.flush()
    assert (world.status(B), world.members("other")) == ("subscribed", {A: "subscribed", B: "subscribed"})


def test_who_is_where_it_belongs_is_not_looked_at_again(world: World):
    """The return of a customer's own member is published, and nothing needs a call or a receipt."""
    world.event("ann", A)
    world.flush()
    world.by_hand(A, "unsubscribe")
    world.daily()
    world.by_hand(A, "subscribe")
    before = world.outcomes("ann")
    world.daily()
    assert (world.outcomes("ann"), world.waits("ann")) == (before, False)
    assert published(world, "ann") == ("master", "subscribed", "found", "Nothing until the customer changes.")


def test_a_plan_shows_whom_a_return_lets_in(world: World):
    """A plan that reads a return before somebody moves off the list shows the calls for those who waited for it."""
    world.event("ann", C)
    world.flush()
    kept_out(world)
    world.by_hand(A, "subscribe")
    world.event("ann", C, list_id="other")
    planned = {customer for call in world.plan().calls() if not call.call.reads_only for customer in call.customers}
    assert planned >= {*WAITING, "ann"}
    world.flush()
    assert {world.outcomes(customer)[-1] for customer in WAITING} <= {"moved", "added", "renamed", "left alone"}


@pytest.mark.parametrize(("double", "before", "act"), [(False, "unsubscribe", "subscribe"), (True, None, "confirm")])
def test_who_joins_between_the_read_and_the_call_that_takes_her_off_can_join_again(
    world: World, double: bool, before: str | None, act: str
):
    """Mailchimp has no conditional writes; its time of the opt-in shows it, and the receipt says so."""
    setters.enable(world.db, CHANGELOG, ACCOUNT, status_if_new="pending" if double else "subscribed")
    world.event("ann", A)
    world.flush()
    if before is not None:
        world.by_hand(A, before)
    world.deleted("ann", A)
    world.before_call(lambda call: world.by_hand(A, act) if call.method in ("DELETE", "PATCH") else None)
    world.flush()
    world.before_call(None)
    assert world.status(A) in ("archived", "unsubscribed")
    receipt = world.receipts("ann")[-1]
    assert "joined between" in receipt.detail
    assert receipt.next == ONLY_THE_PERSON
