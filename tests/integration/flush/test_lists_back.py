"""A list that was gone for a while and comes back: nobody who left it meanwhile is added elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.integration.flush.test_plan_holds import dump, named
from tests.integration.flush.world import ACCOUNT, KEY, World
from worker.accounts import api_keys, settings
from worker.flush import account_flush
from worker.mailchimp import calls
from worker.model import ListId
from worker.plan.related_customers import chunks
from worker.sandbox.faults import Fault
from worker.store import marking

ANN, BOB, EVE = "ann@example.com", "bob@example.com", "eve@example.com"
WRONG_KEY = "fedcba9876543210fedcba9876543210-us1"
LOOK = calls.read_list(ListId("other"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Ann and Bob are on ``other``, Eve on the master list; calls go straight to the stand-in."""
    with World(tmp_path, direct=True) as made:
        made.event("ann", ANN, list_id="other")
        made.event("bob", BOB, list_id="other")
        made.event("eve", EVE)
        made.daily()
        yield made


@contextmanager
def gone(world: World, *list_ids: str) -> Iterator[None]:
    """Mailchimp does not have some lists for a while."""
    user = world.standin.users["owner"]
    away = {list_id: user.lists.pop(list_id) for list_id in list_ids}
    yield
    user.lists.update(away)


def in_one_flush(world: World, *list_ids: str) -> None:
    """A flush finds lists gone that are back after it."""
    with gone(world, *list_ids):
        world.event("bob", BOB, list_id="other", first_name="Bob")
        world.daily()
    assert all(world.settings.list_of(list_id).gone for list_id in list_ids)  # type: ignore[union-attr]


def confirm(world: World) -> None:
    """The operator confirms what the last flush held."""
    world.run(confirmed=True)


def un_store(world: World) -> None:
    """The owner un-stores the list; then the operator confirms."""
    setters.store(world.db, CHANGELOG, ACCOUNT, [ListId("master")])
    world.run()
    world.run(confirmed=True)


@pytest.mark.parametrize("act", ["unsubscribe", "clean", "archive"])
@pytest.mark.parametrize("operator", [confirm, un_store])
def test_who_left_a_list_that_is_back_is_added_to_no_other(world: World, operator: Callable[[World], None], act: str):
    """The flush reads who left it before anybody moves off it, whatever the operator does."""
    in_one_flush(world, "other")
    world.by_hand(ANN, act, "other")
    world.event("ann", ANN)
    operator(world)
    operator(world)
    assert world.status(ANN) is None
    assert world.outcomes("ann")[-1] == "left"


@pytest.mark.parametrize("flush", [World.daily, World.flush, World.read_back])
def test_a_list_that_is_back_is_gone_no_more(world: World, flush: Callable[[World], object]):
    """One call shows that it is back, and its customers are delivered again."""
    in_one_flush(world, "other")
    flush(world)
    assert world.calls().count(LOOK) == 1
    assert not world.settings.list_of("other").gone  # type: ignore[union-attr]
    world.run()
    assert world.fields(BOB, "other")["FNAME"] == "Bob"
    assert not world.waits("bob")


def test_newcomers_of_a_list_that_is_back_move_to_it(world: World):
    """Who went to the master list instead is put on the own list, though nothing of the customer changed."""
    with gone(world, "other"):
        world.event("new", "new@example.com", list_id="other")
        world.daily()
    assert world.status("new@example.com") == "subscribed"
    world.flush()
    assert (world.status("new@example.com"), world.status("new@example.com", "other")) == ("archived", "subscribed")


@pytest.mark.parametrize("chunk", [1, 3, 4000])
def test_all_customers_are_compared_again_in_the_flush_that_finds_a_list(
    world: World, monkeypatch: pytest.MonkeyPatch, chunk: int
):
    """However many there are: those beyond the first ones are marked before anything is planned; so the plan shows."""
    new = [f"new{number}@example.com" for number in range(7)]
    monkeypatch.setattr(marking, "MARKED_AT_ONCE", 2)
    monkeypatch.setattr(account_flush, "CHUNK", chunk)
    monkeypatch.setattr(account_flush, "chunks", partial(chunks, size=chunk))
    with gone(world, "other"):
        for number, email in enumerate(new):
            world.event(f"new{number}", email, list_id="other")
        world.daily()
    assert [world.status(email) for email in new] == ["subscribed"] * len(new)
    plan = world.plan()
    planned = {named(planned.call) for planned in plan.calls()}
    world.flush()
    assert [world.status(email, "other") for email in new] == ["subscribed"] * len(new)
    assert [world.status(email) for email in new] == ["archived"] * len(new)
    assert [call for call in map(named, world.calls()) if call not in planned] == []


def test_consent_withdrawn_while_a_list_was_gone_is_heeded_once_it_is_back(world: World):
    """The member is unsubscribed there by the flush that finds the list."""
    with gone(world, "other"):
        world.daily()
        world.event("ann", ANN, list_id="other", marketing_consent=False)
        world.daily()
    world.daily()
    assert world.status(ANN, "other") == "unsubscribed"


def test_a_list_that_stays_gone_is_looked_for_by_each_flush(world: World):
    """Two answers say so, its customers wait, and only these calls are added."""
    in_one_flush(world, "other")
    with gone(world, "other"):
        world.event("bob", BOB)
        message = world.flush().message or ""
        assert world.calls().count(LOOK) == 2
        assert "1 customer would move off list Other (other), which cannot be read any more" in message
        confirm(world)
        assert world.status(BOB) == "subscribed"


@pytest.mark.parametrize("status", [503, 404])
def test_nobody_moves_off_a_gone_list_while_no_answer_tells_whether_it_is_back(world: World, status: int):
    """Neither an outage nor a 404 of somebody else than Mailchimp counts, even if the operator confirmed."""
    in_one_flush(world, "other")
    with gone(world, "other"):
        world.event("bob", BOB)
        world.flush()
    world.by_hand(BOB, "unsubscribe", "other")
    world.standin.faults.append(Fault("bare", path="/lists/other$", status=status))
    message = world.flush(confirmed=True).message or ""
    assert "Who left list other could not be read" in message
    assert "cannot be read any more" not in message
    assert world.status(BOB) is None
    world.standin.faults.clear()
    confirm(world)
    assert world.status(BOB) is None
    assert world.outcomes("bob")[-1] == "left"


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", path="/lists/other/merge-fields", status=404, times=1),
        Fault("status", method="GET", path="/lists/other/members$", status=404, times=1),
        Fault("status", method="POST", path="/lists/other$", status=404, times=1),
        Fault("status", method="GET", path="/lists/other$", status=404, times=1),
    ],
    ids=["fields", "members", "add", "list"],
)
def test_a_single_404_does_not_make_a_list_gone(world: World, fault: Fault):
    """Whichever call it answers, Mailchimp must say so twice, a moment apart."""
    world.event("new", "new@example.com", list_id="other")
    world.event("bob", BOB, list_id="other", first_name="Bob")
    world.by_hand(ANN, "forget", "other")
    world.event("ann", ANN, list_id="other", first_name="Ann")
    world.standin.faults.append(replace(fault))
    world.daily()
    assert not world.settings.list_of("other").gone  # type: ignore[union-attr]
    assert world.outcomes("bob")[-1] == "updated"
    assert world.outcomes("ann")[-1] == "gone"
    world.daily()
    assert world.status("new@example.com", "other") == "subscribed"


def test_a_single_404_does_not_keep_a_list_gone(world: World):
    """Mailchimp must say so twice, a moment apart."""
    in_one_flush(world, "other")
    world.standin.faults.append(Fault("status", path="/lists/other$", status=404, times=1))
    world.daily()
    assert not world.settings.list_of("other").gone  # type: ignore[union-attr]


def test_a_flush_with_nothing_to_deliver_that_finds_a_list_gone_went_through(world: World):
    """It counts as done: nothing of it was left."""
    with gone(world, "other"):
        (part,) = world.daily().accounts
    assert (part.ended, part.to_do) == ("done", 0)


@pytest.mark.parametrize("flush", [World.daily, World.flush])
def test_a_master_list_that_is_back_ends_the_hold(world: World, flush: Callable[[World], object]):
    """The account is delivered by the first flush after that."""
    in_one_flush(world, "master", "other")
    assert settings.missing(world.settings)[0].code == "master_list_gone"
    world.event("eve", EVE, first_name="Eve")
    flush(world)
    assert world.fields(EVE)["FNAME"] == "Eve"
    assert world.fields(BOB, "other")["FNAME"] == "Bob"
    assert settings.missing(world.settings) == ()


def test_a_master_list_that_stays_gone_holds_the_account(world: World):
    """The flush looks for it, sends nothing else, and says what is missing; so does the plan."""
    in_one_flush(world, "master")
    with gone(world, "master"):
        world.event("eve", EVE, first_name="Eve")
        plan = world.plan()
        part = world.flush()
        assert (part.ended, part.message) == ("held", "The master list Master (master) is gone from Mailchimp.")
        assert world.calls() == [calls.read_list(ListId("master"))] * 2
        assert plan.problem == part.message
        assert [planned.call for planned in plan.calls()] == world.calls()


@pytest.mark.parametrize("list_id", ["master", "other"])
def test_a_plan_looks_for_gone_lists_as_the_flush_does(world: World, list_id: str):
    """It shows the same calls, counts those who are delivered again, and writes nothing."""
    with gone(world, list_id):
        world.event("new", "new@example.com", list_id="other")
        world.event("bob", BOB, first_name="Bob", list_id="other")
        world.daily()
    world.by_hand(ANN, "unsubscribe", "other")
    world.event("ann", ANN)
    before = dump(world)
    plan = world.plan()
    planned = {named(planned.call) for planned in plan.calls()}
    assert dump(world) == before
    assert plan.problem is None
    world.flush()
    assert [call for call in map(named, world.calls()) if call not in planned] == []
    assert calls.read_list(ListId(list_id)) in world.calls()
    assert world.status(ANN) is None


def test_a_list_that_a_refresh_forgot_is_looked_for_too(world: World):
    """A refresh with a key that does not see a list drops it; who left it is read all the same, once it is seen."""
    setters.store(world.db, CHANGELOG, ACCOUNT, [ListId("master")])
    with gone(world, "other"):
        world.db.execute("UPDATE list SET departures_read_at = NULL WHERE list_id = 'other'")
        world.refresh()
    assert world.settings.list_of("other") is None
    world.by_hand(ANN, "unsubscribe", "other")
    world.flush()
    assert world.status(ANN) is None
    assert (world.outcomes("ann")[-1], world.status(BOB)) == ("left", "subscribed")


def connect(world: World, key: str) -> api_keys.Connected:
    """The owner enters a key."""
    world.clock.forward(seconds=1)
    with_ = {"secret": world.app.secret, "open_sender": world.app.open_client, "at": world.clock()}
    return api_keys.connect(world.db, CHANGELOG, ACCOUNT, key, **with_)  # type: ignore[arg-type]


def test_the_key_of_another_account_holds_nothing_once_the_right_one_is_back(world: World):
    """Connecting the right key shows that its lists exist; who left meanwhile is read before anybody moves."""
    world.standin.add_key(WRONG_KEY, "somebody else")
    world.standin.create_list("somebody else", "foreign", "Foreign")
    notice = connect(world, WRONG_KEY).notice or ""
    assert "none of its stored lists in Mailchimp: Master (master), Other (other)" in notice
    world.event("bob", BOB, first_name="Bob", list_id="other")
    world.event("eve", EVE, first_name="Eve")
    world.daily()
    assert settings.missing(world.settings)[0].code == "master_list_gone"
    assert connect(world, WRONG_KEY).settings.list_of("master").gone  # type: ignore[union-attr]
    world.by_hand(ANN, "unsubscribe", "other")
    connected = connect(world, KEY)
    assert (connected.notice, settings.missing(connected.settings)) == (None, ())
    assert not any(known_list.gone for known_list in world.settings.lists)
    world.event("ann", ANN)
    world.flush()
    assert (world.fields(EVE)["FNAME"], world.fields(BOB, "other")["FNAME"]) == ("Eve", "Bob")
    assert (world.status(ANN), world.outcomes("ann")[-1]) == (None, "left")


def test_a_flush_with_the_key_of_another_account_says_so_though_nothing_changed(world: World):
    """It is held and names the lists that the key does not find; the advice ends with a new master list."""
    world.standin.add_key(WRONG_KEY, "somebody else")
    connect(world, WRONG_KEY)
    part = world.flush()
    assert part.ended == "held"
    assert "none of its stored lists in Mailchimp: Master (master), Other (other)" in (part.message or "")
    advice = settings.missing(world.settings)[0].advice
    assert "lists refresh acct-1" in advice
    assert advice.endswith("lists master acct-1 LIST")
