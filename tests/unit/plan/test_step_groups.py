"""Which steps may run side by side, and in which order others are done."""

from tests.unit.plan.build import customer, customer_status, entry, inputs, related
from worker.plan.plan import make_plan
from worker.plan.steps import Archive, touched


def test_no_two_step_groups_touch_one_member():
    """Steps that touch one place, or settle one customer, are done one after the other."""
    people = [customer(n, f"{'ab'[n % 2]}{n // 2}@example.com", list_id="other") for n in range(8)]
    entries = [entry(n, f"{'ba'[n % 2]}{n // 2}@example.com") for n in range(8)]
    customer_statuses = [customer_status(n, f"{'ba'[n % 2]}{n // 2}@example.com") for n in range(8)]
    plan = make_plan(related(people, entries, customer_statuses), inputs())
    step_groups = [*plan.step_groups, *((add,) for add in plan.adds)]
    memberships = [{membership for step in step_group for membership in touched(step)} for step_group in step_groups]
    assert sum(len(one) for one in memberships) == len(set().union(*memberships))


def test_archiving_comes_last_in_a_step_group():
    """An old member is archived only after its customer is somewhere else."""
    plan = make_plan(related([customer(list_id="other")], [entry()], [customer_status()]), inputs())
    assert isinstance(plan.step_groups[0][-1], Archive)
