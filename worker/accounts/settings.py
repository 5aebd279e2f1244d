"""The rules of an account's settings, and the changes that need no answer from Mailchimp."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from worker.accounts.settings_log import Author, note
from worker.changelog.commit import Changelog
from worker.errors import AccountError, NotFound
from worker.model import AccountId, ListId
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed, Rows
from worker.store import accounts, marking, settings_notes
from worker.store.accounts import AccountSettings, StatusIfNew
from worker.store.run_result import RunResult
from worker.text.plural import counted

MissingCode = Literal[
    "record_not_applied",
    "no_key",
    "not_enabled",
    "paused",
    "no_stored_list",
    "no_master_list",
    "master_list_not_stored",
    "master_list_gone",
]
LOOKED_FOR = (
    "Each flush looks for it again. If the API key is another Mailchimp account's, connect the right one. Only if the "
    "list was deleted for good,"
)
"""The advice for every list that is gone."""


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that an account needs before anything is delivered for it.

    Attributes:
        code: the same for every account, for programs.
    """

    code: MissingCode
    message: str
    advice: str


def missing(settings: AccountSettings) -> tuple[Missing, ...]:
    """Returns what an account still needs before anything is delivered for it, in the order of the steps.

    Used by the settings page, status, plan and flush alike. If empty, the account's customers are delivered. A stored
    list that is gone or paused holds back only its own customers, so it is included only if it is the master list.
    """
    return tuple(_missing(settings))


def _missing(settings: AccountSettings) -> Iterator[Missing]:
    account_id, letter = settings.account_id, settings.unapplied
    if letter is not None:
        yield Missing(
            "record_not_applied",
            f"A record of its ledger or settings cannot be applied: dead letter {letter}.",
            f"See why: mailchimp-worker dead-letters show {letter}. If it is signed with another secret key, see "
            "mailchimp-worker check. If a later release wrote it, run that release. Only if it is of no use: "
            f"mailchimp-worker dead-letters drop {letter}",
        )
    if settings.key_hint is None:
        advice = f"Enter it: mailchimp-worker account connect {account_id}"
        yield Missing("no_key", "No Mailchimp API key is stored.", advice)
    if not settings.enabled:
        advice = f"Enable it: mailchimp-worker account enable {account_id}"
        yield Missing("not_enabled", "The integration is not enabled.", advice)
    if settings.pause is not None:
        yield Missing(
            "paused",
            f"The account is paused: {settings.pause.reason}",
            f"Store a new API key (mailchimp-worker account connect {account_id}), or, when the cause is gone: "
            f"mailchimp-worker account resume {account_id}",
        )
    choose = f"Choose a stored list: mailchimp-worker lists master {account_id} LIST"
    master = settings.list_of(settings.master_list)
    if not settings.stored:
        refresh = f"mailchimp-worker lists refresh {account_id}, then " if settings.refreshed_at is None else ""
        advice = f"Store the lists to use: {refresh}mailchimp-worker lists store {account_id} LIST..."
        yield Missing("no_stored_list", "No list is stored.", advice)
    elif settings.master_list is None:
        yield Missing("no_master_list", "No master list is chosen.", choose)
    elif master is None or not master.stored:
        yield Missing("master_list_not_stored", f"The master list {settings.master_list} is not stored.", choose)
    elif all(stored_list.gone for stored_list in settings.stored):
        yield Missing("master_list_gone", *none_there(settings))
    elif master.gone:
        advice = f"{LOOKED_FOR} choose another stored list: mailchimp-worker lists master {account_id} LIST"
        yield Missing("master_list_gone", f"The master list {master.label} is gone from Mailchimp.", advice)


def none_there(settings: AccountSettings) -> tuple[str, str]:
    """Returns what is wrong, and what to do, if the API key finds none of the stored lists."""
    named, account_id = ", ".join(stored_list.label for stored_list in settings.stored), settings.account_id
    return (
        f"Its API key finds none of its stored lists in Mailchimp: {named}.",
        f"Each flush looks for them again. If the key is another Mailchimp account's, connect the right one: "
        f"mailchimp-worker account connect {account_id}. Only if the lists were deleted for good, or others are to be "
        f"used: mailchimp-worker lists refresh {account_id}, then mailchimp-worker lists store {account_id} LIST..., "
        f"then mailchimp-worker lists master {account_id} LIST",
    )


def lists_not_there(settings: AccountSettings, list_ids: Collection[ListId]) -> tuple[str, str] | None:
    """Returns what is wrong, and what to do, if Mailchimp lacks stored lists; None if it has all.

    Args:
        list_ids: of the lists that Mailchimp has.
    """
    lost = [stored_list for stored_list in settings.stored if stored_list.list_id not in list_ids]
    if not lost:
        return None
    if len(lost) == len(settings.stored):
        return none_there(settings)
    named = ", ".join(lost_list.label for lost_list in lost)
    return (
        f"Mailchimp no longer has {counted(len(lost), 'stored list')}: {named}. Customers on it wait.",
        f"{LOOKED_FOR} store another one in its place: mailchimp-worker lists refresh {settings.account_id}, then "
        f"mailchimp-worker lists store {settings.account_id} LIST...",
    )


def missing_before_calls(settings: AccountSettings) -> tuple[Missing, ...]:
    """Returns what an account lacks before a flush or plan calls Mailchimp for it.

    A master list that is marked as gone prevents no call: only a call shows whether it is back.
    """
    return tuple(lack for lack in missing(settings) if lack.code != "master_list_gone")


def ended_by_missing(lacking: Sequence[Missing]) -> RunResult:
    """Returns how an account's part of a run ends if something is missing. A disabled account has nothing due."""
    codes = {lack.code for lack in lacking}
    if not codes or "not_enabled" in codes:
        return RunResult.DONE
    return RunResult.PAUSED if "paused" in codes else RunResult.HELD


def load(db: Database, account_id: AccountId) -> AccountSettings:
    """Returns the settings of an account.

    Raises:
        NotFound: the account has no settings.
    """
    settings = accounts.find(db, account_id)
    if settings is None:
        raise NotFound(
            f"Account {account_id} has no Mailchimp settings.",
            "List the accounts: mailchimp-worker account list. Or connect it: mailchimp-worker account connect "
            f"{account_id}",
        )
    return settings


def with_enabled(
    settings: AccountSettings, status_if_new: StatusIfNew | None = None, at: datetime | None = None
) -> AccountSettings:
    """Returns the settings with the integration enabled. :func:`missing` returns what they still need.

    Args:
        status_if_new: how contacts are added from now on; None leaves it as it is.
        at: now, so that the account takes part in daily flushes after it; None for the one that is already due. One
            that is enabled already keeps its time.

    Raises:
        AccountError: the account has no API key.
    """
    if settings.key_hint is None:
        raise AccountError(
            f"Account {settings.account_id} has no Mailchimp API key, so it cannot be enabled.",
            f"Enter the key first: mailchimp-worker account connect {settings.account_id}",
        )
    return replace(
        settings,
        enabled=True,
        enabled_at=settings.enabled_at if settings.enabled else at,
        status_if_new=status_if_new or settings.status_if_new,
    )


def without_pauses(settings: AccountSettings) -> AccountSettings:
    """Returns the settings without any pause of the account and of its lists, so that the next flush tries again."""
    lists = tuple(replace(account_list, pause=None) for account_list in settings.lists)
    return replace(settings, pause=None, lists=lists)


def change(
    db: Database,
    changelog: Changelog,
    account_id: AccountId,
    step: Callable[[AccountSettings], AccountSettings],
    author: Author | None = None,
) -> AccountSettings:
    """Changes settings and records who did; customers are compared again if they may belong elsewhere.

    Args:
        db: outside of a transaction.
        step: returns the changed settings; may be called more than once.
        author: None if no person changes them.

    Raises:
        NotFound: the account has no settings.
        AccountError: another account has stored one of the lists.
    """

    def write() -> Changed[AccountSettings]:
        before = load(db, account_id)
        after = step(before)
        if after == before:
            return Changed(before, [])
        if after.stored_ids != before.stored_ids:
            _require_unused(db, after)
        rows = accounts.save(db, after) + note_new_lists(db, after) + note(db, before, after, author)
        if lists_differ(before, after) or _fields_differ(before, after):
            rows += marking.mark_changed(db, account_id, None).rows
        return Changed(after, rows)

    return changelog.commit(db, write)


def lists_differ(before: AccountSettings, after: AccountSettings) -> bool:
    """Returns whether customers may belong on another list."""
    return (before.master_list, before.stored_ids) != (after.master_list, after.stored_ids)


def _fields_differ(before: AccountSettings, after: AccountSettings) -> bool:
    return [on_list.merge_fields or {} for on_list in before.lists] != [
        on_list.merge_fields or {} for on_list in after.lists
    ]


def _require_unused(db: Database, settings: AccountSettings) -> None:
    for account_list in settings.stored:
        if accounts.stored_by(db, account_list.list_id) not in (None, settings.account_id):
            raise AccountError(
                f"Only one account can store a list, and another account has stored List {account_list.label}.",
                "Leave it out, or let the other account un-store it first.",
            )


def note_new_lists(db: Database, settings: AccountSettings, list_ids: Iterable[ListId] = ()) -> Rows:
    """Marks lists as new until they are stored, so that the pages can show them. Call it in a transaction."""
    before = settings_notes.data_of(db, "new_lists", settings.account_id) or []
    new = sorted({*before, *list_ids} - settings.stored_ids)
    if not new:
        return settings_notes.delete(db, "new_lists", settings.account_id)
    return [] if new == before else settings_notes.put(db, "new_lists", settings.account_id, new)
