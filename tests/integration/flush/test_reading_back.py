"""What people and owners do in Mailchimp is read back before each daily flush, whatever the members' status."""

import pytest

from tests.integration.flush.world import ACCOUNT, World
from worker.mailchimp.calls import Call, member_hash
from worker.model import AddressKey, CustomerId
from worker.sandbox.faults import Fault
from worker.store import customer_outcomes, readings, runs, totals
from worker.store.customer_outcomes import CustomerOutcome

ANN, BOB, NEW = "ann@example.com", "bob@example.com", "new@example.com"


def told(world: World, customer: str) -> CustomerOutcome:
    """The outcome that was published last for a customer."""
    found = customer_outcomes.find(world.db, ACCOUNT, CustomerId(customer))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("acts", "status", "caused_by"),
    [
        (["unsubscribe"], "unsubscribed", "person"),
        (["unsubscribe", "subscribe"], "subscribed", "person"),
        (["clean"], "cleaned", "mailchimp"),
        (["archive"], "archived", "mailchimp"),
    ],
)
def test_each_status_is_known_without_a_change_of_the_customer(
    world: World, acts: list[str], status: str, caused_by: str
):
    """The ledger has it after the daily flush, and the outcome says since when and by whom."""
    world.event("ann", ANN)
    world.flush()
    for act in acts:
        world.by_hand(ANN, act)
        changed = world.standin.find_list("master").find(ANN)
        assert changed is not None
        at = changed.last_changed
        world.daily()
    entry, outcome = world.entry(ANN), told(world, "ann")
    assert entry is not None
    assert (entry.member_status, outcome.member_status, outcome.caused_by) == (status, status, caused_by)
    assert outcome.since[:19] == at.isoformat()[:19]
    assert world.writes() == []


def test_who_confirms_is_subscribed_by_this_workers_add(world: World):
    """A pending member that confirmed stays one that this worker added."""
    with world.db.transaction():
        world.db.execute("UPDATE account SET status_if_new = 'pending'")
    world.event("ann", ANN)
    world.flush()
    assert told(world, "ann").member_status == "pending"
    world.by_hand(ANN, "confirm")
    world.daily()
    entry, outcome = world.entry(ANN), told(world, "ann")
    assert entry is not None
    assert (entry.member_status, entry.origin) == ("subscribed", "added")
    assert (outcome.member_status, outcome.reason) == ("subscribed", "The person confirmed, and is subscribed.")


def test_an_address_that_the_person_changed_is_known(world: World):
    """Its contact id identifies the member; its status is still read under the new address; nobody is added."""
    world.event("ann", ANN)
    world.flush()
    world.daily()
    world.by_hand(ANN, "rename", value=NEW)
    world.daily()
    entry, outcome = world.entry(ANN), told(world, "ann")
    assert entry is not None
    assert (entry.state, entry.address_now, outcome.member_status) == ("gone", NEW, "subscribed")
    assert outcome.reason == "The person changed the address of the member in Mailchimp."
    assert "@" not in outcome.as_text()
    world.by_hand(NEW, "unsubscribe")
    world.daily()
    assert told(world, "ann").member_status == "unsubscribed"
    world.event("ann", ANN, first_name="Ann")
    world.daily()
    assert world.members() == {NEW: "unsubscribed"}
    assert told(world, "ann").member_status == "unsubscribed"


def test_a_deleted_customer_gets_no_outcome_by_a_reading(world: World):
    """Who joins again after billmywork deleted the customer is nobody of whom billmywork wants to know."""
    world.event("ann", ANN)
    world.flush()
    world.deleted("ann", ANN)
    world.flush()
    world.by_hand(ANN, "subscribe")
    world.daily()
    world.by_hand(ANN, "unsubscribe")
    world.daily()
    assert customer_outcomes.find(world.db, ACCOUNT, CustomerId("ann")) is None


def test_members_that_nobody_knows_are_counted(world: World):
    """Members of no customer are only counted; neither address nor status is stored."""
    world.by_hand(BOB, "subscribe")
    world.by_hand(NEW, "subscribe", "other")
    world.by_hand(NEW, "unsubscribe", "other")
    world.daily()
    found = {one.list_id: (one.members, one.unknown, one.ended) for one in readings.of_members(world.db)}
    assert found == {"master": (1, 1, True), "other": (1, 1, True)}
    assert world.db.execute("SELECT count(*) FROM ledger").fetchone()[0] == 0


@pytest.mark.parametrize("act", ["unsubscribe", "archive"])
def test_who_left_is_planned_as_left_without_another_read(world: World, act: str):
    """The list's reading of a moment ago tells it; only the reading itself and the lists' fields are read."""
    world.event("ann", ANN, list_id="other")
    world.event("bob", BOB, list_id="other")
    world.flush()
    world.by_hand(ANN, act, "other")
    world.event("ann", ANN, list_id="master")
    world.event("bob", BOB, list_id="master")
    plan = world.plan()
    assert not any(one.address == ANN for one in plan.calls())
    assert plan.summary.counts["master", "not sent"] == 1
    world.daily()
    assert world.status(ANN) is None
    assert world.outcomes("ann")[-1] == "left"
    assert world.status(BOB) == "subscribed"
    (receipt,) = [one for one in world.receipts("ann") if one.outcome == "left"]
    assert receipt.call is None
    assert not any(one.path.endswith(member_hash(AddressKey(ANN))) for one in world.calls())


def test_a_read_just_before_a_call_that_could_put_somebody_back_stays(world: World):
    """Who left after the reading of that moment is found out by it."""
    world.event("ann", ANN, list_id="other")
    world.flush()
    world.event("ann", ANN, list_id="master")
    left = []

    def leaves(call: object) -> None:
        if "/members/" in str(call) and not left:
            left.append(1)
            world.standin.by_hand("other", ANN, "unsubscribe")

    world.before_call(leaves)
    world.daily()
    assert world.status(ANN) is None
    assert world.outcomes("ann")[-1] == "left"


def test_a_command_reads_and_delivers_nothing(world: World, caplog: pytest.LogCaptureFixture):
    """Only members are read; what waits goes on waiting, no flush counts as done, and the log names none."""
    world.event("ann", ANN)
    world.flush()
    world.by_hand(ANN, "unsubscribe")
    world.event("bob", BOB)
    caplog.clear()
    with caplog.at_level("INFO"):
        run = world.read_back()
    assert (run.ended, run.accounts, run.trigger) == ("done", (), "read back")
    assert "a read-back begins" in caplog.messages
    assert "a flush begins" not in caplog.messages
    assert [call.query.get("status") for call in world.calls()] == [None, "archived"] * 2
    assert told(world, "ann").member_status == "unsubscribed"
    assert world.waits("bob")
    assert totals.last_flushes(world.db)[0] != run.ended_at


def test_a_reading_that_fails_is_reported_and_leads_to_no_flush(world: World):
    """A failed reading is reported, and the account is not retried, because a retry would deliver."""
    world.event("bob", BOB)
    world.standin.faults = [Fault("bare", status=503)]
    run = world.read_back()
    (part,) = run.accounts
    assert (run.ended, part.to_do) == ("failed", 0)
    assert part.message is not None
    assert "could not be read" in part.message
    assert runs.failed_accounts(world.db) == []


def test_who_shares_a_member_is_told_what_another_customers_step_did(world: World):
    """Both have the address; one withdraws consent, and the other one's record says that the member is unsubscribed."""
    world.event("ann", ANN)
    world.event("bob", ANN)
    world.flush()
    world.event("bob", ANN, marketing_consent=False)
    world.flush()
    assert world.status(ANN) == "unsubscribed"
    outcome = told(world, "ann")
    assert (outcome.member_status, outcome.caused_by) == ("unsubscribed", "billmywork")
    assert (outcome.event_id, outcome.version) == ("ann-1", 1)


def test_who_shares_a_member_is_told_what_another_customers_read_found(world: World):
    """A departure that a step reads on its way is of everybody who is known there."""
    world.event("ann", ANN)
    world.event("bob", ANN)
    world.flush()
    world.event("bob", ANN, list_id="other")
    left = []

    def leaves(call: Call) -> None:
        if "/members/" in call.path and not left:
            left.append(1)
            world.standin.by_hand("master", ANN, "unsubscribe")

    world.before_call(leaves)
    world.daily()
    assert told(world, "ann").member_status == "unsubscribed"
    assert told(world, "bob").member_status == "unsubscribed"
