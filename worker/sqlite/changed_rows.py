"""Keys of rows that are also kept in Kafka. A function that writes such rows returns their keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeVar

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


def entry_rows(account_id: AccountId, memberships: Iterable[MembershipKey]) -> Rows:
    """Returns the keys of an account's ledger entries."""
    return [RowKey("place", (account_id, *membership)) for membership in memberships]


def customer_rows(account_id: AccountId, customers: Iterable[CustomerId]) -> Rows:
    """Returns the keys of customers' statuses."""
    return [RowKey("customer", (account_id, customer_id)) for customer_id in customers]


def account_rows(account_id: AccountId) -> Rows:
    """Returns the key of an account's settings with its lists."""
    return [RowKey("account", (account_id,))]
