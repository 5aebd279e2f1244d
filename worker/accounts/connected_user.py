"""Whose API key an account entered: kept beside its settings, so that every worker can show it without a call."""

from __future__ import annotations

import json

from worker.mailchimp.user import MailchimpUser
from worker.model import AccountId
from worker.store import settings_notes
from worker.store.changed_rows import Rows
from worker.store.database import Database

ABOUT = "mailchimp_user"
"""Names these rows among the notes beside the settings."""


def note(db: Database, account_id: AccountId, user: MailchimpUser) -> Rows:
    """Writes whose API key was accepted. Belongs in the transaction that stores the key."""
    text = json.dumps({"name": user.name, "login": user.login}, ensure_ascii=False)
    return settings_notes.put(db, ABOUT, account_id, text)


def delete(db: Database, account_id: AccountId) -> Rows:
    """Removes it. Belongs in the transaction that removes the key."""
    return settings_notes.delete(db, ABOUT, account_id)


def read(db: Database, account_id: AccountId) -> MailchimpUser | None:
    """Returns whose API key the account has; None without a key, or where an earlier release stored it."""
    text = settings_notes.get(db, ABOUT, account_id)
    if text is None:
        return None
    told = json.loads(text)
    return MailchimpUser(str(told.get("name") or ""), str(told.get("login") or ""))
