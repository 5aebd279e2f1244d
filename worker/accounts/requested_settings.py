"""Changes several settings of an account together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from worker.accounts import lists
from worker.accounts.settings import with_enabled
from worker.model import ListId
from worker.store.accounts import AccountSettings, StatusIfNew


@dataclass(frozen=True, slots=True)
class RequestedSettings:
    """The settings that somebody asks for; None leaves one as it is."""

    enabled: bool | None = None
    status_if_new: StatusIfNew | None = None
    stored: frozenset[ListId] | None = None
    master_list: ListId | None = None


def with_requested(before: AccountSettings, requested: RequestedSettings, at: datetime) -> AccountSettings:
    """Returns the settings with these changes.

    Args:
        at: now; an account that is newly enabled takes part in daily flushes after it.

    Raises:
        NotFound: no refresh has found one of the lists.
        AccountError: a rule forbids it; the message says which.
    """
    after = before
    if requested.stored is not None:
        # The old master list can be left out only after a new one is chosen.
        allowed = requested.stored | (
            {before.master_list} if requested.master_list and before.master_list else frozenset()
        )
        after = _stored(after, allowed & {account_list.list_id for account_list in before.lists} | requested.stored)
    if requested.master_list is not None:
        after = lists.with_master(after, requested.master_list)
        after = after if requested.stored is None else _stored(after, requested.stored)
    if requested.enabled:
        after = with_enabled(after, requested.status_if_new, at)
    elif requested.enabled is False:
        after = replace(after, enabled=False)
    return replace(after, status_if_new=requested.status_if_new or after.status_if_new)


def _stored(settings: AccountSettings, list_ids: frozenset[ListId]) -> AccountSettings:
    same = list_ids == settings.stored_ids
    return settings if same else lists.with_stored(settings, list_ids)
