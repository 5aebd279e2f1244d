"""Who changed which setting of an account, and when; kept with its settings, so that every worker has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Literal

from worker.clock import as_text
from worker.model import AccountId
from worker.sqlite.changed_rows import Rows
from worker.sqlite.database import Database
from worker.store import settings_notes
from worker.store.accounts import AccountSettings

ABOUT = "settings_log"
"""The kind of these rows among the notes beside the settings."""
MOST_KEPT = 200
"""The newest changes are kept, so many per account."""

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
        at: when, as text.
        by: who.
        before: the value as text, as JSON names it; None for none.
        after: likewise; None for none.
    """

    at: str
    by: str
    setting: Setting
    before: str | None
    after: str | None


_NAMES = tuple(one.name for one in fields(SettingChange))


def changes(before: AccountSettings, after: AccountSettings, author: Author) -> list[SettingChange]:
    """Returns the differences between settings. An API key is shown as its last four characters and data centre."""
    at = as_text(author.at)
    return [SettingChange(at, author.who, *one) for one in _differences(before, after)]


def _differences(before: AccountSettings, after: AccountSettings) -> Iterator[tuple[Setting, str | None, str | None]]:
    if (before.key_hint, before.connected_at) != (after.key_hint, after.connected_at):
        yield "api_key", _hint(before), _hint(after)
    if before.enabled != after.enabled:
        yield "enabled", str(before.enabled).lower(), str(after.enabled).lower()
    if before.status_if_new != after.status_if_new:
        yield "status_if_new", before.status_if_new, after.status_if_new
    old, new = ({one.list_id: _named(one.name, one.list_id) for one in each.stored} for each in (before, after))
    for list_id in sorted(old.keys() ^ new.keys()):
        yield "stored_list", old.get(list_id), new.get(list_id)
    if before.master_list != after.master_list:
        yield "master_list", _list_name(before), _list_name(after)
    yield from _fields_chosen(before, after)
    paused = [one.pause is not None or any(each.pause is not None for each in one.lists) for one in (before, after)]
    if paused[0] and not paused[1]:
        yield "paused", "true", "false"


def _fields_chosen(before: AccountSettings, after: AccountSettings) -> Iterator[tuple[Setting, str | None, str | None]]:
    for one in after.lists:
        known = before.list_of(one.list_id)
        old, new = (known.merge_fields or {}) if known is not None else {}, one.merge_fields or {}
        for tag in sorted(old.keys() | new.keys()):
            if old.get(tag) != new.get(tag):
                sources = [
                    f"{tag}={each[tag]} on {_named(one.name, one.list_id)}" if tag in each else None
                    for each in (old, new)
                ]
                yield "merge_field", sources[0], sources[1]


def _hint(settings: AccountSettings) -> str | None:
    return f"…{settings.key_hint}" if settings.key_hint else None


def _list_name(settings: AccountSettings) -> str | None:
    known = settings.list_of(settings.master_list)
    return _named(known.name, known.list_id) if known is not None else settings.master_list


def _named(name: str, list_id: str) -> str:
    return f"{name} ({list_id})"


def note(db: Database, before: AccountSettings, after: AccountSettings, author: Author | None) -> Rows:
    """Records the differences between settings, in the transaction that saves them.

    Args:
        author: None if no person changes them: nothing is recorded.
    """
    found = [] if author is None else changes(before, after, author)
    if not found:
        return []
    kept = [*read(db, after.account_id), *found][-MOST_KEPT:]
    text = json.dumps([asdict(one) for one in kept], ensure_ascii=False)
    return settings_notes.put(db, ABOUT, after.account_id, text)


def read(db: Database, account_id: AccountId) -> list[SettingChange]:
    """Returns the recorded changes of an account's settings, oldest first."""
    text = settings_notes.get(db, ABOUT, account_id)
    return (
        [] if text is None else [SettingChange(**{name: one.get(name) for name in _NAMES}) for one in json.loads(text)]
    )
