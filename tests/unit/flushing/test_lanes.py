"""Which steps may run side by side, and which the brake holds."""

from tests.unit.flushing.build import customer, entry, near, standing, terms
from worker.flushing.deciding.steps import Archive, touched
from worker.flushing.deciding.survey import Survey
from worker.flushing.doing.brake import Brake, limit
from worker.flushing.plan import make_plan
from worker.model import ListId


def test_no_two_lanes_touch_one_member():
    """Steps that touch one place, or settle one customer, are done one after the other."""
    people = [customer(n, f"{'ab'[n % 2]}{n // 2}@example.com", list_id="other") for n in range(8)]
    entries = [entry(n, f"{'ba'[n % 2]}{n // 2}@example.com") for n in range(8)]
    standings = [standing(n, f"{'ba'[n % 2]}{n // 2}@example.com") for n in range(8)]
    plan = make_plan(near(people, entries, standings), terms())
    lanes = [*plan.lanes, *((add,) for add in plan.adds)]
    places = [{place for step in lane for place in touched(step)} for lane in lanes]
    assert sum(len(one) for one in places) == len(set().union(*places))


def test_archiving_comes_last_in_a_lane():
    """An old member is archived only after its customer is somewhere else."""
    plan = make_plan(near([customer(list_id="other")], [entry()], [standing()]), terms())
    assert isinstance(plan.lanes[0][-1], Archive)


def test_the_brake_holds_more_than_fifty_or_a_tenth():
    """50 may leave any list, and of a large one a tenth."""
    assert (limit(0), limit(500), limit(501), limit(10_000)) == (50, 50, 50, 1000)


def test_held_departures_take_their_whole_lane_with_them():
    """With too many departures each lane that has one is held, unless an operator confirmed."""
    people = [customer(n, f"a{n}@example.com", deleted=True) for n in range(51)]
    entries = [entry(n, f"a{n}@example.com") for n in range(51)]
    plan = make_plan(near(people, entries, [standing(n, f"a{n}@example.com") for n in range(51)]), terms())
    survey = Survey()
    survey.take_in(plan, 51)
    free, held = Brake(survey.departures, {ListId("master"): 51}, confirmed=False).sort(plan.lanes)
    assert (len(free), len(held)) == (0, 51)
    free, held = Brake(survey.departures, {ListId("master"): 51}, confirmed=True).sort(plan.lanes)
    assert (len(free), len(held)) == (51, 0)


def test_members_found_to_leave_only_on_the_way_count_too():
    """Unplanned departures are let through up to the limit."""
    brake = Brake({}, {}, confirmed=False)
    assert [brake.may_leave(ListId("master")) for _ in range(52)] == [True] * 50 + [False] * 2
