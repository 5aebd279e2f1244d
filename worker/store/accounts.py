"""What each account chose: its row, with the lists that its last refresh found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from worker.clock import as_text
from worker.model import AccountId, ListId
from worker.store import lists
from worker.store.changed_rows import Rows, account_rows
from worker.store.database import Database
from worker.store.lists import AccountList, Pause
from worker.store.rows import Form, RowMapper

StatusIfNew = Literal["subscribed", "pending"]
"""How contacts are added: as subscribed, or as pending, for double opt-in."""


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """An account's settings, without its API key.

    Attributes:
        enabled: whether the account wants its customers delivered.
        key_hint: the four characters of its API key before the data centre, and that; None without a key.
        master_list: the list of every customer that is associated with no stored list; None until chosen.
        connected_at: when the API key was stored.
        refreshed_at: when its lists were last read from Mailchimp.
        enabled_at: since when it is enabled: it takes part in the daily flushes from the first one after that. None
            where an earlier release enabled it.
        confirmed: members of each list that may leave it in the next flush, as somebody confirmed when the settings
            were changed; None where nothing was asked.
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
    enabled_at: datetime | None = None
    confirmed: Mapping[ListId, int] | None = None

    @property
    def data_centre(self) -> str:
        """The Mailchimp data centre of its API key; empty without a key."""
        return (self.key_hint or "").rpartition("-")[2]

    @property
    def stored(self) -> tuple[AccountList, ...]:
        """The lists that the account uses, those gone from Mailchimp included."""
        return tuple(one for one in self.lists if one.stored)

    def list_of(self, list_id: str | None) -> AccountList | None:
        """Returns the list of that id if a refresh found it, stored or not."""
        return next((one for one in self.lists if one.list_id == list_id), None)


_ROW = RowMapper(
    AccountSettings,
    leave_out=("lists", "unapplied"),
    pause=lists.PAUSE,
    master_list=Form(("master_list",), lambda list_id: (list_id,), lambda row: row["master_list"] or None),
)
_SELECT = (
    "SELECT account.*, (SELECT min(number) FROM dead_letter WHERE dead_letter.account_id = account.account_id) "
    "AS unapplied FROM account"
)


def _settings(db: Database, row: Any) -> AccountSettings:
    return _ROW.read(row, lists=lists.of_account(db, row["account_id"]), unapplied=row["unapplied"])


def find(db: Database, account_id: AccountId) -> AccountSettings | None:
    """Returns the account's settings, or None for an account that never chose any."""
    row = db.execute(f"{_SELECT} WHERE account_id = ?", (account_id,)).fetchone()
    return _settings(db, row) if row else None


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
    return tuple(_settings(db, row) for row in rows)


def all_ids(db: Database) -> set[AccountId]:
    """Returns the ids of all accounts that chose any settings."""
    return {AccountId(row[0]) for row in db.execute("SELECT account_id FROM account")}


def save(db: Database, settings: AccountSettings) -> Rows:
    """Writes the account and its lists as given; its API key stays as it is."""
    db.execute(
        f"INSERT INTO account ({_ROW.names}) VALUES ({_ROW.marks}) "
        f"ON CONFLICT (account_id) DO UPDATE SET {_ROW.over('account_id')}",
        _ROW.values(settings),
    )
    return account_rows(settings.account_id) + lists.save(db, settings.account_id, settings.lists)


def encrypted_key(db: Database, account_id: AccountId) -> bytes | None:
    """Returns the account's API key as it is kept, encrypted, or None without one."""
    row = db.execute("SELECT api_key FROM account WHERE account_id = ?", (account_id,)).fetchone()
    return bytes(row["api_key"]) if row and row["api_key"] is not None else None


def set_encrypted_key(db: Database, account_id: AccountId, encrypted: bytes | None) -> Rows:
    """Writes the encrypted API key of an account that is there; None removes it."""
    written = db.execute("UPDATE account SET api_key = ? WHERE account_id = ?", (encrypted, account_id))
    return account_rows(account_id) if written.rowcount else []


def pause(db: Database, account_id: AccountId, pause: Pause) -> Rows:
    """Pauses the account; one that is paused already keeps its first reason and time."""
    paused = db.execute(
        "UPDATE account SET paused_reason = ?, paused_at = ? WHERE account_id = ? AND paused_at IS NULL",
        (pause.reason, as_text(pause.since), account_id),
    )
    return account_rows(account_id) if paused.rowcount else []


def take_confirmed(db: Database, account_id: AccountId) -> Rows:
    """Takes back what somebody confirmed: it is for one flush."""
    taken = db.execute(
        "UPDATE account SET confirmed = NULL WHERE account_id = ? AND confirmed IS NOT NULL", (account_id,)
    )
    return account_rows(account_id) if taken.rowcount else []


def delete(db: Database, account_id: AccountId) -> Rows:
    """Removes the account's row and its lists."""
    gone = [db.execute(f"DELETE FROM {table} WHERE account_id = ?", (account_id,)) for table in ("account", "list")]
    return account_rows(account_id) if any(one.rowcount for one in gone) else []
