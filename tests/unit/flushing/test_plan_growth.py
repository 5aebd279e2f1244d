"""How the work of planning grows with the customers that are planned together."""

import sys
from collections.abc import Callable

import pytest

from tests.unit.flushing.build import customer, entry, near, standing, terms
from worker.flushing.neighbourhood import Neighbourhood
from worker.flushing.plan import make_plan


def function_calls(do: Callable[[], object]) -> int:
    """How many Python functions are called while that is done: the same on every machine."""
    calls = 0

    def count(frame, event, arg):
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        do()
    finally:
        sys.setprofile(before)
    return calls


def new(many: int) -> Neighbourhood:
    """Customers that are nowhere yet."""
    return near([customer(number, f"c{number}@example.com") for number in range(many)])


def all_with_one_address(many: int) -> Neighbourhood:
    """New customers that share an address."""
    return near([customer(number) for number in range(many)])


def each_takes_the_next_ones_address(many: int) -> Neighbourhood:
    """Members that all change their address for one that another had."""
    return near(
        [customer(number, f"c{number + 1}@example.com") for number in range(many)],
        [entry(number, f"c{number}@example.com") for number in range(many)],
        [standing(number, f"c{number}@example.com") for number in range(many)],
    )


def all_leave_one_address(many: int) -> Neighbourhood:
    """Customers that shared a member and get an address each."""
    return near(
        [customer(number, f"c{number}@example.com") for number in range(many)],
        [entry(0)],
        [standing(number) for number in range(many)],
    )


def all_come_to_one_address(many: int) -> Neighbourhood:
    """Customers with a member each that get the address of one of them."""
    return near(
        [customer(number, "c0@example.com") for number in range(many)],
        [entry(number, f"c{number}@example.com") for number in range(many)],
        [standing(number, f"c{number}@example.com") for number in range(many)],
    )


@pytest.mark.parametrize(
    "made",
    [new, all_with_one_address, each_takes_the_next_ones_address, all_leave_one_address, all_come_to_one_address],
)
def test_twice_the_customers_are_twice_the_work(made):
    """Planning takes time in proportion to the customers, whatever they share."""
    few, many = made(200), made(400)
    make_plan(few, terms())
    assert function_calls(lambda: make_plan(many, terms())) < 2.5 * function_calls(lambda: make_plan(few, terms()))
