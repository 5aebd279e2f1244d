"""Splits a long operation into transactions, none of which holds the write lock for long."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from math import inf
from typing import Generic, TypeVar

STEP_SECONDS = 0.03
"""How long one transaction of a long operation should hold the write lock."""
REST_SECONDS = 0.02
"""How long such an operation then leaves the lock to others."""
SLICES = 16
"""Slices of a step, after each of which it checks the time."""
PAGE_ROWS = 5000
"""Keys that such an operation reads in one page, before it takes the lock."""
FIRST_ROWS, MOST_ROWS = 200, 20_000
"""Rows in the first of these transactions, while the time per row is unknown; and in any."""

_Row = TypeVar("_Row")


class Pace:
    """How many rows a step of a long operation takes, by how long earlier steps held the write lock."""

    def __init__(self) -> None:
        self.rows = FIRST_ROWS

    def after(self, seconds: float, rows: int) -> None:
        """Records how long the last step held the lock, for how many rows, and sleeps to leave it to others."""
        self.rows = max(1, min(int(rows * min(STEP_SECONDS / max(seconds, 1e-4), 2.0)), MOST_ROWS))
        time.sleep(REST_SECONDS)


class Part(Generic[_Row]):
    """Rows of a long operation for one transaction: as many as can be written in :data:`STEP_SECONDS`.

    Iterating yields some at a time. Limited by time, not only by number, since a busy machine may stall this thread at
    any moment. A second iteration, after a rehearsal, yields exactly the same rows.
    """

    def __init__(self, rows: Sequence[_Row], at_most: int, before: int) -> None:
        self._rows, self._slice, self._before = rows, max(1, at_most // SLICES), before
        self.done = 0

    @property
    def taken(self) -> int:
        """How many rows of the whole operation are consumed by now."""
        return self._before + self.done

    def __iter__(self) -> Iterator[list[_Row]]:
        end, deadline = (self.done, inf) if self.done else (len(self._rows), time.monotonic() + STEP_SECONDS)
        done = 0
        while done < end and (done == 0 or time.monotonic() < deadline):
            rows = list(self._rows[done : min(done + self._slice, end)])
            done += len(rows)
            yield rows
        self.done = done
