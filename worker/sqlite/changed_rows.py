"""What a transaction wrote: the keys of rows that are also kept in Kafka, and the statements of a rehearsal.

A function that writes such rows returns their keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from worker.model import AccountId, CustomerId, MembershipKey

Kind = Literal["place", "customer", "forgotten", "topic", "account", "erasure"]
"""place: a ledger entry · customer: its status, refusals and last settled event · forgotten: an erased person ·
topic: which topics belong together, and the key of the hashes · account: its settings with its lists ·
erasure: a request to every worker to erase somebody."""

_Result = TypeVar("_Result")


class RowKey(NamedTuple):
    """The key of one row.

    Attributes:
        key: account and list and address, account and customer, account and digest, topic and partition, or account.
    """

    kind: Kind
    key: tuple[str, ...]


Rows = list[RowKey]


@dataclass(frozen=True, slots=True)
class Changed(Generic[_Result]):
    """The result of a function that ran in a transaction.

    Attributes:
        rows: every row that it wrote, or may have written, that is also kept in Kafka.
        rest: writes other rows at the end of the transaction; it is not rehearsed.
    """

    result: _Result
    rows: Sequence[RowKey]
    rest: Callable[[], None] | None = None


@dataclass(slots=True)
class Rehearsal:
    """The writing statements of a transaction that was rolled back, to repeat them if nobody else has written.

    Attributes:
        version: of the database, see :meth:`worker.sqlite.database.Database.version`; it changes once another
            connection has committed.
        changes: total rows changed by this connection when it ended; more once it has changed others.
        changed_rows: how many rows it changed, by SQLite's own count.
        writes_rows_alone: whether all of them only write rows; others, such as CREATE TABLE, are not repeated.
        statements: each with the values of one run or of several.
    """

    version: int
    changes: int = 0
    changed_rows: int = 0
    writes_rows_alone: bool = True
    statements: list[tuple[str, list[Any]]] = field(default_factory=list)

    def note(self, sql: str, rows: Sequence[Any]) -> None:
        """Records a statement, unless it only reads."""
        # SQL's grammar: what begins with one of these words is no other statement. Anything else, such as WITH or a
        # comment, counts as one that cannot be repeated. SQLite's authorizer would tell more, but calls Python for each
        # column of each statement that is compiled; how many rows the repetition must change shows what this misses.
        if sql.startswith("SELECT"):
            return
        self.writes_rows_alone &= sql.startswith(("INSERT", "UPDATE", "DELETE"))
        if self.statements and self.statements[-1][0] == sql:
            self.statements[-1][1].extend(rows)
        else:
            self.statements.append((sql, list(rows)))

    def check(self, changed_rows: int) -> None:
        """Checks that the repetition changed as many rows.

        Raises:
            RuntimeError: it did not: a statement was not noted. This is a bug.
        """
        if changed_rows != self.changed_rows:
            raise RuntimeError(f"{changed_rows} rows were changed, and {self.changed_rows} in the rehearsal")


def entry_rows(account_id: AccountId, memberships: Iterable[MembershipKey]) -> Rows:
    """Returns the keys of an account's ledger entries."""
    return [RowKey("place", (account_id, *membership)) for membership in memberships]


def customer_rows(account_id: AccountId, customers: Iterable[CustomerId]) -> Rows:
    """Returns the keys of customers' statuses."""
    return [RowKey("customer", (account_id, customer_id)) for customer_id in customers]


def account_rows(account_id: AccountId) -> Rows:
    """Returns the key of an account's settings with its lists."""
    return [RowKey("account", (account_id,))]
