"""What each account chose: its row, with the lists that its last refresh found."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from worker.clock import as_moment, as_text
from worker.model import AccountId, ListId
from worker.store import lists
from worker.store.changed_rows import Rows, account_rows
from worker.store.database import Database
from worker.store.lists import AccountList, Pause, pause_from_row

StatusIfNew = Literal["subscribed", "pending"]
"""How contacts are added: as subscribed, or as pending, for double opt-in."""


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """An account's settings, without its API key.

    Attributes:
        enabled: whether the account wants its customers delivered.
        key_hint: the last four characters of its API key; None without a key.
        master_list: the list of every customer that is associated with no stored list; None until chosen.
        connected_at: when the API key was stored.
        refreshed_at: when its lists were last read from Mailchimp.
        pause: why the whole account is paused; None when it is not.
        lists: every list that a refresh found, stored or not, by name.
        unapplied: number of a dead letter: a record of its ledger or settings that this release cannot apply.
    """

    account_id: AccountId
    enabled: bool = False
    key_hint: str | None = None
    master_list: ListId | None = None
    status_if_new: StatusIfNew = "subscribed"
    connected_at: datetime | None = None
    refreshed_at: datetime | None = None
    pause: Pause | None = None
    lists: tuple[AccountList, ...] = ()
    unapplied: int | None = None

    @classmethod
    def from_row(cls, row: Any, lists: tuple[AccountList, ...]) -> AccountSettings:
        """Returns the settings that a row of the account table and the account's lists say."""
        return cls(
            account_id=AccountId(row["account_id"]),
            enabled=bool(row["enabled"]),
            key_hint=row["key_hint"],
            master_list=ListId(row["master_list"]) if row["master_list"] else None,
            status_if_new=row["status_if_new"],
            connected_at=as_moment(row["connected_at"]) if row["connected_at"] else None,
            refreshed_at=as_moment(row["refreshed_at"]) if row["refreshed_at"] else None,
            pause=pause_from_row(row),
            lists=lists,
            unapplied=row["unapplied"],
        )

    @property
    def stored(self) -> tuple[AccountList, ...]:
        """The lists that the account uses, those gone from Mailchimp included."""
        return tuple(one for one in self.lists if one.stored)

    def list_of(self, list_id: str | None) -> AccountList | None:
        """Returns the list of that id if a refresh found it, stored or not."""
        return next((one for one in self.lists if one.list_id == list_id), None)


_SELECT = (
    "SELECT account.*, (SELECT min(number) FROM dead_letter WHERE dead_letter.account_id = account.account_id) "
    "AS unapplied FROM account"
)


def find(db: Database, account_id: AccountId) -> AccountSettings | None:
    """Returns the account's settings, or None for an account that never chose any."""
    row = db.execute(f"{_SELECT} WHERE account_id = ?", (account_id,)).fetchone()
    return AccountSettings.from_row(row, lists.of_account(db, account_id)) if row else None


@dataclass(frozen=True, slots=True)
class InForce:
    """The settings by which calls are made, as they are now.

    Attributes:
        api_key: encrypted.
        stored: ids of the lists that the account uses.
        of_others: ids of its lists that another account uses.
    """

    enabled: bool
    api_key: bytes | None
    master_list: ListId | None
    stored: frozenset[ListId]
    of_others: frozenset[ListId]


def in_force(db: Database, account_id: AccountId) -> InForce | None:
    """Returns the settings by which calls are made, by one quick query; None for an account without any."""
    row = db.execute(
        "SELECT enabled, api_key, master_list, (SELECT json_group_array(list_id) FROM list "
        "WHERE account_id = ?1 AND stored = 1) AS stored, (SELECT json_group_array(mine.list_id) FROM list AS mine "
        "JOIN list AS other ON other.list_id = mine.list_id AND other.stored = 1 "
        "WHERE mine.account_id = ?1 AND mine.stored = 0) AS of_others FROM account WHERE account_id = ?1",
        (account_id,),
    ).fetchone()
    if row is None:
        return None
    stored, of_others = (frozenset(json.loads(row[name])) for name in ("stored", "of_others"))
    return InForce(bool(row["enabled"]), row["api_key"], row["master_list"], stored, of_others)


def all_accounts(db: Database) -> tuple[AccountSettings, ...]:
    """Returns the settings of every account that chose any, by id."""
    rows = db.execute(f"{_SELECT} ORDER BY account_id").fetchall()
    return tuple(AccountSettings.from_row(row, lists.of_account(db, AccountId(row["account_id"]))) for row in rows)


def save(db: Database, settings: AccountSettings) -> Rows:
    """Writes the account and its lists as given; its API key stays as it is."""
    db.execute(
        """
        INSERT INTO account
            (account_id, key_hint, enabled, master_list, status_if_new, connected_at, refreshed_at,
             paused_reason, paused_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (account_id) DO UPDATE SET
            key_hint = excluded.key_hint, enabled = excluded.enabled, master_list = excluded.master_list,
            status_if_new = excluded.status_if_new, connected_at = excluded.connected_at,
            refreshed_at = excluded.refreshed_at, paused_reason = excluded.paused_reason,
            paused_at = excluded.paused_at
        """,
        (
            settings.account_id,
            settings.key_hint,
            int(settings.enabled),
            settings.master_list,
            settings.status_if_new,
            as_text(settings.connected_at) if settings.connected_at else None,
            as_text(settings.refreshed_at) if settings.refreshed_at else None,
            settings.pause.reason if settings.pause else None,
            as_text(settings.pause.since) if settings.pause else None,
        ),
    )
    return account_rows(settings.account_id) + lists.save(db, settings.account_id, settings.lists)


def encrypted_key(db: Database, account_id: AccountId) -> bytes | None:
    """Returns the account's API key as it is kept, encrypted, or None without one."""
    row = db.execute("SELECT api_key FROM account WHERE account_id = ?", (account_id,)).fetchone()
    return bytes(row["api_key"]) if row and row["api_key"] is not None else None


def set_encrypted_key(db: Database, account_id: AccountId, encrypted: bytes) -> Rows:
    """Writes the encrypted API key of an account that is there."""
    written = db.execute("UPDATE account SET api_key = ? WHERE account_id = ?", (encrypted, account_id))
    return account_rows(account_id) if written.rowcount else []


def pause(db: Database, account_id: AccountId, pause: Pause) -> Rows:
    """Pauses the account; one that is paused already keeps its first reason and time."""
    paused = db.execute(
        "UPDATE account SET paused_reason = ?, paused_at = ? WHERE account_id = ? AND paused_at IS NULL",
        (pause.reason, as_text(pause.since), account_id),
    )
    return account_rows(account_id) if paused.rowcount else []


def delete(db: Database, account_id: AccountId) -> Rows:
    """Removes the account's row and its lists."""
    gone = [db.execute(f"DELETE FROM {table} WHERE account_id = ?", (account_id,)) for table in ("account", "list")]
    return account_rows(account_id) if any(one.rowcount for one in gone) else []
