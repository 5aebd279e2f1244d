"""Claims on rows that Kafka keeps too: one commit at a time writes a row, from its rehearsal until it is committed.

Otherwise Kafka could have two commits of a row in one order, and the database in the other.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from worker.sqlite.rows import RowKey


class RowClaims:
    """The rows that the commits of one process are writing. Thread-safe."""

    def __init__(self) -> None:
        self._claimed = set[RowKey]()
        self._changed = threading.Condition()

    @contextmanager
    def claim(self) -> Iterator[Claim]:
        """Provides the claim of one commit, released at the end of the block."""
        claim = Claim(self)
        try:
            yield claim
        finally:
            self.replace(claim, ())

    def replace(self, claim: Claim, rows: Collection[RowKey]) -> None:
        """Releases what a claim has, then waits until nobody else has any of these rows, and claims them all at once.

        Nothing is held while it waits, so two claims never wait for each other.
        """
        with self._changed:
            if claim.rows:
                self._claimed -= claim.rows
                claim.rows = set()
                self._changed.notify_all()
            self._changed.wait_for(lambda: self._claimed.isdisjoint(rows))
            claim.rows = set(rows)
            self._claimed |= claim.rows


class Claim:
    """What one commit has claimed. Used by its thread alone."""

    def __init__(self, claims: RowClaims) -> None:
        self._claims = claims
        self.rows = set[RowKey]()

    def covers(self, rows: Collection[RowKey]) -> bool:
        """Returns whether all of these rows are claimed."""
        return self.rows.issuperset(rows)

    def extend(self, rows: Collection[RowKey]) -> None:
        """Claims these rows too. Others may have written any row meanwhile: rehearse again if they did."""
        self._claims.replace(self, self.rows | set(rows))
