"""Each account's settings, and its lists as the last refresh found them in Mailchimp."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal

from worker.clock import as_moment, as_text
from worker.model import AccountId, Customer, ListId, MembershipKey
from worker.sqlite.database import Database
from worker.sqlite.rows import Form, RowMapper, Rows, account_rows

DEPARTURES_LOST = datetime.min.replace(tzinfo=UTC)
"""In place of the time of a reading: its results may be lost with the ledger."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Why nothing is delivered for now.

    Attributes:
        reason: what Mailchimp refused, for a person.
    """

    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class AccountList:
    """A Mailchimp list that an account's refresh found.

    Attributes:
        stored: whether the account uses it.
        member_count: subscribed members, at the last refresh.
        marketing_permissions: whether the list has them; contacts are added without any.
        gone_at: when Mailchimp was found to no longer have it; None if it has.
        pause: why nothing is delivered to this list; None if it is not paused.
        departures_read_at: Mailchimp's time when the last complete reading of its departures began; None if there was
            none; DEPARTURES_LOST if its results may be lost. :func:`save_lists` leaves it unchanged.
        merge_fields: merge tag to customer field or attribute, where the account chose another than the default; "" for
            a tag that is not filled.
        members_read_at: the same for the last reading of all members, whatever their status; None if there was none.
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
    def label(self) -> str:
        """Its name and id, for a person."""
        return f"{self.name} ({self.list_id})"

    @property
    def departures_lost(self) -> bool:
        """Whether departures that were read are lost, so that any flush reads them again."""
        return self.departures_read_at == DEPARTURES_LOST

    @property
    def gone(self) -> bool:
        """Whether Mailchimp no longer has it."""
        return self.gone_at is not None


OWN_LIST = "its own list"
NO_LIST_GIVEN = "master list: no list given"
NOT_STORED = "master list: the list given is not stored"
LIST_GONE = "master list: the list given is gone from Mailchimp"


@dataclass(frozen=True, slots=True)
class TargetList:
    """The list for one customer.

    Attributes:
        reason: why this list.
        obstacle: why nothing may be sent for the customer now; None if it may.
    """

    list_id: ListId
    reason: str
    obstacle: str | None = None


StatusIfNew = Literal["subscribed", "pending"]
"""How contacts are added: as subscribed, or as pending, for double opt-in."""


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """An account's settings, without its API key.

    Attributes:
        enabled: whether the account wants its customers delivered.
        key_hint: the last four characters of its API key and the data centre; None without a key.
        master_list: the list of customers without a stored list of their own; None until chosen.
        connected_at: when the API key was stored.
        refreshed_at: when its lists were last read from Mailchimp.
        enabled_at: when it was enabled: it takes part in daily flushes after that. None if an earlier release enabled
            it.
        confirmed: how many members may leave each list in the next flush, confirmed when the settings were changed;
            None if confirmation was not needed.
        pause: why the whole account is paused; None if it is not.
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
        """The lists that the account uses, including those gone from Mailchimp."""
        return tuple(account_list for account_list in self.lists if account_list.stored)

    @property
    def stored_ids(self) -> frozenset[ListId]:
        """The ids of the lists that the account uses."""
        return frozenset(account_list.list_id for account_list in self.stored)

    def list_of(self, list_id: str | None) -> AccountList | None:
        """Returns the list with this id if a refresh found it, stored or not."""
        return next((account_list for account_list in self.lists if account_list.list_id == list_id), None)

    def is_gone(self, list_id: ListId) -> bool:
        """Returns whether a list is gone from Mailchimp, or no refresh has found it."""
        on_list = self.list_of(list_id)
        return on_list is None or on_list.gone

    def label_of(self, list_id: str) -> str:
        """Returns the name and id of a list, as far as they are known."""
        account_list = self.list_of(list_id)
        return account_list.label if account_list is not None else list_id

    @property
    def master_label(self) -> str | None:
        """The same for the master list; None until it is chosen."""
        return self.label_of(self.master_list) if self.master_list is not None else None

    def target_list(
        self, customer: Customer, place: MembershipKey | None, not_read: Mapping[ListId, str] = MappingProxyType({})
    ) -> TargetList:
        """Returns a customer's list: its own if the account stored that, else the master list, which must be chosen.

        Args:
            place: where the customer was last settled.
            not_read: lists whose departures are unknown now, and why.

        Returns:
            The list and why. An obstacle if it is paused, or the customer would move off a list that could not be read,
            or was on one that is gone: then the account must choose, because nobody can know who left.
        """
        own, master = self.list_of(customer.state.list_id), self.master_list
        assert master is not None, "a flush of an account without a master list is never planned"
        if customer.state.list_id is None:
            choice = TargetList(master, NO_LIST_GIVEN)
        elif own is None or not own.stored:
            choice = TargetList(master, NOT_STORED)
        elif not own.gone:
            choice = TargetList(own.list_id, OWN_LIST)
        elif place is not None and place.list_id == own.list_id:
            state = "is gone from Mailchimp; each flush looks for it again"
            if own.list_id in not_read:
                state = f"could not be read: {not_read[own.list_id]}"
            return TargetList(own.list_id, OWN_LIST, obstacle=f"the list {own.name} {state}")
        else:
            choice = TargetList(master, LIST_GONE)
        chosen = self.list_of(choice.list_id)
        if chosen is not None and chosen.pause is not None:
            return replace(choice, obstacle=f"the list {chosen.name} is paused: {chosen.pause.reason}")
        if place is not None and place.list_id != choice.list_id and place.list_id in not_read:
            why = f"could not be read: {not_read[place.list_id]}"
            return replace(choice, obstacle=f"who left the list {place.list_id}, from which it moves, {why}")
        return choice


def _pause(row: Any) -> Pause | None:
    return None if row["paused_at"] is None else Pause(row["paused_reason"] or "", as_moment(row["paused_at"]))


_PAUSE = Form(
    ("paused_reason", "paused_at"),
    lambda pause: (None, None) if pause is None else (pause.reason, as_text(pause.since)),
    _pause,
)
"""How a pause is stored, of an account or a list."""
_LIST = RowMapper(AccountList, pause=_PAUSE)
_SAVED_LIST = RowMapper(AccountList, leave_out=("departures_read_at", "members_read_at"), pause=_PAUSE)
_ROW = RowMapper(
    AccountSettings,
    leave_out=("lists", "unapplied"),
    pause=_PAUSE,
    master_list=Form(("master_list",), lambda list_id: (list_id,), lambda row: row["master_list"] or None),
)
_SELECT = (
    "SELECT account.*, (SELECT min(number) FROM dead_letter WHERE dead_letter.account_id = account.account_id) "
    "AS unapplied FROM account"
)


def _settings(db: Database, row: Any) -> AccountSettings:
    return _ROW.read(row, lists=lists_of(db, row["account_id"]), unapplied=row["unapplied"])


def find(db: Database, account_id: AccountId) -> AccountSettings | None:
    """Returns the account's settings; None if it has none."""
    row = db.execute(f"{_SELECT} WHERE account_id = ?", (account_id,)).fetchone()
    return _settings(db, row) if row else None


@dataclass(frozen=True, slots=True)
class InForce:
    """What calls depend on now: settings, and whom somebody erased.

    Attributes:
        enabled: False too for an account without settings.
        api_key: encrypted.
        stored: ids of the lists that the account uses.
        of_others: ids of its lists that another account uses.
        erasures: how many transactions erased somebody from the account since its flush began; None without a flush.
    """

    enabled: bool
    api_key: bytes | None
    master_list: ListId | None
    stored: frozenset[ListId]
    of_others: frozenset[ListId]
    erasures: int | None


def in_force(db: Database, account_id: AccountId) -> InForce:
    """Returns what calls of an account depend on, by one quick query."""
    row = db.execute(
        "SELECT enabled, api_key, master_list, (SELECT json_group_array(list_id) FROM list "
        "WHERE account_id = ?1 AND stored = 1) AS stored, (SELECT json_group_array(mine.list_id) FROM list AS mine "
        "JOIN list AS other ON other.list_id = mine.list_id AND other.stored = 1 "
        "WHERE mine.account_id = ?1 AND mine.stored = 0) AS of_others, "
        "(SELECT number FROM erasure WHERE account_id = ?1) AS erasures "
        "FROM (SELECT 1) LEFT JOIN account ON account_id = ?1",
        (account_id,),
    ).fetchone()
    stored, of_others = (frozenset(json.loads(row[name])) for name in ("stored", "of_others"))
    return InForce(bool(row["enabled"]), row["api_key"], row["master_list"], stored, of_others, row["erasures"])


def all_accounts(db: Database) -> tuple[AccountSettings, ...]:
    """Returns the settings of all accounts that have any, by id."""
    rows = db.execute(f"{_SELECT} ORDER BY account_id").fetchall()
    return tuple(_settings(db, row) for row in rows)


def ids_in(db: Database, table: str) -> Iterator[AccountId]:
    """Yields the accounts that have rows in a table whose primary key begins with the account, in order.

    Looks each up by that key: millions of rows may belong to a hundred accounts.
    """
    after = ""
    query = f"SELECT min(account_id) FROM {table} WHERE account_id > ?"
    while (account_id := db.value(AccountId, query, (after,))) is not None:
        yield account_id
        after = account_id


def all_ids(db: Database) -> set[AccountId]:
    """Returns the ids of all accounts with settings."""
    return set(db.column(AccountId, "SELECT account_id FROM account"))


def save(db: Database, settings: AccountSettings) -> Rows:
    """Stores the account and its lists; its API key stays unchanged."""
    db.execute(_ROW.upsert("account", key=("account_id",)), _ROW.values(settings))
    return account_rows(settings.account_id) + save_lists(db, settings.account_id, settings.lists)


def encrypted_key(db: Database, account_id: AccountId) -> bytes | None:
    """Returns the account's encrypted API key; None without one."""
    return db.value(bytes, "SELECT api_key FROM account WHERE account_id = ?", (account_id,))


def set_encrypted_key(db: Database, account_id: AccountId, encrypted: bytes | None) -> Rows:
    """Stores the encrypted API key of an account with settings; None removes it."""
    return _update(db, account_id, "account SET api_key = ?2 WHERE account_id = ?1", encrypted)


def pause(db: Database, account_id: AccountId, pause: Pause) -> Rows:
    """Pauses the account; one that is already paused keeps its first reason and time."""
    update = "account SET paused_reason = ?2, paused_at = ?3 WHERE account_id = ?1 AND paused_at IS NULL"
    return _update(db, account_id, update, pause.reason, as_text(pause.since))


def take_confirmed(db: Database, account_id: AccountId) -> Rows:
    """Uses up what was confirmed, which is for one flush."""
    return _update(db, account_id, "account SET confirmed = NULL WHERE account_id = ?1 AND confirmed IS NOT NULL")


def _update(db: Database, account_id: AccountId, update: str, *values: Any) -> Rows:
    return account_rows(account_id) if db.execute(f"UPDATE {update}", (account_id, *values)).rowcount else []


def delete(db: Database, account_id: AccountId) -> Rows:
    """Deletes the account's row and its lists."""
    deletions = [
        db.execute(f"DELETE FROM {table} WHERE account_id = ?", (account_id,)) for table in ("account", "list")
    ]
    return account_rows(account_id) if any(cursor.rowcount for cursor in deletions) else []


def lists_of(db: Database, account_id: AccountId) -> tuple[AccountList, ...]:
    """Returns every list of the account that a refresh found, by name."""
    return tuple(_LIST.select(db, "list WHERE account_id = ? ORDER BY name, list_id", (account_id,)))


def save_lists(db: Database, account_id: AccountId, lists: Iterable[AccountList]) -> Rows:
    """Stores lists, each over its row."""
    db.executemany(
        _SAVED_LIST.upsert("list", "account_id", key=("list_id",)),
        [(account_id, *_SAVED_LIST.values(account_list)) for account_list in lists],
    )
    return account_rows(account_id)


def pause_list(db: Database, account_id: AccountId, list_id: ListId, pause: Pause) -> Rows:
    """Pauses one list of the account; one that is already paused keeps its first reason and time."""
    update = "list SET paused_reason = ?3, paused_at = ?4 WHERE account_id = ?1 AND list_id = ?2 AND paused_at IS NULL"
    return _update(db, account_id, update, list_id, pause.reason, as_text(pause.since))


def mark_list_gone(db: Database, account_id: AccountId, list_id: ListId, at: datetime) -> Rows:
    """Records that Mailchimp no longer has the list, keeping the first time it was noticed."""
    update = "list SET gone_at = ?3 WHERE account_id = ?1 AND list_id = ?2 AND gone_at IS NULL"
    return _update(db, account_id, update, list_id, as_text(at))


def mark_list_back(db: Database, account_id: AccountId, list_id: ListId, at: datetime) -> Rows:
    """Records that Mailchimp has a list that was gone.

    One that a refresh dropped is named by its id until the next refresh.
    """
    db.execute(
        "INSERT INTO list (account_id, list_id, name, stored, member_count, marketing_permissions, refreshed_at) "
        "VALUES (?, ?, ?, 0, 0, 0, ?) ON CONFLICT (account_id, list_id) DO UPDATE SET gone_at = NULL",
        (account_id, list_id, list_id, as_text(at)),
    )
    return account_rows(account_id)


def delete_lists(db: Database, account_id: AccountId, list_ids: Iterable[ListId]) -> Rows:
    """Deletes lists of the account."""
    db.executemany(
        "DELETE FROM list WHERE account_id = ? AND list_id = ?", [(account_id, list_id) for list_id in list_ids]
    )
    return account_rows(account_id)


def stored_by(db: Database, list_id: ListId) -> AccountId | None:
    """Returns the one account that stored the list; None if there is none."""
    return db.value(AccountId, "SELECT account_id FROM list WHERE list_id = ? AND stored = 1", (list_id,))


def stored_by_others(db: Database, account_id: AccountId) -> frozenset[ListId]:
    """Returns the lists that other accounts have stored."""
    return frozenset(db.column(ListId, "SELECT list_id FROM list WHERE stored = 1 AND account_id <> ?", (account_id,)))
