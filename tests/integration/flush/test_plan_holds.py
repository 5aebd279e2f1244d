"""A flush makes no call that its plan did not name, and all that the plan says are made in any case."""

import json
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.integration.flush.world import ACCOUNT, Everybody, World
from worker.flush import account_flush
from worker.mailchimp.calls import Call
from worker.model import ListId
from worker.plan.related_customers import chunks
from worker.sandbox.faults import Fault


def named(call: Call) -> str:
    """A call with all that it says, but for the moment when the flush began."""
    query = {name: value for name, value in call.query.items() if name != "since_last_changed"}
    return f"{replace(call, query=query)} {json.dumps(call.body, sort_keys=True)}"


def varied_customers(world: World, *, archived: bool) -> None:
    """Customers of every kind, flushed once, and then changed in every way."""
    for number in range(12):
        list_id = "other" if number % 3 == 0 else None
        world.event(f"c{number}", f"c{number}@example.com", first_name="Ann", list_id=list_id)
    world.event("left", "left@example.com")
    world.event("gone", "gone@example.com")
    for who in ("back", "host"):
        world.event(who, f"{who}@example.com", first_name="Ann", phone="+44 113 496 0000")
    world.flush()
    world.deleted("back", "back@example.com")
    world.flush()
    world.event("back", "back@example.com", first_name="Ann")
    if archived:
        world.by_hand("somebody@example.com", "subscribe")
        world.by_hand("somebody@example.com", "archive")
    world.by_hand("left@example.com", "unsubscribe")
    world.by_hand("gone@example.com", "forget")
    world.by_hand("taken@example.com", "subscribe")
    world.by_hand("named@example.com", "subscribe")
    world.event("left", "left.new@example.com")
    world.event("gone", "gone@example.com", first_name="Gone")
    world.event("c0", "c0.new@example.com", first_name="Ann", list_id="other")
    world.event("c1", "taken@example.com", first_name="Ann")
    world.event("c2", "c2@example.com", first_name="Anne")
    world.event("c3", "c3@example.com", first_name="Ann")
    world.deleted("c4", "c4@example.com")
    world.event("c5", "c5@example.com", marketing_consent=False)
    world.event("c6", "c7@example.com", first_name="Ann")
    world.event("c7", "c6@example.com", first_name="Ann", list_id="other")
    world.event("c8", "nonsense")
    world.event("c11", "host@example.com", first_name="Ann")
    world.event("new", "new@example.com", first_name="New")
    world.event("found", "somebody@example.com", first_name="Some")
    world.event("twin", "new@example.com", first_name="Twin")
    world.event("named", "named@example.com", first_name="Ned", last_name="Named")


@pytest.mark.parametrize("archived", [False, True], ids=["nobody archived", "somebody archived"])
def test_a_flush_makes_the_calls_that_its_plan_named(world: World, archived: bool):
    """When Mailchimp refuses nothing, calls made are calls named, and every unconditional one is made."""
    varied_customers(world, archived=archived)
    before = dump(world)
    plan = world.plan()
    planned = list(plan.calls())
    assert plan.problem is None
    assert dump(world) == before
    world.flush()
    made = Counter(named(one) for one in world.calls())
    allowed = {named(one.call) for one in planned}
    assert [one for one in made if one not in allowed] == []
    certain = {named(one.call) for one in planned if one.when is None}
    assert [one for one in certain if one not in made] == []


def test_the_plan_lists_the_calls_about_a_pending_member_whose_customer_moves(tmp_path: Path):
    """A member that never confirmed is unsubscribed where another is archived, and the plan lists that too."""
    with World(tmp_path, direct=True) as world:
        setters.enable(world.db, CHANGELOG, ACCOUNT, "pending")
        world.event("ann", "ann@example.com")
        world.flush()
        world.event("ann", "ann@example.com", list_id="other")
        assert unplanned_calls(world) == []
        assert (world.status("ann@example.com"), world.status("ann@example.com", "other")) == (
            "unsubscribed",
            "pending",
        )


def test_the_plan_lists_the_calls_of_a_change_back_whose_first_change_has_no_answer(tmp_path: Path):
    """The member that got the new address without an answer gets the old one again, without its tags."""
    with World(tmp_path, direct=True) as world:
        world.event("ann", "ann@example.com", tags=["vip"])
        world.flush()
        world.event("ann", "new@example.com", tags=["vip"])
        world.standin.faults = [Fault("timeout_after", method="PATCH")]
        world.flush()
        world.standin.faults = []
        world.event("ann", "ann@example.com")
        assert unplanned_calls(world) == []
        assert world.members() == {"ann@example.com": "subscribed"}


def test_the_plan_lists_the_read_after_a_refused_change_of_address_or_archive(world: World):
    """It shows when the member is read once more."""
    world.event("ann", "ann@example.com")
    world.event("bob", "bob@example.com")
    world.flush()
    world.event("ann", "new@example.com")
    world.deleted("bob", "bob@example.com")
    reads = {one.when for one in world.plan().calls() if one.call.method == "GET" and "/members/" in one.call.path}
    assert reads >= {"if Mailchimp refuses that", "once it is archived, or if Mailchimp refuses that"}


def test_the_plan_lists_the_query_of_a_list_that_is_not_stored_any_more(tmp_path: Path):
    """If a member is not found on such a list, the list is queried, as any other is."""
    with World(tmp_path, direct=True) as world:
        world.event("ann", "ann@example.com", list_id="other")
        world.flush()
        setters.store(world.db, CHANGELOG, ACCOUNT, [ListId("master")])
        world.by_hand("ann@example.com", "forget", "other")
        world.event("ann", "ann@example.com")
        assert unplanned_calls(world) == []
        assert "/lists/other" in {call.path for call in world.calls()}


def unplanned_calls(world: World) -> list[str]:
    """Plans a flush, flushes, and returns the calls that the plan did not list."""
    planned = {f"{one.call.method} {one.call.path}" for one in world.plan().calls()}
    world.flush()
    return [call for one in world.calls() if (call := f"{one.method} {one.path}") not in planned]


def dump(world: World) -> list[tuple[object, ...]]:
    """Everything in the database."""
    tables = [row[0] for row in world.db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()]
    return [tuple(row) for table in tables for row in world.db.execute(f"SELECT * FROM {table}").fetchall()]


def test_planning_changes_nothing_in_mailchimp(world: World):
    """A plan with all its calls listed sends reads only."""
    varied_customers(world, archived=True)
    world.standin.audit.calls.clear()
    list(world.plan().calls())
    assert world.writes() == []


def test_a_plan_counts_what_would_be_done_and_why_not(world: World):
    """Adds, updates, moves, archives and what is held back are counted list by list, with reasons."""
    world.event("ann", "ann@example.com", first_name="Ann")
    world.flush()
    world.event("ann", "ann@example.com", first_name="Anne")
    world.event("bob", "bob@example.com")
    world.event("cy", "nonsense")
    summary = world.plan().summary
    assert summary.counts[("master", "updates")] == 1
    assert summary.counts[("master", "adds")] == 1
    assert summary.counts[(None, "not sent")] == 1
    assert list(summary.why) == ["'nonsense' is not an e-mail address, so nothing was sent."]


def test_a_plan_says_what_stands_in_its_way(world: World, tmp_path: Path):
    """With Mailchimp out of reach, or the master list gone, the plan says so instead."""
    world.event("ann", "ann@example.com")
    world.standin.delete_list("master")
    assert world.plan().problem == "The master list Master (master) is gone from Mailchimp."


def test_an_account_whose_customers_fit_one_chunk_is_planned_once(world: World, monkeypatch: pytest.MonkeyPatch):
    """What was planned for the whole is carried out, and what changes meanwhile is delivered by the same flush."""
    planned: list[int] = []
    make_plan = account_flush.make_plan

    def counted(related, inputs):  # type: ignore[no-untyped-def]
        planned.append(len(related.changed))
        return make_plan(related, inputs)

    def meanwhile(call: Call) -> None:
        if call.method in ("PUT", "POST") and not came:
            came.append(call)
            own, world.db = world.db, world.app.open_database()
            world.event("late", "late@example.com")
            world.db.close()
            world.db = own

    came: list[Call] = []
    monkeypatch.setattr(account_flush, "make_plan", counted)
    world.event("ann", "ann@example.com")
    world.event("bob", "bob@example.com")
    world.before_call(meanwhile)
    world.flush()
    world.before_call(None)
    assert planned == [2, 1]
    assert sorted(world.members()) == ["ann@example.com", "bob@example.com", "late@example.com"]


def test_of_a_large_account_only_who_may_leave_a_list_is_planned_before_its_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """New and updated customers are planned once, chunk by chunk; the brake still knows of all who would leave."""
    for number in range(20):
        world.event(f"c{number:02}", f"c{number}@example.com", first_name="Ann")
    world.run()
    monkeypatch.setattr(account_flush, "chunks", partial(chunks, size=5))
    planned = Counter[str]()
    make_plan = account_flush.make_plan

    def counted(related, inputs):  # type: ignore[no-untyped-def]
        planned.update(list(related.changed))
        return make_plan(related, inputs)

    for number in range(8):
        world.event(f"c{number:02}", f"c{number}@example.com", first_name="Bob")
    world.event("c08", "other@example.com", first_name="Ann")
    for number in range(9, 20):
        world.deleted(f"c{number:02}", f"c{number}@example.com")
    for number in range(20, 30):
        world.event(f"c{number}", f"c{number}@example.com")
    summary = world.plan().summary
    assert summary.counts == {
        ("master", "updates"): 8,
        ("master", "address changes"): 1,
        ("master", "archives"): 11,
        ("master", "adds"): 10,
    }
    assert summary.customers == 30
    monkeypatch.setattr(account_flush, "make_plan", counted)
    part = world.flush()
    assert "11 members would leave list Master (master) in one run" in (part.message or "")
    assert not any(call.method == "DELETE" for call in world.writes())
    assert {one for one, times in planned.items() if times > 1} == {f"c{number:02}" for number in range(8, 20)}
    assert len(planned) == 30


def test_a_large_account_adds_together_what_is_many_in_all_its_chunks(world: World, monkeypatch: pytest.MonkeyPatch):
    """Where a list has archived members, it counts how many the whole flush may add, and not a chunk alone."""
    world.by_hand("gone@example.com", "subscribe")
    world.by_hand("gone@example.com", "archive")
    monkeypatch.setattr(account_flush, "chunks", partial(chunks, size=5))
    for number in range(12):
        world.event(f"c{number:02}", f"c{number}@example.com")
    flusher = world.app.flusher(world.stop)
    inputs = replace(world.app.account_inputs(world.db, ACCOUNT), bulk_add_above=11)
    replace(flusher, config=replace(flusher.config, inputs_of=lambda db, who: inputs)).flush(
        "once", lambda db: Everybody()
    )
    posts = [call for call in world.writes() if call.method == "POST" and call.path == "/lists/master"]
    assert [len((call.body or {})["members"]) for call in posts] == [5, 5, 2]


def test_a_plan_counts_an_unsubscribe_only_where_a_member_is_known(world: World):
    """Withdrawn consent is looked for on each stored list; where the ledger has no member, that is a read."""
    world.event("ann", "ann@example.com")
    world.flush()
    world.event("ann", "ann@example.com", marketing_consent=False)
    assert world.plan().summary.counts == {("master", "unsubscribes"): 1, ("other", "rechecks"): 1}
