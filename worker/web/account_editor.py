"""Changes the account of a request, for the pages and the API alike, and records who made each change.

Each function raises a KafkaError while ledger and settings are not read yet, or if they cannot be written.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial

from worker.accounts import api_keys, lists, settings
from worker.accounts.api_keys import Connected
from worker.accounts.lists import Refreshed
from worker.accounts.requested_settings import RequestedSettings, with_requested
from worker.accounts.settings_log import Author
from worker.clock import as_text
from worker.errors import AccountError
from worker.fields import field_mapping
from worker.fields.field_mapping import MappedField
from worker.model import ListId
from worker.status.times import moment_in_words
from worker.store import marking, runs
from worker.store.accounts import AccountSettings
from worker.store.runs import Request
from worker.text.plural import counted
from worker.web.account_reader import current_state, preview, require_ready
from worker.web.call import Call
from worker.web.errors import ConfirmationNeeded, TooManyTries
from worker.web.refreshes import Refresh


def _author(call: Call) -> Author:
    return Author(str(call.signed_in), call.now)


def connect(call: Call, api_key: str) -> Connected:
    """Stores an API key once Mailchimp has accepted it.

    Raises:
        ApiKeyMalformed: the text is not an API key; nothing was sent anywhere.
        MailchimpError: Mailchimp refused the key or could not be reached; the subclass tells which.
    """
    require_ready(call)
    app = call.app
    return api_keys.connect(
        call.db,
        app.changelog,
        call.account,
        api_key,
        secret=app.secret,
        open_sender=app.open_client,
        at=call.now,
        author=_author(call),
    )


def disconnect(call: Call) -> AccountSettings:
    """Removes the API key and disables the integration. Mailchimp is not changed.

    Raises:
        NotFound: the account has no settings.
    """
    require_ready(call)
    return api_keys.disconnect(call.db, call.app.changelog, call.account, _author(call))


def change(call: Call, wanted: RequestedSettings, confirmed: Mapping[ListId, int] | None = None) -> AccountSettings:
    """Changes settings, unless more members would leave a list than were confirmed. Idempotent.

    Args:
        confirmed: how many members may leave each list, as a preview showed them.

    Raises:
        NotFound: the account has no settings, or no refresh has found one of the lists.
        AccountError: a rule forbids it; the message says which.
        ConfirmationNeeded: more than a tenth of a list would leave, and more than were confirmed.
    """
    require_ready(call)
    before = settings.load(call.db, call.account)
    if with_requested(before, wanted, call.now) == before:
        return before
    to_confirm = preview(call, wanted).to_confirm
    allowed, names = confirmed or {}, {mailing_list.list_id: mailing_list.name for mailing_list in before.lists}
    unconfirmed = [
        f"{counted(count, 'member')} of {names.get(list_id, list_id)}"
        for list_id, count in to_confirm.items()
        if count > allowed.get(list_id, 0)
    ]
    if unconfirmed:
        advice = "Confirm it by sending these numbers as confirmed."
        raise ConfirmationNeeded(f"More than a tenth would leave: {', '.join(unconfirmed)}.", advice, to_confirm)

    def step(now: AccountSettings) -> AccountSettings:
        after = with_requested(now, wanted, call.now)
        return now if after == now and not to_confirm else replace(after, confirmed=to_confirm or None)

    after = settings.change(call.db, call.app.changelog, call.account, step, _author(call))
    marking.mark_the_rest(call.db)
    return after


def choose_fields(call: Call, list_id: ListId, chosen: Mapping[str, str]) -> list[MappedField]:
    """Replaces the mapping of a list's merge fields; returns the fields with their sources.

    Args:
        chosen: merge tag to a customer field or an attribute; "" for a tag that is not filled.

    Raises:
        NotFound: the account has no settings, or no refresh has found the list.
        AccountError: the list has no such field, its type does not take the source, or there is no API key.
        MailchimpError: Mailchimp refused or could not be reached; the subclass tells which.
    """
    require_ready(call)
    db, account_id, app = call.db, call.account, call.app
    on_list, available = lists.merge_fields_of(db, account_id, list_id, secret=app.secret, open_sender=app.open_client)
    mapping = field_mapping.checked(account_id, list_id, chosen, available)
    step = partial(lists.with_fields, list_id=list_id, chosen=mapping)
    settings.change(db, app.changelog, account_id, step, _author(call))
    marking.mark_the_rest(db)
    return field_mapping.mapped(replace(on_list, merge_fields=mapping or None), available)


def resume(call: Call) -> AccountSettings:
    """Ends every pause of the account and of its lists.

    Raises:
        NotFound: the account has no settings.
    """
    require_ready(call)
    return settings.change(call.db, call.app.changelog, call.account, settings.without_pauses, _author(call))


def refresh_lists(call: Call) -> Refresh:
    """Starts reading the account's lists from Mailchimp, unless that is running already. Does not wait.

    Raises:
        NotFound: the account has no settings.
        AccountError: it has no API key.
        Busy: the lists of too many other accounts are being read.
    """
    require_ready(call)
    app, account_id = call.app, call.account
    settings.load(call.db, account_id)
    api_keys.key_of(call.db, account_id, app.secret)

    def read() -> Refreshed:
        with closing(app.open_database()) as db:
            return lists.refresh(
                db, app.changelog, account_id, secret=app.secret, open_sender=app.open_client, at=app.clock()
            )

    return call.context.refreshes.start(account_id, app.clock, read)


def sync_now(call: Call, *, confirm_held: bool = False) -> Request:
    """Requests a flush of the account now.

    Args:
        confirm_held: whether to do what the last flush held back; this may be requested whenever no flush of the
            account is under way or about to begin.

    Raises:
        NotFound: the account has no settings.
        AccountError: something is missing, so that nothing would be delivered, or nothing is held back.
        TooManyTries: a flush was requested within the last ten minutes, or could change what is to be confirmed.
    """
    settings.load(call.db, call.account)
    current = current_state(call)
    if current.missing:
        raise AccountError(f"Nothing can be delivered yet. {current.missing[0].message}", current.missing[0].advice)
    if confirm_held and not current.facts.held_counts:
        raise AccountError("Nothing is held back.", "Check the account again.")
    if confirm_held and current.syncing:
        raise TooManyTries(
            "A sync begins or is under way, so the numbers may change.", "Once it has ended, look at them again."
        )
    if current.sync_again_at is not None and not confirm_held:
        at = moment_in_words(current.sync_again_at, call.now, call.app.config.flush.zone)
        raise TooManyTries("A sync was asked for within the last ten minutes.", f"You can ask again {at}.")
    with call.db.transaction():
        return runs.ask(call.db, as_text(call.now), call.account, confirmed=confirm_held)
