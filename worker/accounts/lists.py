"""The lists of an account: read from Mailchimp, stored for use, the master list, and which fields each gets."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from worker.accounts.api_keys import OpenSender, key_of
from worker.accounts.secrets import SecretKey
from worker.accounts.settings import load, note_new_lists
from worker.changelog.commit import Changelog
from worker.errors import AccountError, NotFound
from worker.mailchimp.answers import Answer
from worker.mailchimp.errors import error_for
from worker.mailchimp.lists import MailchimpList, all_lists
from worker.mailchimp.merge_fields import MergeField, merge_fields
from worker.model import AccountId, ListId
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed
from worker.store import accounts, marking, settings_notes
from worker.store.accounts import AccountList, AccountSettings


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The result of a refresh.

    Attributes:
        settings: with the lists as they are in Mailchimp now.
        new: lists that were unknown before.
        missing: stored lists that Mailchimp no longer has, as this refresh found.
        back: stored lists that were gone and exist again.
    """

    settings: AccountSettings
    new: tuple[AccountList, ...]
    missing: tuple[AccountList, ...]
    back: tuple[AccountList, ...]


def refresh(
    db: Database,
    changelog: Changelog,
    account_id: AccountId,
    *,
    secret: SecretKey,
    open_sender: OpenSender,
    at: datetime,
) -> Refreshed:
    """Reads all of the account's lists from Mailchimp. Does not store any for use.

    Args:
        db: outside of a transaction.

    Raises:
        NotFound: the account has no settings.
        AccountError: it has no API key, or the key was replaced meanwhile.
        SecretKeyError: its API key cannot be decrypted.
        MailchimpError: Mailchimp refused or could not be reached; the subclass tells which. Nothing was changed.
    """
    load(db, account_id)
    key = key_of(db, account_id, secret)
    with open_sender(key) as sender:
        mailchimp_lists = all_lists(sender)
    if isinstance(mailchimp_lists, Answer):
        raise error_for(mailchimp_lists)

    def write() -> Changed[Refreshed]:
        # From the current settings, which another thread or worker may have changed meanwhile.
        settings = load(db, account_id)
        if key_of(db, account_id, secret) != key:
            raise AccountError(
                f"Account {account_id} got another API key while its lists were read.", "Refresh its lists again."
            )
        first = settings.refreshed_at is None
        result = refreshed(settings, mailchimp_lists, at)
        dropped = {account_list.list_id for account_list in settings.lists} - {
            account_list.list_id for account_list in result.settings.lists
        }
        rows = accounts.save(db, result.settings) + accounts.delete_lists(db, account_id, dropped)
        # The first refresh finds only new lists, so marking them would be pointless.
        rows += note_new_lists(
            db, result.settings, () if first else [account_list.list_id for account_list in result.new]
        )
        if result.back:
            rows += marking.mark_changed(db, account_id, None).rows
        return Changed(result, rows)

    return changelog.commit(db, write)


def new_of(db: Database, settings: AccountSettings) -> frozenset[ListId]:
    """Returns the new lists that Mailchimp still has."""
    offered = {
        account_list.list_id for account_list in settings.lists if not account_list.stored and not account_list.gone
    }
    return frozenset(settings_notes.data_of(db, "new_lists", settings.account_id) or []) & offered


def refreshed(settings: AccountSettings, mailchimp_lists: Iterable[MailchimpList], at: datetime) -> Refreshed:
    """Returns the settings updated with the lists that Mailchimp has.

    A stored list that Mailchimp no longer has is kept as gone, because customers are on it. So is a formerly stored
    list whose departures were read: somebody who confirms moving its customers must see since when departures are
    unknown. Any other list is dropped.
    """
    known = {account_list.list_id: account_list for account_list in settings.lists}
    current = {
        mailchimp_list.list_id: _updated(known.get(mailchimp_list.list_id), mailchimp_list, at)
        for mailchimp_list in mailchimp_lists
    }
    missing = [
        account_list
        for account_list in settings.lists
        if account_list.list_id not in current and (account_list.stored or account_list.departures_read_at is not None)
    ]
    lists = (
        *current.values(),
        *(replace(account_list, gone_at=account_list.gone_at or at) for account_list in missing),
    )
    return Refreshed(
        settings=replace(settings, refreshed_at=at, lists=_by_name(lists)),
        new=_by_name(account_list for account_list in current.values() if account_list.list_id not in known),
        missing=_by_name(account_list for account_list in missing if account_list.stored and not account_list.gone),
        back=_by_name(
            account_list
            for account_list in current.values()
            if account_list.stored and known[account_list.list_id].gone
        ),
    )


def _updated(known: AccountList | None, mailchimp_list: MailchimpList, at: datetime) -> AccountList:
    news = asdict(mailchimp_list) | {"refreshed_at": at, "gone_at": None}
    return replace(known, **news) if known is not None else AccountList(stored=False, **news)


def with_stored(settings: AccountSettings, list_ids: Collection[ListId] | None) -> AccountSettings:
    """Returns the settings with exactly these lists stored. Customers of others go to the master list.

    Args:
        list_ids: the lists to use; None for all that Mailchimp has.

    Raises:
        NotFound: no refresh has found one of the lists.
        AccountError: a list is gone, or the master list is left out.
    """
    _require_refresh(settings)
    if list_ids is None:
        list_ids = [account_list.list_id for account_list in settings.lists if not account_list.gone]
    for list_id in list_ids:
        account_list = known_list(settings, list_id)
        if account_list.gone and not account_list.stored:
            raise _is_gone(settings, account_list)
    master = settings.list_of(settings.master_list)
    dropped = master is not None and master.stored and master.list_id not in list_ids
    if master is not None and dropped and not master.gone:
        raise AccountError(
            f"List {master.label} is the master list, so it must stay stored.",
            "Name it too, or choose another stored list as the master list first: "
            f"mailchimp-worker lists master {settings.account_id} LIST",
        )
    return replace(
        settings,
        # A master list that is gone is of no use: leaving it out clears the choice.
        master_list=None if dropped else settings.master_list,
        lists=tuple(
            replace(account_list, stored=True)
            if account_list.list_id in list_ids
            else replace(account_list, stored=False, pause=None)
            for account_list in settings.lists
        ),
    )


def with_master(settings: AccountSettings, list_id: ListId) -> AccountSettings:
    """Returns the settings with this list as the master list.

    Raises:
        NotFound: no refresh has found the list.
        AccountError: the list is not stored, or is gone from Mailchimp.
    """
    _require_refresh(settings)
    account_list = known_list(settings, list_id)
    if account_list.gone:
        raise _is_gone(settings, account_list)
    if not account_list.stored:
        list_ids = " ".join((*(account_list.list_id for account_list in settings.stored), list_id))
        raise AccountError(
            f"List {account_list.label} is not stored, so it cannot be the master list.",
            f"Store it first: mailchimp-worker lists store {settings.account_id} {list_ids}",
        )
    return replace(settings, master_list=list_id)


def _require_refresh(settings: AccountSettings) -> None:
    if settings.refreshed_at is None:
        raise AccountError(
            f"The lists of account {settings.account_id} were never read from Mailchimp.",
            f"Refresh them first: mailchimp-worker lists refresh {settings.account_id}",
        )


def known_list(settings: AccountSettings, list_id: ListId) -> AccountList:
    """Returns one of the account's lists.

    Raises:
        NotFound: no refresh has found it.
    """
    account_list = settings.list_of(list_id)
    if account_list is None:
        raise NotFound(
            f"The last refresh of account {settings.account_id} found no list {list_id}.",
            "If it was created since then, refresh first: mailchimp-worker lists refresh "
            f"{settings.account_id}. Show the known lists: mailchimp-worker lists show {settings.account_id}",
        )
    return account_list


def _is_gone(settings: AccountSettings, account_list: AccountList) -> AccountError:
    return AccountError(
        f"List {account_list.label} is gone from Mailchimp.",
        f"Use another one; if it is back, refresh first: mailchimp-worker lists refresh {settings.account_id}",
    )


def _by_name(lists: Iterable[AccountList]) -> tuple[AccountList, ...]:
    return tuple(sorted(lists, key=lambda account_list: (account_list.name, account_list.list_id)))


def merge_fields_of(
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
