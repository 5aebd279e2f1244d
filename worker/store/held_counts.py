"""Counts of what a flush held back and showed to an operator, who may confirm that number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from worker.clock import as_moment
from worker.model import AccountId, ListId
from worker.sqlite.database import Database

HeldKind = Literal["departures", "moves"]
"""departures: members that would leave the list · moves: customers that would move off a list that cannot be read."""

CONFIRM_WITHIN = timedelta(hours=1)
"""How long after it was shown a number can be confirmed."""


@dataclass(frozen=True, slots=True)
class HeldCount:
    """How many changes of one kind were held back on one list.

    Attributes:
        shown_at: when the number was shown, as text.
    """

    list_id: ListId
    kind: HeldKind
    count: int
    shown_at: str = ""


def can_be_confirmed(counts: Iterable[HeldCount], now: datetime) -> bool:
    """Returns whether a person still has at least a minute to confirm all of them."""
    return all(now - as_moment(count.shown_at) < CONFIRM_WITHIN - timedelta(minutes=1) for count in counts)


def show(db: Database, account_id: AccountId, counts: Iterable[HeldCount], at: str) -> None:
    """Replaces an account's counts by those of a new flush. Call it in a transaction."""
    delete_account(db, account_id)
    db.executemany(
        "INSERT INTO held_back (account_id, list_id, what, count, shown_at) VALUES (?,?,?,?,?)",
        [(account_id, count.list_id, count.kind, count.count, at) for count in counts],
    )


def shown_since(db: Database, account_id: AccountId, moment: str) -> list[HeldCount]:
    """Returns an account's counts that were shown since a time."""
    rows = db.execute(
        "SELECT list_id, what, count, shown_at FROM held_back WHERE account_id = ? AND shown_at >= ?",
        (account_id, moment),
    )
    return [HeldCount(*row) for row in rows]


def all_shown(db: Database) -> dict[AccountId, list[HeldCount]]:
    """Returns the counts of each account's last flush."""
    by_account: dict[AccountId, list[HeldCount]] = {}
    rows = db.execute("SELECT account_id, list_id, what, count, shown_at FROM held_back ORDER BY account_id, list_id")
    for account_id, *row in rows:
        by_account.setdefault(AccountId(account_id), []).append(HeldCount(*row))
    return by_account


def delete_account(db: Database, account_id: AccountId) -> None:
    """Deletes an account's counts. Call it in a transaction."""
    db.execute("DELETE FROM held_back WHERE account_id = ?", (account_id,))
