"""What a rehearsal wrote and took back, to be written for good while nobody else has written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Rehearsal:
    """The statements of a rehearsal that do not only read.

    Attributes:
        version: the database's, see :meth:`worker.store.database.Database.version`: another one once another connection
            has committed.
        changes: rows that this connection had changed in all when it ended: more once it has changed others since.
        statements: each with the values of one run or of several.
    """

    version: int
    changes: int = 0
    statements: list[tuple[str, list[Any]]] = field(default_factory=list)
