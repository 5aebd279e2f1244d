"""How the work of planning grows with the customers that are planned together."""

import sys
from collections.abc import Callable

import pytest

from tests.unit.plan.build import MASTER, OTHER, customer, customer_status, entry, inputs, related
from worker.plan.plan import make_plan
from worker.plan.related_customers import RelatedCustomers


def instructions(do: Callable[[], object]) -> int:
    """How many instructions of Python are executed for that, each turn of a comprehension's loop among them.

    The same on every machine, whatever else it does.
    """
    count = 0

    def trace(frame, event, arg):
        nonlocal count
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        do()
    finally:
        sys.settrace(before)
    return count


def new(many: int) -> RelatedCustomers:
    """Customers that are nowhere yet."""
    return related([customer(number, f"c{number}@example.com") for number in range(many)])


def all_with_one_address(many: int) -> RelatedCustomers:
    """New customers that share an address."""
    return related([customer(number) for number in range(many)])


def each_takes_the_next_ones_address(many: int) -> RelatedCustomers:
    """Members that all change their address for one that another had."""
    return related(
        [customer(number, f"c{number + 1}@example.com") for number in range(many)],
        [entry(number, f"c{number}@example.com") for number in range(many)],
        [customer_status(number, f"c{number}@example.com") for number in range(many)],
    )


def all_leave_one_address(many: int) -> RelatedCustomers:
    """Customers that shared a member and get an address each."""
    return related(
        [customer(number, f"c{number}@example.com") for number in range(many)],
        [entry(0)],
        [customer_status(number) for number in range(many)],
    )


def all_come_to_one_address(many: int) -> RelatedCustomers:
    """Customers with a member each that get the address of one of them."""
    return related(
        [customer(number, "c0@example.com") for number in range(many)],
        [entry(number, f"c{number}@example.com") for number in range(many)],
        [customer_status(number, f"c{number}@example.com") for number in range(many)],
    )


def all_withdraw_consent(many: int) -> RelatedCustomers:
    """Members on two lists that all withdraw consent."""
    return related(
        [customer(number, f"c{number}@example.com", consent=False) for number in range(many)],
        [entry(number, f"c{number}@example.com", one) for number in range(many) for one in (MASTER, OTHER)],
        [customer_status(number, f"c{number}@example.com") for number in range(many)],
    )


def all_share_with_somebody_without_consent(many: int) -> RelatedCustomers:
    """Members that each share an address with a customer who withdrew consent."""
    return related(
        [customer(number, f"c{number % many}@example.com", consent=number < many) for number in range(2 * many)],
        [entry(number, f"c{number}@example.com") for number in range(many)],
        [customer_status(number, f"c{number % many}@example.com") for number in range(2 * many)],
    )


@pytest.mark.parametrize(
    "made",
    [
        new,
        all_with_one_address,
        each_takes_the_next_ones_address,
        all_leave_one_address,
        all_come_to_one_address,
        all_withdraw_consent,
        all_share_with_somebody_without_consent,
    ],
)
def test_twice_the_customers_are_twice_the_work(made):
    """Planning takes time in proportion to the customers, whatever they share."""
    few, many = made(50), made(100)
    make_plan(few, inputs())
    assert instructions(lambda: make_plan(many, inputs())) < 2.3 * instructions(lambda: make_plan(few, inputs()))
