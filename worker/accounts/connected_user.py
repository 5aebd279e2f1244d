"""The owner of an account's API key, kept beside its settings, so that every worker can show it without a call."""

from __future__ import annotations

import json

from worker.mailchimp.user import MailchimpUser
from worker.model import AccountId
from worker.sqlite.changed_rows import Rows
from worker.sqlite.database import Database
from worker.store import settings_notes

ABOUT = "mailchimp_user"
"""The kind of these rows among the notes beside the settings."""


def note(db: Database, account_id: AccountId, user: MailchimpUser) -> Rows:
    """Stores the owner of the key, in the transaction that stores the key."""
    text = json.dumps({"name": user.name, "login": user.login}, ensure_ascii=False)
    return settings_notes.put(db, ABOUT, account_id, text)


def delete(db: Database, account_id: AccountId) -> Rows:
    """Deletes the owner, in the transaction that deletes the key."""
    return settings_notes.delete(db, ABOUT, account_id)


def read(db: Database, account_id: AccountId) -> MailchimpUser | None:
    """Returns the owner of the account's API key; None without a key, or where an earlier release stored it."""
    text = settings_notes.get(db, ABOUT, account_id)
    if text is None:
        return None
    data = json.loads(text)
    return MailchimpUser(str(data.get("name") or ""), str(data.get("login") or ""))
