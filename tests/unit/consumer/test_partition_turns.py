"""In which order partitions with much unread are read."""

from __future__ import annotations

from typing import Any

import pytest

from worker.consumer import partition_turns
from worker.consumer.partition_turns import MOST_EMPTY_POLLS, READ_TOGETHER, PartitionTurns, waiting_of

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
    turns = PartitionTurns("t")
    turns.take(library, {0: 3 * MUCH, 1: MUCH, 2: 2 * MUCH})
    assert library.paused == {0, 2}
    turns.take(library, {0: 3 * MUCH, 1: 10, 2: 2 * MUCH})
    assert library.paused == {0, 2}
    turns.take(library, {0: 3 * MUCH, 1: 0, 2: 2 * MUCH})
    assert library.paused == {0}
    turns.take(library, {0: 3 * MUCH, 1: 0, 2: 0})
    assert library.paused == set()


def test_partitions_with_little_unread_are_read_together(library: Any) -> None:
    """As at most starts: nothing is asked of the library."""
    PartitionTurns("t").take(library, dict.fromkeys(range(10), READ_TOGETHER // 10) | {10: 0})
    assert (library.paused, library.calls) == (set(), 0)


def test_one_with_little_unread_does_not_wait_for_one_with_much(library: Any) -> None:
    """It is given while the other is read, and is read first."""
    turns = PartitionTurns("t")
    turns.take(library, {0: MUCH})
    assert library.paused == set()
    turns.take(library, {0: MUCH, 1: 10, 2: 3 * MUCH})
    assert library.paused == {0, 2}
    turns.take(library, {0: MUCH, 1: 0, 2: 3 * MUCH})
    assert library.paused == {2}


def test_another_is_read_too_while_nothing_comes(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker of the one may not answer; nothing is dropped of what it may still send."""
    monkeypatch.setattr(partition_turns, "READ_TOGETHER", 1)
    unread = {partition: 10 + partition for partition in range(3)}
    turns = PartitionTurns("t")
    for _ in range(MOST_EMPTY_POLLS):
        turns.take(library, unread)
        assert library.paused == {1, 2}
        turns.polled(found=False)
    turns.take(library, unread)
    assert library.paused == {2}
    for _ in range(MOST_EMPTY_POLLS):
        turns.polled(found=False)
    turns.take(library, unread)
    assert library.paused == set()
    turns.polled(found=True)
    turns.take(library, unread | {1: 6})
    assert library.paused == {0, 2}


def test_what_is_given_again_is_resumed(library: Any) -> None:
    """The library keeps a partition paused that was paused when it was revoked; earlier empty polls do not count."""
    turns = PartitionTurns("t")
    turns.take(library, {0: MUCH, 1: 2 * MUCH}, assigned={0, 1})
    assert library.paused == {1}
    turns.take(library, {})
    library.paused = {1}
    turns.take(library, {1: 2 * MUCH}, assigned={1})
    assert library.paused == set()
    for _ in range(MOST_EMPTY_POLLS):
        turns.polled(found=False)
    turns.take(library, {1: 2 * MUCH, 2: 3 * MUCH}, assigned={2})
    assert library.paused == {2}


def test_a_partition_without_anything_unread_never_waits() -> None:
    """Whatever the others have."""
    assert waiting_of({0: 0, 1: MUCH, 2: 0, 3: 2 * MUCH}, 0) == {3}
