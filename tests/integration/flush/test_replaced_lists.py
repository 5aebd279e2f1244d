"""A list that is replaced takes nobody's opt-out along: who left it is read before anybody moves off it."""

from collections import Counter
from dataclasses import replace

import pytest

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.integration.flush.test_plan_holds import dump, named
from tests.integration.flush.world import ACCOUNT, World
from worker.changelog.table_rows import apply, rows_of, with_departures_lost
from worker.model import ListId
from worker.sandbox.faults import Fault
from worker.sqlite.rows import account_rows

ANN, BOB = "ann@example.com", "bob@example.com"


def replace_list(world: World, *, deleted: bool) -> None:
    """The owner stores ``spare`` in place of ``other``, which may be deleted in Mailchimp."""
    if deleted:
        world.standin.delete_list("other")
    world.refresh()
    setters.store(world.db, CHANGELOG, ACCOUNT, [ListId("master"), ListId("spare")])
    if deleted:
        world.refresh()


@pytest.mark.parametrize("deleted", [True, False], ids=["deleted", "un-stored"])
@pytest.mark.parametrize("act", ["unsubscribe", "clean", "archive"])
def test_who_left_before_a_daily_flush_is_not_added_when_the_list_is_replaced(world: World, act: str, deleted: bool):
    """A departure that only a daily flush could see keeps its customer off the list that takes the place."""
    world.event("ann", ANN, list_id="other")
    world.event("bob", BOB, list_id="other")
    world.flush()
    world.by_hand(ANN, act, "other")
    world.daily()
    replace_list(world, deleted=deleted)
    world.flush()
    world.run(confirmed=True)
    assert world.status(ANN) is None
    assert world.status(BOB) == "subscribed"
    assert world.outcomes("ann")[-1] == "left"


def listed(world: World) -> list[tuple[str, str]]:
    """The list and status of each reading since the last flush began."""
    return [
        (one.path.split("/")[2], one.query.get("status", "all"))
        for one in world.calls()
        if "members.email_address" in one.query.get("fields", "")
    ]


def test_an_account_without_changes_is_read_every_day_and_by_no_command(world: World):
    """Two calls a stored list and day tell what its members are; a command reads the others only for newcomers."""
    world.event("ann", ANN)
    world.flush()
    assert listed(world) == [("other", status) for status in ("unsubscribed", "cleaned", "archived")]
    world.event("ann", ANN, first_name="Ann")
    world.flush()
    assert listed(world) == []
    world.by_hand(ANN, "unsubscribe")
    run = world.daily()
    assert listed(world) == [(one, status) for one in ("master", "other") for status in ("all", "archived")]
    assert len(world.calls()) == 4
    assert run.accounts == ()
    entry = world.entry(ANN)
    assert entry is not None
    assert entry.member_status == "unsubscribed"
    assert world.settings.list_of("master").departures_read_at is not None  # type: ignore[union-attr]
    world.run()
    assert len(world.calls()) == 4


def test_departures_that_were_read_before_the_ledger_was_lost_are_read_again(world: World):
    """Whichever flush comes first after the loss was accepted reads the lists from their beginning."""
    world.event("ann", ANN, list_id="master")
    world.flush()
    world.by_hand(ANN, "unsubscribe")
    world.daily()
    world.clock.forward(days=60)
    world.daily()
    with world.db.transaction():
        for table in ("ledger", "standing"):
            world.db.execute(f"DELETE FROM {table}")
        (settings,) = rows_of(world.db, account_rows(ACCOUNT))
        lost = with_departures_lost(settings)
        assert lost is not None
        apply(world.db, [lost])
    world.event("ann", ANN, list_id="other")
    world.flush()
    assert world.status(ANN, "other") is None
    assert world.outcomes("ann")[-1] == "left"
    assert not any(one.departures_lost for one in world.settings.lists)
    world.event("bob", BOB, list_id="other")
    world.flush()
    assert [one for one, _ in listed(world)] == ["master"] * 3


def test_a_list_that_is_not_stored_any_more_is_read_before_its_customers_move(world: World):
    """A newcomer whose address left that list is not put on the one that takes its place either."""
    world.event("bob", BOB, list_id="other")
    world.flush()
    world.by_hand(ANN, "subscribe", "other")
    world.by_hand(ANN, "unsubscribe", "other")
    replace_list(world, deleted=False)
    world.event("ann", ANN, list_id="spare")
    world.flush()
    assert Counter(one for one, _ in listed(world)) == dict.fromkeys(("master", "spare", "other"), 3)
    assert (world.status(ANN, "spare"), world.status(ANN)) == (None, None)
    assert world.outcomes("ann")[-1] == "left"
    assert world.status(BOB) == "subscribed"


def test_a_list_that_turns_out_to_be_gone_lets_nobody_go_on_before_an_operator_confirms(world: World):
    """Its customers do not count as departed one by one; the notice says how many they are and since when."""
    world.event("ann", ANN, list_id="other")
    world.event("bob", BOB, list_id="other")
    world.flush()
    world.daily()
    read_at = world.settings.list_of("other").departures_read_at  # type: ignore[union-attr]
    assert read_at is not None
    replace_list(world, deleted=False)
    world.standin.delete_list("other")
    part = world.flush()
    message = part.message or ""
    assert "2 customers would move off list Other (other), which cannot be read any more" in message
    assert f"does not know who left it since {read_at:%Y-%m-%dT%H:%M:%S}" in message
    assert (world.outcomes("ann")[-1], world.outcomes("bob")[-1]) == ("held", "held")
    assert world.members() == {}
    world.flush(confirmed=True)
    assert world.members() == {ANN: "subscribed", BOB: "subscribed"}


def test_the_time_of_the_last_reading_outlives_a_list_that_is_gone_and_not_stored(world: World):
    """Refreshing twice forgets neither the list nor since when nothing is known of it."""
    world.event("ann", ANN, list_id="other")
    world.flush()
    world.daily()
    replace_list(world, deleted=True)
    world.refresh()
    gone = world.settings.list_of("other")
    assert gone is not None
    assert (gone.stored, gone.gone, gone.departures_read_at is not None) == (False, True, True)
    assert "does not know who left it since 2026-" in (world.flush().message or "")


def test_a_list_that_was_never_read_is_reported_as_such(world: World):
    """Without any reading the notice says that nothing is known at all."""
    world.event("ann", ANN, list_id="other")
    world.flush()
    replace_list(world, deleted=True)
    assert "Who left it was never read." in (world.flush().message or "")


def test_nobody_moves_off_a_list_that_cannot_be_read_now(world: World):
    """While Mailchimp says later, its customers wait, other members are updated, and the notice says why."""
    world.event("ann", ANN, list_id="other")
    world.event("bob", BOB)
    world.flush()
    world.by_hand(ANN, "unsubscribe", "other")
    replace_list(world, deleted=False)
    world.event("bob", BOB, first_name="Bob")
    world.standin.faults.append(Fault("bare", path="/lists/other/members$", status=503))
    part = world.flush()
    assert "Who left list other could not be read: HTTP 503." in (part.message or "")
    assert part.ended == "failed"
    assert (world.outcomes("ann")[-1], world.waits("ann")) == ("held", True)
    assert world.fields(BOB)["FNAME"] == "Bob"
    world.standin.faults.clear()
    world.flush()
    assert world.status(ANN) is None
    assert (world.outcomes("ann")[-1], world.waits("ann")) == ("left", False)


def test_a_daily_reading_that_cannot_be_done_keeps_nobody_waiting(world: World):
    """What does not move is delivered, and the notice tells which list is read again."""
    world.event("ann", ANN)
    world.standin.faults.append(Fault("bare", path="/lists/master/members$", method="GET", status=503, times=1))
    (part,) = world.daily().accounts
    assert world.status(ANN) == "subscribed"
    assert (part.ended, "Who left list master could not be read" in (part.message or "")) == ("done", True)


def test_the_lists_after_one_that_cannot_be_read_are_read_all_the_same(world: World):
    """Only after a second failure the rest is not tried, and the notice says so."""
    world.refresh()
    setters.store(world.db, CHANGELOG, ACCOUNT, [ListId("master"), ListId("other"), ListId("spare")])
    world.standin.faults.append(Fault("bare", path="/lists/master/members$", method="GET", status=503))
    (part,) = world.daily().accounts
    assert {list_id for list_id, _ in listed(world)} == {"master", "other", "spare"}
    world.standin.faults.append(Fault("bare", path="/lists/other/members$", method="GET", status=503))
    (part,) = world.daily().accounts
    assert {list_id for list_id, _ in listed(world)} == {"master", "other"}
    assert "list spare could not be read: not tried after master and other" in (part.message or "")


LEFT = {"unsubscribe": ANN, "archive": BOB, "clean": "dan@example.com"}


@pytest.mark.parametrize("first", [False, True], ids=["a later day", "the first day"])
@pytest.mark.parametrize(
    "fault",
    [
        Fault("bare", status=500),
        Fault("bare", status=404),
        Fault("page"),
        Fault("status", status=429),
        Fault("timeout_before"),
    ],
    ids=["500", "foreign 404", "foreign 200", "429", "no answer"],
)
def test_nobody_is_added_while_it_is_unknown_who_left_a_list(world: World, fault: Fault, first: bool):
    """Newcomers wait for the list, members are updated, and the account is tried again; then who left stays off."""
    world.event("eva", "eva@example.com")
    if not first:
        world.daily()
    for act, email in LEFT.items():
        world.by_hand(email, "subscribe", "other")
        world.by_hand(email, act, "other")
        world.event(act, email)
    world.event("new", "new@example.com")
    world.event("eva", "eva@example.com", first_name="Eva")
    world.standin.faults.append(replace(fault, path="/lists/other/members$", method="GET"))
    (part,) = world.daily().accounts
    assert set(world.members()) == (set() if first else {"eva@example.com"})
    assert first or world.fields("eva@example.com")["FNAME"] == "Eva"
    assert (world.outcomes("new"), world.waits("new")) == (["held"], True)
    assert part.ended == "failed"
    assert "who left the list other could not be read" in world.receipts("new")[-1].detail
    world.standin.faults.clear()
    world.daily()
    assert set(world.members()) == {"eva@example.com", "new@example.com"}
    assert all(world.outcomes(act)[-1] == "left" for act in LEFT)


def test_what_this_worker_archived_itself_is_no_departure(world: World):
    """There and back again with a reading in between restores the member; archived by hand since, it stays off."""
    world.event("ann", ANN, list_id="other")
    world.event("bob", BOB, list_id="other")
    world.flush()
    world.event("ann", ANN)
    world.event("bob", BOB)
    world.flush()
    world.by_hand(BOB, "subscribe", "other")
    world.by_hand(BOB, "archive", "other")
    world.daily()
    world.event("ann", ANN, list_id="other")
    world.event("bob", BOB, list_id="other")
    world.flush()
    assert (world.status(ANN, "other"), world.status(BOB, "other")) == ("subscribed", "archived")


def test_a_plan_names_the_readings_and_what_hangs_on_them(world: World):
    """The calls of a plan are those of the flush, for a newcomer who left the list too; nothing is written."""
    world.event("bob", BOB, list_id="other")
    world.flush()
    world.by_hand(ANN, "subscribe", "other")
    world.by_hand(ANN, "archive", "other")
    replace_list(world, deleted=False)
    world.event("ann", ANN)
    before = dump(world)
    planned = {named(one.call) for one in world.plan().calls()}
    assert dump(world) == before
    world.flush()
    assert [one for one in map(named, world.calls()) if one not in planned] == []
    assert Counter(one for one, _ in listed(world)) == {"spare": 3, "other": 3}


def test_a_plan_tells_that_a_list_is_gone(world: World):
    """Where the reading finds the list gone, the plan holds its customers as the flush does."""
    world.event("bob", BOB, list_id="other")
    world.flush()
    replace_list(world, deleted=False)
    world.standin.delete_list("other")
    plan = world.plan()
    assert any("1 customer would move off list Other (other)" in one for one in plan.notices)
    assert plan.settings.list_of("other").gone  # type: ignore[union-attr]
