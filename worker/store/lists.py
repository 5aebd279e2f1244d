"""The lists of an account, as its last refresh found them in Mailchimp."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from worker.clock import as_moment, as_text
from worker.model import AccountId, ListId
from worker.store.changed_rows import Rows, account_rows
from worker.store.database import Database
from worker.store.rows import Form, RowMapper

DEPARTURES_LOST = datetime.min.replace(tzinfo=UTC)
"""Instead of the time of a reading: what was read may be lost, with the ledger."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Why nothing is delivered for the time being.

    Attributes:
        reason: what Mailchimp refused, for a person to read.
    """

    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class AccountList:
    """A Mailchimp list that an account's refresh found.

    Attributes:
        stored: whether the account uses it.
        member_count: subscribed members, as the last refresh read it.
        marketing_permissions: whether the list asks its members for them; contacts are added without any.
        gone_at: when Mailchimp was found not to have it any more; None while it is there.
        pause: why nothing is delivered to this list; None when it is.
        departures_read_at: Mailchimp's time when the last whole reading of its departures began; None where there was
            none; DEPARTURES_LOST where what it told may be lost. :func:`save` leaves it as it is.
        merge_fields: merge tag to the customer's field or attribute that goes there, where the account chose other
            ones than the default; empty text for a tag that gets nothing.
        members_read_at: the same of the last reading of all members, whatever their status; None where there was none.
    """

    list_id: ListId
    name: str
    stored: bool
    member_count: int
    marketing_permissions: bool
    refreshed_at: datetime
    gone_at: datetime | None = None
    pause: Pause | None = None
    departures_read_at: datetime | None = None
    merge_fields: Mapping[str, str] | None = None
    members_read_at: datetime | None = None

    @property
    def departures_lost(self) -> bool:
        """Whether departures that were read are lost: any flush reads them again."""
        return self.departures_read_at == DEPARTURES_LOST

    @property
    def gone(self) -> bool:
        """Whether Mailchimp no longer has it."""
        return self.gone_at is not None


def _pause(row: Any) -> Pause | None:
    return None if row["paused_at"] is None else Pause(row["paused_reason"] or "", as_moment(row["paused_at"]))


PAUSE = Form(
    ("paused_reason", "paused_at"),
    lambda pause: (None, None) if pause is None else (pause.reason, as_text(pause.since)),
    _pause,
)
"""How a pause is kept, of an account or a list."""
_ROW = RowMapper(AccountList, pause=PAUSE)
_SAVED = RowMapper(AccountList, leave_out=("departures_read_at", "members_read_at"), pause=PAUSE)


def of_account(db: Database, account_id: AccountId) -> tuple[AccountList, ...]:
    """Returns every list of the account that a refresh found, by name."""
    rows = db.execute("SELECT * FROM list WHERE account_id = ? ORDER BY name, list_id", (account_id,))
    return tuple(_ROW.read(row) for row in rows)


def save(db: Database, account_id: AccountId, lists: Iterable[AccountList]) -> Rows:
    """Writes the lists as they are given, over what is there of them."""
    db.executemany(
        f"INSERT INTO list (account_id, {_SAVED.names}) VALUES (?, {_SAVED.marks}) "
        f"ON CONFLICT (account_id, list_id) DO UPDATE SET {_SAVED.over('list_id')}",
        [(account_id, *_SAVED.values(one)) for one in lists],
    )
    return account_rows(account_id)


def pause(db: Database, account_id: AccountId, list_id: ListId, pause: Pause) -> Rows:
    """Pauses one list of the account; one that is paused already keeps its first reason and time."""
    paused = db.execute(
        """
        UPDATE list SET paused_reason = ?, paused_at = ?
        WHERE account_id = ? AND list_id = ? AND paused_at IS NULL
        """,
        (pause.reason, as_text(pause.since), account_id, list_id),
    )
    return account_rows(account_id) if paused.rowcount else []


def mark_gone(db: Database, account_id: AccountId, list_id: ListId, at: datetime) -> Rows:
    """Notes that Mailchimp no longer has the list; the first time it was noticed stays."""
    marked = db.execute(
        "UPDATE list SET gone_at = ? WHERE account_id = ? AND list_id = ? AND gone_at IS NULL",
        (as_text(at), account_id, list_id),
    )
    return account_rows(account_id) if marked.rowcount else []


def delete(db: Database, account_id: AccountId, list_ids: Iterable[ListId]) -> Rows:
    """Removes the lists from the account."""
    db.executemany("DELETE FROM list WHERE account_id = ? AND list_id = ?", [(account_id, one) for one in list_ids])
    return account_rows(account_id)


def stored_by(db: Database, list_id: ListId) -> AccountId | None:
    """Returns the one account that stored the list, or None."""
    row = db.execute("SELECT account_id FROM list WHERE list_id = ? AND stored = 1", (list_id,)).fetchone()
    return AccountId(row["account_id"]) if row else None


def stored_by_others(db: Database, account_id: AccountId) -> frozenset[ListId]:
    """Returns the lists that other accounts have stored."""
    rows = db.execute("SELECT list_id FROM list WHERE stored = 1 AND account_id <> ?", (account_id,))
    return frozenset(ListId(row["list_id"]) for row in rows)
