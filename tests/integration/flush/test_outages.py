"""Mailchimp is away for an hour, in simulated time: flushes fail and say so, and the next daily one makes it good."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.integration.flush.world import Everybody, World
from worker.config import Mailchimp
from worker.mailchimp.calls import Call
from worker.sandbox.faults import Fault
from worker.store.runs import Run, Trigger

# As patient as by default, in time that passes a hundred times as fast.
pytestmark = pytest.mark.world(patience=Mailchimp().patience)
STORMS = {
    "5xx": (Fault("status", status=500, chance=0.5), Fault("bare", status=503)),
    "429": (Fault("status", status=429, title="Too Many Requests"),),
    "bare 403": (Fault("bare", status=403),),
}
"""What an hour brings: every call meets one of these."""
MEMBERS, NEW = 30, 10
DONE_BEFORE = 5
"""Writes that pass before the outage begins."""
CALLS_OF_THE_FIRST = 60
"""What eight threads make until they give up, each of one customer's call, one at a time: about 40."""
CALLS_OF_OTHERS = 10
"""What a flush makes that learns at its first read that nothing goes: about 3."""


def person(number: int) -> str:
    """The address of a customer."""
    return f"c{number}@example.com"


def write(world: World, version: int, numbers: range) -> None:
    """Stages a version of these customers, its number as their first name."""
    for number in numbers:
        world.event(f"c{number}", person(number), first_name=f"v{version}")


def flush(world: World, trigger: Trigger) -> tuple[Run, int]:
    """Flushes; returns the run and how many calls it made."""
    before = len(world.standin.audit.calls)
    run = world.app.flusher(world.stop).flush(trigger, lambda db: Everybody())
    return run, len(world.standin.audit.calls) - before


def away_after(world: World, writes: int, storm: tuple[Fault, ...]) -> None:
    """Has Mailchimp go away in the midst of a flush, after so many writes."""
    left = [writes]

    def count(call: Call) -> None:
        if not call.reads_only:
            left[0] -= 1
            if left[0] < 0:
                world.standin.faults = [*storm]

    world.before_call(count)


def writes_done(world: World) -> Counter[str]:
    """How often each path was written with an answer of 200 or 204, each contact of an add counted for itself."""
    done: Counter[str] = Counter()
    for logged in world.standin.audit.calls:
        if not logged.call.reads_only and logged.status in (200, 204):
            body = logged.call.body or {}
            done.update(one["email_address"] for one in body.get("members", [{"email_address": logged.call.path}]))
    return done


@pytest.mark.parametrize("storm", STORMS)
def test_an_hour_away_fails_the_account_and_everything_is_delivered_once_afterwards(world: World, storm: str) -> None:
    """Flushes in that hour settle nothing, pause nobody and make few calls; the next daily one delivers the rest."""
    write(world, 1, range(MEMBERS))
    assert flush(world, "daily")[0].ended == "done"
    world.clock.forward(days=1)
    world.standin.audit.calls.clear()
    write(world, 2, range(MEMBERS + NEW))
    away_after(world, DONE_BEFORE, STORMS[storm])
    hour = []
    for trigger in ("daily", "command", "command"):
        hour.append(flush(world, trigger))  # type: ignore[arg-type]
        world.clock.forward(minutes=20)
        # The hour goes on for billmywork and for those who leave.
        write(world, 3, range(1))
        world.deleted("c1", person(1))
        world.by_hand(person(2), "unsubscribe")
    assert [run.ended for run, _ in hour] == ["failed"] * 3
    parts = [run.accounts[0] for run, _ in hour]
    assert all("Mailchimp gave no useful answer" in str(part.message) for part in parts)
    assert all("The next flush delivers the rest" in str(part.message) for part in parts)
    assert [part.settled for part in parts] == [DONE_BEFORE, 0, 0]
    assert world.settings.pause is None
    assert all(one.pause is None and one.gone_at is None for one in world.settings.lists)
    assert {one for n in range(MEMBERS + NEW) for one in world.outcomes(f"c{n}")} == {"added", "updated", "later"}
    assert hour[0][1] <= CALLS_OF_THE_FIRST, hour
    assert all(calls <= CALLS_OF_OTHERS for _, calls in hour[1:]), hour
    world.before_call(None)
    world.standin.faults = []
    world.clock.forward(days=1)
    last, _ = flush(world, "daily")
    assert (last.ended, last.accounts[0].message) == ("done", None)
    expected = {person(n): "subscribed" for n in range(MEMBERS + NEW)}
    assert world.members() == expected | {person(1): "archived", person(2): "unsubscribed"}
    assert world.fields(person(0))["FNAME"] == "v3"
    assert {world.fields(person(n))["FNAME"] for n in range(3, MEMBERS + NEW)} == {"v2"}
    assert not any(world.waits(f"c{n}") for n in range(MEMBERS + NEW))
    # c0 was written for its third version too, c1 archived, if their second was among those that were done.
    done = writes_done(world)
    assert [path for path, count in done.items() if count > 2] == []
    assert sum(count - 1 for count in done.values()) <= 2
    nothing, calls = flush(world, "daily")
    # Who left each of the two lists is read, by one call for each way to leave.
    assert (nothing.accounts, calls) == ((), 4)
    assert flush(world, "command")[1] == 0


@pytest.mark.parametrize("storm", STORMS)
def test_an_account_that_is_away_from_the_first_call_on_costs_few_calls(world: World, storm: str) -> None:
    """A daily flush that begins in the outage learns it from its first reads, and one on the next day delivers all."""
    write(world, 1, range(MEMBERS))
    world.standin.faults = [*STORMS[storm]]
    run, calls = flush(world, "daily")
    assert (run.ended, run.accounts[0].settled, calls <= CALLS_OF_OTHERS) == ("failed", 0, True)
    assert world.members() == {}
    world.clock.forward(days=1)
    world.standin.faults = []
    assert flush(world, "daily")[0].ended == "done"
    assert world.members() == {person(n): "subscribed" for n in range(MEMBERS)}
    assert set(writes_done(world).values()) == {1}


@pytest.mark.parametrize("storm", STORMS)
def test_a_minute_away_is_waited_for(world: World, storm: str) -> None:
    """What passes within the patience of a call fails nothing: the same flush delivers everything."""
    write(world, 1, range(MEMBERS))
    flush(world, "daily")
    write(world, 2, range(MEMBERS))
    short = tuple(Fault(one.kind, status=one.status, title=one.title, times=2) for one in STORMS[storm])
    away_once = iter([short])

    def away(call: Call) -> None:
        if not call.reads_only:
            world.standin.faults = [*next(away_once, world.standin.faults)]

    world.before_call(away)
    run, _ = flush(world, "daily")
    assert (run.ended, run.accounts[0].settled) == ("done", MEMBERS)
    assert {world.fields(person(n))["FNAME"] for n in range(MEMBERS)} == {"v2"}
