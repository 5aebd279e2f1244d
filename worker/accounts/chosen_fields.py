"""An account's mapping of merge fields: reads it with the fields themselves, and replaces it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from worker.accounts.api_keys import OpenSender, key_of
from worker.accounts.lists import known_list
from worker.accounts.secrets import SecretKey
from worker.accounts.settings import load
from worker.mailchimp.answers import Answer
from worker.mailchimp.errors import error_for
from worker.mailchimp.merge_fields import MergeField, merge_fields
from worker.model import AccountId, ListId
from worker.sqlite.database import Database
from worker.store.accounts import AccountList, AccountSettings


def read(
    db: Database, account_id: AccountId, list_id: ListId, *, secret: SecretKey, open_sender: OpenSender
) -> tuple[AccountList, tuple[MergeField, ...]]:
    """Returns one of the account's lists with its merge fields, as Mailchimp has them now.

    Raises:
        NotFound: the account has no settings, or no refresh has found this list.
        AccountError: the account has no API key.
        SecretKeyError: its API key cannot be decrypted.
        MailchimpError: Mailchimp refused or could not be reached; the subclass tells which.
    """
    on_list = known_list(load(db, account_id), list_id)
    with open_sender(key_of(db, account_id, secret)) as sender:
        fields = merge_fields(sender, list_id)
    if isinstance(fields, Answer):
        raise error_for(fields)
    return on_list, fields


def with_fields(settings: AccountSettings, list_id: ListId, chosen: Mapping[str, str]) -> AccountSettings:
    """Returns the settings with another mapping of a list's merge fields.

    Args:
        chosen: from :func:`worker.fields.field_mapping.checked`; empty for the default.

    Raises:
        NotFound: no refresh has found this list.
    """
    known_list(settings, list_id)
    lists = tuple(
        replace(on_list, merge_fields=dict(chosen) or None) if on_list.list_id == list_id else on_list
        for on_list in settings.lists
    )
    return replace(settings, lists=lists)
