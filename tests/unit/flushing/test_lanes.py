"""Which steps may run side by side, and in which order others are done."""

from tests.unit.flushing.build import customer, entry, near, standing, terms
from worker.flushing.deciding.steps import Archive, touched
from worker.flushing.plan import make_plan


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
