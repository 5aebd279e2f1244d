"""Lists that a refresh found and the account has not stored yet, kept beside its settings so that they stay marked."""

from __future__ import annotations

import json
from collections.abc import Iterable

from worker.model import AccountId, ListId
from worker.sqlite.changed_rows import Rows
from worker.sqlite.database import Database
from worker.store import settings_notes
from worker.store.accounts import AccountSettings

ABOUT = "new_lists"
"""The kind of these rows among the notes beside the settings."""


def read(db: Database, settings: AccountSettings) -> frozenset[ListId]:
    """Returns the new lists that Mailchimp still has."""
    text = settings_notes.get(db, ABOUT, settings.account_id)
    offered = {
        account_list.list_id for account_list in settings.lists if not account_list.stored and not account_list.gone
    }
    return frozenset(json.loads(text or "[]")) & offered


def note(db: Database, settings: AccountSettings, list_ids: Iterable[ListId] = ()) -> Rows:
    """Adds newly found lists and removes those that were stored since, in the caller's transaction."""
    before = settings_notes.get(db, ABOUT, settings.account_id)
    noted = sorted(({*json.loads(before or "[]")} | {*list_ids}) - settings.stored_ids)
    if not noted:
        return delete(db, settings.account_id)
    text = json.dumps(noted)
    return [] if text == before else settings_notes.put(db, ABOUT, settings.account_id, text)


def delete(db: Database, account_id: AccountId) -> Rows:
    """Deletes the account's new lists, in the caller's transaction."""
    return settings_notes.delete(db, ABOUT, account_id)
