"""How many members may leave a list in one run."""

from tests.unit.flushing.build import MASTER, OTHER, customer, entry, near, standing, terms
from worker.flushing.deciding.steps import Archive, Move, Unsubscribe
from worker.flushing.deciding.survey import Survey
from worker.flushing.doing.brake import Brake, limit
from worker.flushing.plan import make_plan


def all_deleted(many):
    """A plan in which so many members leave the master list, and its survey."""
    people = [customer(n, f"a{n}@example.com", deleted=True) for n in range(many)]
    entries = [entry(n, f"a{n}@example.com") for n in range(many)]
    plan = make_plan(near(people, entries, [standing(n, f"a{n}@example.com") for n in range(many)]), terms())
    survey = Survey()
    survey.take_in(plan, many)
    return plan, survey


def test_the_brake_holds_more_than_ten_that_are_more_than_a_tenth():
    """Ten may leave any list, and of a large one a tenth."""
    assert (limit(0), limit(40), limit(109), limit(110), limit(10_000)) == (10, 10, 10, 11, 1000)


def test_too_many_departures_from_the_start_are_all_held():
    """Where more would leave than may, none of them is begun, and the notice says how many and how to confirm."""
    plan, survey = all_deleted(11)
    brake = Brake(survey.departures, {MASTER: 40}, {})
    assert [brake.admit(lane)[0] for lane in plan.lanes] == [()] * 11
    assert brake.held == {MASTER: 11}
    (notice,) = brake.notices("acct-1")
    assert "11 members" in notice
    assert "more than 10" in notice
    assert "--confirm" in notice


def test_departures_that_nobody_planned_are_counted_as_they_are_admitted():
    """Deletions that come during a run are admitted up to what may leave, and no further."""
    plan, _ = all_deleted(60)
    brake = Brake({}, {MASTER: 500}, {})
    free = [lane for lane in plan.lanes if brake.admit(lane)[0]]
    assert len(free) == 50
    assert brake.held == {MASTER: 10}
    assert not brake.may_leave(MASTER)
    assert brake.may_leave(OTHER)


def test_a_confirmation_covers_the_number_that_was_shown():
    """Confirmed is so many on that list, not what comes after, and not another list."""
    plan, survey = all_deleted(60)
    brake = Brake(survey.departures, {MASTER: 100}, {MASTER: 40})
    assert len([lane for lane in plan.lanes if brake.admit(lane)[0]]) == 40
    assert brake.held == {MASTER: 20}
    other = Brake(survey.departures, {MASTER: 100}, {OTHER: 40})
    assert not [lane for lane in plan.lanes if other.admit(lane)[0]]


def test_withdrawn_consent_is_never_held():
    """In a lane that is held, withdrawn consent is done all the same, and it uses up nothing."""
    people = [customer(1, "new@example.com", consent=False), customer(2)]
    known = [standing(1), standing(2, "zed@example.com")]
    (lane,) = make_plan(near(people, [entry(1), entry(2, "zed@example.com")], known), terms()).lanes
    free, held = Brake({MASTER: 100}, {MASTER: 100}, {}).admit(lane)
    assert {type(step) for step in free} == {Unsubscribe}
    assert {type(step) for step in held} == {Move, Archive}
    brake = Brake({}, {}, {})
    many = near(
        [customer(n, f"a{n}@example.com", consent=False) for n in range(30)],
        [entry(n, f"a{n}@example.com") for n in range(30)],
    )
    assert all(brake.admit(one) == (one, ()) for one in make_plan(many, terms()).lanes)
    assert brake.may_leave(MASTER)
