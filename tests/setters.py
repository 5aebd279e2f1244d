"""Changes of one setting each, as the commands and the pages make them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime

from worker.accounts.lists import with_fields, with_master, with_stored
from worker.accounts.settings import change, with_enabled, without_pauses
from worker.accounts.settings_log import Author
from worker.changelog.commit import Changelog
from worker.model import AccountId, ListId
from worker.sqlite.database import Database
from worker.store.accounts import AccountSettings, StatusIfNew


def enable(
    db: Database,
    changelog: Changelog,
    account_id: AccountId,
    status_if_new: StatusIfNew | None = None,
    *,
    at: datetime | None = None,
    author: Author | None = None,
) -> AccountSettings:
    """Enables the integration."""
    return change(db, changelog, account_id, lambda now: with_enabled(now, status_if_new, at), author)


def disable(db: Database, changelog: Changelog, account_id: AccountId, author: Author | None = None) -> AccountSettings:
    """Disables the integration."""
    return change(db, changelog, account_id, lambda now: replace(now, enabled=False), author)


def resume(db: Database, changelog: Changelog, account_id: AccountId, author: Author | None = None) -> AccountSettings:
    """Ends all pauses."""
    return change(db, changelog, account_id, without_pauses, author)


def store(
    db: Database,
    changelog: Changelog,
    account_id: AccountId,
    list_ids: Collection[ListId] | None,
    author: Author | None = None,
) -> AccountSettings:
    """Stores exactly these lists; None for all."""
    return change(db, changelog, account_id, lambda now: with_stored(now, list_ids), author)


def choose_master(
    db: Database,
    changelog: Changelog,
    account_id: AccountId,
    list_id: ListId,
    confirmed: Mapping[ListId, int] | None = None,
    author: Author | None = None,
) -> AccountSettings:
    """Chooses the master list."""
    return change(
        db, changelog, account_id, lambda now: replace(with_master(now, list_id), confirmed=confirmed), author
    )


def choose_fields(
    db: Database, changelog: Changelog, account_id: AccountId, list_id: ListId, chosen: Mapping[str, str]
) -> AccountSettings:
    """Chooses the merge fields of a list."""
    return change(db, changelog, account_id, lambda now: with_fields(now, list_id, chosen))
