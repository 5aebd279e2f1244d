"""Who changed which setting of an account, and when; kept with its settings, so that every worker has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Literal

from worker.clock import as_text
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.sqlite.rows import Rows
from worker.store import settings_notes
from worker.store.accounts import AccountList, AccountSettings

MOST_KEPT = 200
"""The number of changes that are kept per account, the newest."""

Setting = Literal["api_key", "enabled", "status_if_new", "stored_list", "master_list", "merge_field", "paused"]


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes settings, and when.

    Attributes:
        who: "operator", "account acct-1 (Ann)", or for a command "command (the user's name)".
    """

    who: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SettingChange:
    """One change of a setting.

    Attributes:
        before: the value as text, as JSON names it; None for none.
        after: likewise; None for none.
    """

    at: str
    by: str
    setting: Setting
    before: str | None
    after: str | None


_NAMES = tuple(column.name for column in fields(SettingChange))


def changes(before: AccountSettings, after: AccountSettings, author: Author) -> list[SettingChange]:
    """Returns the differences between settings. An API key is shown as its last four characters and data centre."""
    at = as_text(author.at)
    return [SettingChange(at, author.who, *difference) for difference in _differences(before, after)]


def _differences(before: AccountSettings, after: AccountSettings) -> Iterator[tuple[Setting, str | None, str | None]]:
    if (before.key_hint, before.connected_at) != (after.key_hint, after.connected_at):
        yield "api_key", _hint(before), _hint(after)
    if before.enabled != after.enabled:
        yield "enabled", str(before.enabled).lower(), str(after.enabled).lower()
    if before.status_if_new != after.status_if_new:
        yield "status_if_new", before.status_if_new, after.status_if_new
    old = {account_list.list_id: account_list.label for account_list in before.stored}
    new = {account_list.list_id: account_list.label for account_list in after.stored}
    for list_id in sorted(old.keys() ^ new.keys()):
        yield "stored_list", old.get(list_id), new.get(list_id)
    if before.master_list != after.master_list:
        yield "master_list", before.master_label, after.master_label
    yield from _fields_chosen(before, after)
    if _is_paused(before) and not _is_paused(after):
        yield "paused", "true", "false"


def _is_paused(settings: AccountSettings) -> bool:
    return settings.pause is not None or any(account_list.pause is not None for account_list in settings.lists)


def _fields_chosen(before: AccountSettings, after: AccountSettings) -> Iterator[tuple[Setting, str | None, str | None]]:
    for account_list in after.lists:
        known = before.list_of(account_list.list_id)
        old, new = (known.merge_fields or {}) if known is not None else {}, account_list.merge_fields or {}
        for tag in sorted(old.keys() | new.keys()):
            if old.get(tag) != new.get(tag):
                yield "merge_field", _source(account_list, old, tag), _source(account_list, new, tag)


def _source(account_list: AccountList, mapping: Mapping[str, str], tag: str) -> str | None:
    return f"{tag}={mapping[tag]} on {account_list.label}" if tag in mapping else None


def _hint(settings: AccountSettings) -> str | None:
    return f"…{settings.key_hint}" if settings.key_hint else None


def note(db: Database, before: AccountSettings, after: AccountSettings, author: Author | None) -> Rows:
    """Records the differences between settings, in the transaction that saves them.

    Args:
        author: None if no person changes them: nothing is recorded.
    """
    new = [] if author is None else changes(before, after, author)
    if not new:
        return []
    newest = [*read(db, after.account_id), *new][-MOST_KEPT:]
    return settings_notes.put(db, "settings_log", after.account_id, [asdict(change) for change in newest])


def read(db: Database, account_id: AccountId) -> list[SettingChange]:
    """Returns the recorded changes of an account's settings, oldest first."""
    recorded = settings_notes.data_of(db, "settings_log", account_id) or []
    return [SettingChange(**{name: data.get(name) for name in _NAMES}) for data in recorded]
