"""Several settings of an account, changed together: what they would be, and the change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from worker.accounts import lists, new_lists, settings_log
from worker.accounts.settings import load, with_enabled
from worker.accounts.settings_log import Author
from worker.changelog.commit import Changelog
from worker.errors import AccountError
from worker.model import AccountId, ListId
from worker.store import accounts, customers
from worker.store.accounts import AccountSettings, StatusIfNew
from worker.store.changed_rows import Changed
from worker.store.database import Database


@dataclass(frozen=True, slots=True)
class Wanted:
    """Settings as somebody wants them; None leaves one as it is.

    Attributes:
        stored: exactly the lists to use.
        master_list: one of them.
    """

    enabled: bool | None = None
    status_if_new: StatusIfNew | None = None
    stored: frozenset[ListId] | None = None
    master_list: ListId | None = None


def with_wanted(before: AccountSettings, wanted: Wanted, at: datetime) -> AccountSettings:
    """Returns the settings as they would be.

    Args:
        at: the time now: one that is enabled takes part in daily flushes after it.

    Raises:
        NotFound: no refresh found such a list.
        AccountError: a rule forbids it, which the message names.
    """
    found = before
    if wanted.stored is not None:
        # The old master list may only be left out once there is a new one.
        both = wanted.stored | ({before.master_list} if wanted.master_list and before.master_list else frozenset())
        found = _stored(found, both & {one.list_id for one in before.lists} | wanted.stored)
    if wanted.master_list is not None:
        found = lists.with_master(found, wanted.master_list)
        found = found if wanted.stored is None else _stored(found, wanted.stored)
    if wanted.enabled and found.key_hint is None:
        raise AccountError(
            f"Account {before.account_id} has no Mailchimp API key, so it cannot be enabled.",
            f"Enter the key first: mailchimp-worker account connect {before.account_id}",
        )
    if wanted.enabled:
        found = with_enabled(found, wanted.status_if_new, at)
    elif wanted.enabled is False:
        found = replace(found, enabled=False)
    return replace(found, status_if_new=wanted.status_if_new or found.status_if_new)


def _stored(settings: AccountSettings, wanted: frozenset[ListId]) -> AccountSettings:
    same = wanted == {one.list_id for one in settings.stored}
    return settings if same else lists.stored(settings, wanted)


def lists_differ(before: AccountSettings, after: AccountSettings) -> bool:
    """Tells whether another list may be right for a customer, so that all of them are looked at."""
    return (before.master_list, {one.list_id for one in before.stored}) != (
        after.master_list,
        {one.list_id for one in after.stored},
    )


def save(
    db: Database,
    changelog: Changelog,
    account_id: AccountId,
    wanted: Wanted,
    confirmed: Mapping[ListId, int] | None,
    author: Author,
) -> AccountSettings:
    """Changes the settings; what is as wanted already stays, and a second time changes nothing.

    Args:
        db: the staging database, outside of a transaction.
        confirmed: members of each list that may leave it in the next flush; None where nothing had to be asked.

    Raises:
        NotFound: the account never chose any settings, or no refresh found such a list.
        AccountError: a rule forbids it, which the message names.
    """

    def act() -> Changed[AccountSettings]:
        before = load(db, account_id)
        after = with_wanted(before, wanted, author.at)
        if after == before and confirmed is None:
            return Changed(before, [])
        lists.require_unused(db, after)
        after = replace(after, confirmed=confirmed)
        rows = accounts.save(db, after) + new_lists.note(db, after)
        rows += settings_log.note(db, before, after, author)
        if lists_differ(before, after):
            rows += customers.mark_changed(db, account_id, None).rows
        return Changed(after, rows)

    return changelog.commit(db, act)
