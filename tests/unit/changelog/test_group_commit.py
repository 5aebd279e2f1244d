"""What threads hand in together is carried out together."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.changelog.group_commit import GroupCommit
from worker.errors import DatabaseError


class Slow:
    """Carries out groups; the first one waits until it is let go on."""

    def __init__(self, fails_for: str | None = None, failure: Exception | None = None) -> None:
        self.groups: list[list[str]] = []
        self.began, self.go_on = threading.Event(), threading.Event()
        self._fails_for, self._failure = fails_for, failure

    def __call__(self, items: Sequence[str]) -> None:
        """Carries out a group."""
        if not self.groups:
            self.groups.append(list(items))
            self.began.set()
            assert self.go_on.wait(10)
            return
        if self._failure is not None and self._fails_for in items:
            raise self._failure
        self.groups.append(list(items))


def together(slow: Slow, items: Sequence[str]) -> list[BaseException | None]:
    """Hands in one item, and the others while that is carried out; returns how each ended."""
    group = GroupCommit(slow)
    with ThreadPoolExecutor(len(items) + 1) as pool:
        first = pool.submit(group.submit, "first")
        assert slow.began.wait(10)
        others = []
        for count, item in enumerate(items, 1):
            others.append(pool.submit(group.submit, item))
            while len(group._queue) < count:
                threading.Event().wait(0.001)
        slow.go_on.set()
        return [one.exception(10) for one in (first, *others)]


def test_those_that_come_meanwhile_are_one_group():
    """While one item is carried out others wait, and then are carried out together, in their order."""
    slow = Slow()
    assert together(slow, ["a", "b", "c"]) == [None] * 4
    assert slow.groups == [["first"], ["a", "b", "c"]]


def test_a_fault_of_one_item_costs_that_item_only():
    """An exception that is none of database or Kafka is raised for the item that causes it."""
    fault = ValueError("b")
    slow = Slow("b", fault)
    assert together(slow, ["a", "b", "c"]) == [None, None, fault, None]
    assert slow.groups == [["first"], ["a"], ["c"]]


def test_a_database_that_fails_fails_the_whole_group():
    """What was not committed was not committed for anybody in the group, and is not tried again."""
    error = DatabaseError("The disk is full.", "Make room.")
    slow = Slow("b", error)
    assert together(slow, ["a", "b", "c"]) == [None, error, error, error]
    assert slow.groups == [["first"]]


def test_what_ends_a_thread_is_raised_in_it():
    """An item alone that fails raises its own exception."""

    def fail(items: Sequence[str]) -> None:
        raise ValueError(items[0])

    with pytest.raises(ValueError, match="alone"):
        GroupCommit(fail).submit("alone")
