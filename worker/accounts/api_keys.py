"""An account's API key: checked with Mailchimp before it is stored, and decrypted for those who call Mailchimp."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from worker.accounts.secrets import SecretKey
from worker.accounts.settings import lists_not_there, load
from worker.accounts.settings_log import Author, note
from worker.changelog.commit import Changelog
from worker.consumer.decode import LONGEST_ID
from worker.errors import AccountError, SecretKeyError, UsageError
from worker.mailchimp import api_key
from worker.mailchimp.answers import Answer
from worker.mailchimp.api_key import ApiKey
from worker.mailchimp.calls import Sender
from worker.mailchimp.errors import error_for
from worker.mailchimp.lists import MailchimpList, all_lists
from worker.mailchimp.user import ROOT, MailchimpUser, user_of
from worker.model import AccountId, ListId
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed, Rows
from worker.store import accounts, forgotten, marking, settings_notes
from worker.store.accounts import AccountList, AccountSettings

OpenSender = Callable[[ApiKey], AbstractContextManager[Sender]]
"""Opens a sender that uses an API key, and closes it afterwards."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A new API key was stored.

    Attributes:
        notice: what the person should know about the lists stored so far; None for nothing.
    """

    settings: AccountSettings
    user: MailchimpUser
    notice: str | None


def connect(
    db: Database,
    changelog: Changelog,
    account_id: AccountId,
    text: str,
    *,
    secret: SecretKey,
    open_sender: OpenSender,
    at: datetime,
    author: Author | None = None,
) -> Connected:
    """Stores an API key once Mailchimp has accepted it, and ends a pause of the account.

    Lists marked as gone that the key sees are gone no more; stored lists that another key does not see are marked.
    Creates the account if it does not exist. Until the key is accepted, everything stays as it was.

    Args:
        db: outside of a transaction.

    Raises:
        UsageError: the account id is not valid.
        ApiKeyMalformed: the text is not an API key; nothing was sent anywhere.
        MailchimpError: Mailchimp refused the key or could not be reached; the subclass tells which.
    """
    check_id(account_id)
    key = api_key.parse(text)
    before = accounts.find(db, account_id) or AccountSettings(account_id)
    replaced = _replaces(accounts.encrypted_key(db, account_id), account_id, key, secret)
    with open_sender(key) as sender:
        answer = sender.send(ROOT)
        if not answer.ok or answer.body is None:
            raise error_for(answer)
        looks = (replaced and before.stored) or any(known_list.gone for known_list in before.lists)
        mailchimp_lists = all_lists(sender) if looks else ()
    notice = _about_lists(before, mailchimp_lists) if looks else None
    seen = None
    if looks and not isinstance(mailchimp_lists, Answer):
        seen = {mailchimp_list.list_id for mailchimp_list in mailchimp_lists}
    sealed, user = secret.seal(account_id, key), user_of(answer)

    def write() -> Changed[AccountSettings]:
        now = accounts.find(db, account_id) or AccountSettings(account_id)
        lists = now.lists if seen is None else tuple(_as_seen(known_list, seen, at) for known_list in now.lists)
        back = any(old.gone and not new.gone for old, new in zip(now.lists, lists, strict=True))
        settings = replace(now, key_hint=key.hint, connected_at=at, pause=None, lists=lists)
        rows = accounts.save(db, settings) + accounts.set_encrypted_key(db, account_id, sealed)
        rows += note(db, now, settings, author) + note_owner(db, account_id, user)
        if back:
            rows += marking.mark_changed(db, account_id, None).rows
        return Changed(settings, rows)

    return Connected(changelog.commit(db, write), user, notice)


def _as_seen(known_list: AccountList, seen: Collection[ListId], at: datetime) -> AccountList:
    if known_list.list_id in seen:
        return replace(known_list, gone_at=None)
    return replace(known_list, gone_at=known_list.gone_at or at) if known_list.stored else known_list


def disconnect(db: Database, changelog: Changelog, account_id: AccountId, author: Author | None) -> AccountSettings:
    """Removes an account's API key and disables the integration. Lists, ledger and waiting customers are kept.

    Raises:
        NotFound: the account has no settings.
    """

    def write() -> Changed[AccountSettings]:
        before = load(db, account_id)
        settings = replace(before, key_hint=None, connected_at=None, enabled=False, pause=None)
        rows = accounts.save(db, settings) + accounts.set_encrypted_key(db, account_id, None)
        rows += note(db, before, settings, author) + settings_notes.delete(db, "mailchimp_user", account_id)
        return Changed(settings, rows)

    return changelog.commit(db, write)


def note_owner(db: Database, account_id: AccountId, user: MailchimpUser) -> Rows:
    """Stores the owner of the API key, so that every worker can show it. Call it in the transaction of the key."""
    return settings_notes.put(db, "mailchimp_user", account_id, {"name": user.name, "login": user.login})


def owner_of(db: Database, account_id: AccountId) -> MailchimpUser | None:
    """Returns the owner of the account's API key; None without a key, or if an earlier release stored it."""
    data = settings_notes.data_of(db, "mailchimp_user", account_id)
    return None if data is None else MailchimpUser(str(data.get("name") or ""), str(data.get("login") or ""))


def _about_lists(settings: AccountSettings, mailchimp_lists: Collection[MailchimpList] | Answer) -> str | None:
    """Returns what a person should know about the stored lists; None if the API key sees all of them.

    Args:
        mailchimp_lists: that it sees.
    """
    if isinstance(mailchimp_lists, Answer):
        again = f"mailchimp-worker lists refresh {settings.account_id}"
        return f"The API key was stored, but Mailchimp did not say which lists it may see. Try again: {again}"
    lost = lists_not_there(settings, {mailchimp_list.list_id for mailchimp_list in mailchimp_lists})
    return " ".join(lost) if lost is not None else None


def key_of(db: Database, account_id: AccountId, secret: SecretKey) -> ApiKey:
    """Returns the account's API key.

    Raises:
        AccountError: the account has no API key.
        SecretKeyError: it cannot be decrypted with this secret key.
    """
    sealed = accounts.encrypted_key(db, account_id)
    if sealed is None:
        raise AccountError(
            f"Account {account_id} has no Mailchimp API key.",
            f"Enter it: mailchimp-worker account connect {account_id}",
        )
    return secret.open(account_id, sealed)


def rekey(db: Database, changelog: Changelog, old: SecretKey, new: SecretKey) -> int:
    """Encrypts all stored API keys, and the key for hashes of erased persons, with a new secret key; all or none.

    Args:
        db: outside of a transaction.
        old: decrypts them; those that the new one already decrypts stay as they are.

    Returns:
        How many API keys were encrypted.

    Raises:
        SecretKeyError: neither key decrypts one of them; nothing was changed.
    """
    sealed_now: dict[bytes | str, Any] = {}

    def write() -> Changed[int]:
        changed, rows = 0, Rows()
        for settings in accounts.all_accounts(db):
            sealed = accounts.encrypted_key(db, settings.account_id)
            if sealed is None or _opens(partial(new.open, settings.account_id, sealed)):
                continue
            if sealed not in sealed_now:
                sealed_now[sealed] = new.seal(settings.account_id, old.open(settings.account_id, sealed))
            rows += accounts.set_encrypted_key(db, settings.account_id, sealed_now[sealed])
            changed += 1
        return Changed(changed, rows + _rekey_hashes(db, old, new, sealed_now))

    return changelog.commit(db, write)


def _rekey_hashes(db: Database, old: SecretKey, new: SecretKey, sealed_now: dict[bytes | str, Any]) -> Rows:
    sealed = forgotten.encrypted_key(db)
    if sealed is None or _opens(partial(new.open_hash_key, sealed)):
        return []
    if sealed not in sealed_now:
        sealed_now[sealed] = new.seal_hash_key(old.open_hash_key(sealed))
    return forgotten.set_encrypted_key(db, sealed_now[sealed])


def _opens(decrypt: Callable[[], object]) -> bool:
    try:
        decrypt()
    except SecretKeyError:
        return False
    return True


def _replaces(sealed: bytes | None, account_id: AccountId, key: ApiKey, secret: SecretKey) -> bool:
    if sealed is None:
        return False
    try:
        return secret.open(account_id, sealed) != key
    except SecretKeyError:
        return True  # which key it was is unknown


def check_id(account_id: AccountId) -> None:
    """Refuses an account id that no event can have.

    Raises:
        UsageError: it is not valid.
    """
    has_blank = any(character.isspace() for character in account_id)
    if not 1 <= len(account_id) <= LONGEST_ID or "/" in account_id or has_blank or not account_id.isprintable():
        raise UsageError(
            "Invalid account id.",
            f"Give the id that events carry as account_id: 1 to {LONGEST_ID} characters, without blanks or a slash.",
        )
