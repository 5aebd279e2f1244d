"""Counts of what a flush held back and showed to an operator, who may confirm that number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Literal

from worker.clock import as_moment
from worker.model import AccountId, ListId
from worker.sqlite.database import Database
from worker.sqlite.rows import Form, RowMapper

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


_ROW = RowMapper(HeldCount, kind=Form(("what",), lambda kind: (kind,), itemgetter("what")))


def is_confirmed(count: HeldCount, confirmed: datetime, now: datetime) -> bool:
    """Returns whether a confirmation covers a count: it was shown before, and within an hour.

    A count from the future was shown before the clock was set back: its age is unknown.
    """
    shown = as_moment(count.shown_at)
    return shown <= confirmed and shown <= now <= shown + CONFIRM_WITHIN


def can_be_confirmed(counts: Iterable[HeldCount], now: datetime) -> bool:
    """Returns whether a person still has at least a minute to confirm all of them."""
    return all(is_confirmed(count, now, now + timedelta(minutes=1)) for count in counts)


def show(db: Database, account_id: AccountId, counts: Iterable[HeldCount], at: str) -> None:
    """Replaces an account's counts by those of a new flush. Call it in a transaction."""
    delete_account(db, account_id)
    rows = [(account_id, *_ROW.values(replace(count, shown_at=at))) for count in counts]
    db.executemany(_ROW.insert("held_back", "account_id"), rows)


def confirmed_counts(db: Database, account_id: AccountId, confirmed: datetime, now: datetime) -> list[HeldCount]:
    """Returns which counts of an account a confirmation covers."""
    counts = _ROW.select(db, "held_back WHERE account_id = ?", (account_id,))
    return [count for count in counts if is_confirmed(count, confirmed, now)]


def all_shown(db: Database) -> dict[AccountId, list[HeldCount]]:
    """Returns the counts of each account's last flush."""
    by_account: dict[AccountId, list[HeldCount]] = {}
    for row in db.execute("SELECT * FROM held_back ORDER BY account_id, list_id"):
        by_account.setdefault(AccountId(row["account_id"]), []).append(_ROW.read(row))
    return by_account


def delete_account(db: Database, account_id: AccountId) -> None:
    """Deletes an account's counts. Call it in a transaction."""
    db.execute("DELETE FROM held_back WHERE account_id = ?", (account_id,))
