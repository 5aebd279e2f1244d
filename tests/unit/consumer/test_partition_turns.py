"""In which order partitions with much unread are read."""

from __future__ import annotations

from typing import Any

import pytest

from worker.consumer import partition_turns
from worker.consumer.partition_turns import MOST_EMPTY_POLLS, READ_TOGETHER, PartitionTurns

MUCH = 2 * READ_TOGETHER


class Library:
    """What librdkafka is asked to pause and resume."""

    def __init__(self) -> None:
        self.paused = set[int]()
        self.calls = 0

    def pause(self, partitions: Any) -> None:
        """Notes them."""
        self.paused |= {one.partition for one in partitions}
        self.calls += 1

    def resume(self, partitions: Any) -> None:
        """Forgets them."""
        self.paused -= {one.partition for one in partitions}
        self.calls += 1


@pytest.fixture
def library() -> Any:
    """Nothing is paused."""
    return Library()


def test_one_partition_is_read_after_the_other(library: Any) -> None:
    """The one with least unread first, each to its end; it is not paused again."""
    order = PartitionTurns("t")
    order.assigned({0: (0, 3 * MUCH), 1: (100, 100 + MUCH), 2: (0, 2 * MUCH)})
    order.take(library)
    assert library.paused == {0, 2}
    order.read({1: 100 + MUCH - 10})
    order.take(library)
    assert (library.paused, order.over) == ({0, 2}, False)
    order.read({1: 100 + MUCH})
    order.take(library)
    assert (library.paused, order.over) == ({0}, True)
    order.read({1: 100 + MUCH + 5}, ended=[2])
    order.take(library)
    assert library.paused == set()


def test_partitions_with_little_unread_are_read_together(library: Any) -> None:
    """As at most starts: nothing is asked of the library."""
    order = PartitionTurns("t")
    order.assigned(dict.fromkeys(range(10), (0, READ_TOGETHER // 10)) | {10: (5, 5)})
    order.take(library)
    assert (library.paused, library.calls) == (set(), 0)


def test_one_with_little_unread_does_not_wait_for_one_with_much(library: Any) -> None:
    """It is given while the other is read, and is read first."""
    order = PartitionTurns("t")
    order.assigned({0: (0, MUCH)})
    order.take(library)
    order.assigned({1: (0, 10), 2: (0, 3 * MUCH)})
    order.take(library)
    assert library.paused == {0, 2}
    order.read({1: 10})
    order.take(library)
    assert library.paused == {2}


def test_another_is_read_too_while_nothing_comes(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker of the one may not answer; nothing is dropped of what it may still send."""
    monkeypatch.setattr(partition_turns, "READ_TOGETHER", 1)
    order = PartitionTurns("t")
    order.assigned({partition: (0, 10 + partition) for partition in range(3)})
    for _ in range(MOST_EMPTY_POLLS):
        assert order.waiting() == {1, 2}
        order.read({})
    assert order.waiting() == {2}
    for _ in range(MOST_EMPTY_POLLS):
        order.read({})
    assert order.waiting() == set()
    order.read({1: 5})
    assert order.waiting() == {0, 2}


def test_what_is_given_again_is_resumed(library: Any) -> None:
    """The library keeps a partition paused that was paused when it was revoked."""
    order = PartitionTurns("t")
    order.assigned({0: (0, MUCH), 1: (0, 2 * MUCH)})
    order.take(library, assigned={0, 1})
    assert library.paused == {1}
    order.removed({0, 1})
    order.take(library)
    library.paused = {1}
    order.assigned({1: (0, 2 * MUCH)})
    order.take(library, assigned={1})
    assert library.paused == set()
