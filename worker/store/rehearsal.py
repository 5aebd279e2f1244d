"""What a rehearsal wrote and took back, to be written for good while nobody else has written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Rehearsal:
    """The statements of a rehearsal that do not only read.

    Attributes:
        version: the database's, see :meth:`worker.store.database.Database.version`: another one once another connection
            has committed.
        changes: rows that this connection had changed in all when it ended: more once it has changed others since.
        writes_rows_alone: whether each of them does: what makes a table, or begins with another word, is not repeated.
        statements: each with the values of one run or of several.
    """

    version: int
    changes: int = 0
    writes_rows_alone: bool = True
    statements: list[tuple[str, list[Any]]] = field(default_factory=list)

    def note(self, sql: str, rows: Sequence[Any]) -> None:
        """Notes a statement, unless it only reads.

        Args:
            rows: the values of each run.
        """
        if sql.startswith(("SELECT", "PRAGMA")):
            return
        self.writes_rows_alone &= sql.startswith(("INSERT", "UPDATE", "DELETE"))
        if self.statements and self.statements[-1][0] == sql:
            self.statements[-1][1].extend(rows)
        else:
            self.statements.append((sql, list(rows)))
