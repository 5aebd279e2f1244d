"""What a rehearsal wrote before it was rolled back, to repeat it if nobody else has written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Rehearsal:
    """The writing statements of a rehearsal.

    Attributes:
        version: of the database, see :meth:`worker.sqlite.database.Database.version`; it changes once another
            connection has committed.
        changes: total rows changed by this connection when it ended; more once it has changed others.
        writes_rows_alone: whether all of them only write rows; others, such as CREATE TABLE, cannot be repeated.
        statements: each with the values of one run or of several.
    """

    version: int
    changes: int = 0
    writes_rows_alone: bool = True
    statements: list[tuple[str, list[Any]]] = field(default_factory=list)

    def note(self, sql: str, rows: Sequence[Any]) -> None:
        """Records a statement, unless it only reads."""
        if sql.startswith(("SELECT", "PRAGMA")):
            return
        self.writes_rows_alone &= sql.startswith(("INSERT", "UPDATE", "DELETE"))
        if self.statements and self.statements[-1][0] == sql:
            self.statements[-1][1].extend(rows)
        else:
            self.statements.append((sql, list(rows)))
