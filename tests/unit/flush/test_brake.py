"""How many members may leave a list in one run."""

from collections import Counter

from tests.unit.plan.build import MASTER, OTHER, customer, customer_status, entry, inputs, related, settings
from worker.flush.brake import Brake, Expected, limit
from worker.plan.plan import make_plan
from worker.plan.steps import Archive, Move, Unsubscribe
from worker.store.held_counts import HeldCount


def all_deleted(many):
    """A plan in which so many members leave the master list, and what it counts."""
    people = [customer(n, f"a{n}@example.com", deleted=True) for n in range(many)]
    entries = [entry(n, f"a{n}@example.com") for n in range(many)]
    plan = make_plan(related(people, entries, [customer_status(n, f"a{n}@example.com") for n in range(many)]), inputs())
    expected = Expected()
    expected.add(plan)
    return plan, expected


def test_the_brake_holds_more_than_ten_that_are_more_than_a_tenth():
    """Ten may leave any list, and of a large one a tenth."""
    assert (limit(0), limit(40), limit(109), limit(110), limit(10_000)) == (10, 10, 10, 11, 1000)


def test_too_many_departures_from_the_start_are_all_held():
    """Where more would leave than may, none of them is begun, and the notice says how many and how to confirm."""
    plan, expected = all_deleted(11)
    brake = Brake(expected, {MASTER: 40})
    assert [brake.admit(step_group)[0] for step_group in plan.step_groups] == [()] * 11
    assert brake.held == {MASTER: 11}
    (notice,) = brake.notices(settings())
    assert "11 members" in notice
    assert "more than 10" in notice
    assert "--confirm" in notice


def test_departures_that_nobody_planned_are_counted_as_they_are_admitted():
    """Deletions that come during a run are admitted up to what may leave, and no further."""
    plan, _ = all_deleted(60)
    brake = Brake(Expected(), {MASTER: 500})
    free = [step_group for step_group in plan.step_groups if brake.admit(step_group)[0]]
    assert len(free) == 50
    assert brake.held == {MASTER: 10}
    assert not brake.admit_one(MASTER)
    assert brake.admit_one(OTHER)


def test_a_confirmation_covers_the_number_that_was_shown():
    """Confirmed is so many on that list, not what comes after, and not another list."""
    plan, expected = all_deleted(60)
    brake = Brake(expected, {MASTER: 100}, [HeldCount(MASTER, "departures", 40)])
    assert len([step_group for step_group in plan.step_groups if brake.admit(step_group)[0]]) == 40
    assert brake.held == {MASTER: 20}
    other = Brake(expected, {MASTER: 100}, [HeldCount(OTHER, "departures", 40)])
    assert not [step_group for step_group in plan.step_groups if other.admit(step_group)[0]]


def test_withdrawn_consent_is_never_held():
    """In a step group that is held, withdrawn consent is done all the same, and it uses up nothing."""
    people = [customer(1, "new@example.com", consent=False), customer(2)]
    known = [customer_status(1), customer_status(2, "zed@example.com")]
    (step_group,) = make_plan(related(people, [entry(1), entry(2, "zed@example.com")], known), inputs()).step_groups
    free, held = Brake(Expected(departures=Counter({MASTER: 100})), {MASTER: 100}).admit(step_group)
    assert {type(step) for step in free} == {Unsubscribe}
    assert {type(step) for step in held} == {Move, Archive}
    brake = Brake(Expected(), {})
    many = related(
        [customer(n, f"a{n}@example.com", consent=False) for n in range(30)],
        [entry(n, f"a{n}@example.com") for n in range(30)],
    )
    assert all(brake.admit(one) == (one, ()) for one in make_plan(many, inputs()).step_groups)
    assert brake.admit_one(MASTER)


def test_a_member_that_stays_gives_its_room_back():
    """What really leaves is counted; what is tried again counts with what is held, so that both can be confirmed."""
    plan, _ = all_deleted(12)
    brake = Brake(Expected(), {})
    assert all(brake.admit(one)[0] for one in plan.step_groups[:10])
    assert not brake.admit_one(MASTER)
    brake.stayed(MASTER, undone=False)
    assert brake.admit(plan.step_groups[10])[0]
    brake.stayed(MASTER, undone=True)
    assert brake.admit_one(MASTER)
    assert brake.held == {MASTER: 2}
    assert Brake(Expected(), {}).held == {}


def test_what_is_held_counts_the_departures_that_nobody_planned_too():
    """They come with the others once these are confirmed, and must fit then."""
    people = [customer(1, "new@example.com"), customer(2)]
    known = [customer_status(1), customer_status(2, "zed@example.com")]
    (step_group,) = make_plan(related(people, [entry(1), entry(2, "zed@example.com")], known), inputs()).step_groups
    unplanned = [step for step in step_group if isinstance(step, Archive) and not step.planned]
    assert len(unplanned) == 1
    brake = Brake(Expected(departures=Counter({MASTER: 100})), {MASTER: 100})
    assert brake.admit(step_group)[0] == ()
    assert brake.held == {MASTER: 101}
