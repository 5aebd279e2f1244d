"""Changes one account, for the pages and the API alike, and records who made each change."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace

from worker.accounts import api_keys, chosen_fields, lists, requested_settings, settings
from worker.accounts.api_keys import Connected
from worker.accounts.lists import Refreshed
from worker.accounts.requested_settings import RequestedSettings
from worker.accounts.settings_log import Author
from worker.clock import as_text
from worker.errors import AccountError
from worker.fields import field_mapping
from worker.fields.field_mapping import MappedField
from worker.model import ListId
from worker.store import customers, runs
from worker.store.accounts import AccountSettings
from worker.store.runs import Request
from worker.text.plural import counted
from worker.web.access.visitor import Visitor
from worker.web.account_reader import AccountReader, reader_of
from worker.web.call import Call
from worker.web.problems import ConfirmationNeeded, TooManyTries
from worker.web.refreshes import Refresh


@dataclass(frozen=True)
class AccountEditor:
    """Changes one account.

    Attributes:
        reading: of the same account.
        visitor: who makes the request.
    """

    reading: AccountReader
    visitor: Visitor

    @property
    def _author(self) -> Author:
        return Author(str(self.visitor), self.reading.now)

    def connect(self, api_key: str) -> Connected:
        """Stores an API key once Mailchimp has accepted it.

        Raises:
            ApiKeyMalformed: the text is not an API key; nothing was sent anywhere.
            MailchimpError: Mailchimp refused the key or could not be reached; the subclass tells which.
            KafkaError: the settings cannot be written now.
        """
        self.reading.require_ready()
        parts, reading = self.reading.context.parts, self.reading
        return api_keys.connect(
            reading.db,
            parts.changelog,
            reading.account_id,
            api_key,
            secret=parts.secret,
            open_sender=parts.open_client,
            at=reading.now,
            author=self._author,
        )

    def disconnect(self) -> AccountSettings:
        """Removes the API key and disables the integration. Mailchimp is not changed.

        Raises:
            NotFound: the account has no settings.
            KafkaError: the settings cannot be written now.
        """
        self.reading.require_ready()
        reading = self.reading
        return api_keys.disconnect(reading.db, reading.context.parts.changelog, reading.account_id, self._author)

    def change(self, change: RequestedSettings, confirmed: Mapping[ListId, int] | None = None) -> AccountSettings:
        """Changes settings, unless more members would leave a list than were confirmed. Idempotent.

        Args:
            confirmed: how many members may leave each list, as a preview showed them.

        Raises:
            NotFound: the account has no settings, or no refresh has found one of the lists.
            AccountError: a rule forbids it; the message says which.
            ConfirmationNeeded: more than a tenth of a list would leave, and more than were confirmed.
            KafkaError: the settings cannot be written now.
        """
        self.reading.require_ready()
        reading = self.reading
        before = settings.load(reading.db, reading.account_id)
        if requested_settings.with_requested(before, change, reading.now) == before:
            return before
        preview = reading.preview(change)
        allowed = confirmed or {}
        over = {one: count for one, count in preview.to_confirm.items() if count > allowed.get(one, 0)}
        if over:
            names = {one.list_id: one.name for one in before.lists}
            message = ", ".join(f"{counted(count, 'member')} of {names.get(one, one)}" for one, count in over.items())
            advice = "Confirm it by sending these numbers as confirmed."
            raise ConfirmationNeeded(f"More than a tenth would leave: {message}.", advice, preview.to_confirm)
        changelog = reading.context.parts.changelog
        given = preview.to_confirm or None
        after = requested_settings.save(reading.db, changelog, reading.account_id, change, given, self._author)
        customers.mark_the_rest(reading.db)
        return after

    def choose_fields(self, list_id: ListId, chosen: Mapping[str, str]) -> list[MappedField]:
        """Replaces the mapping of a list's merge fields; returns the fields with their sources.

        Args:
            chosen: merge tag to a customer field or an attribute; "" for a tag that is not filled.

        Raises:
            NotFound: the account has no settings, or no refresh has found the list.
            AccountError: the list has no such field, its type does not take the source, or there is no API key.
            MailchimpError: Mailchimp refused or could not be reached; the subclass tells which.
            KafkaError: the settings cannot be written now.
        """
        self.reading.require_ready()
        reading = self.reading
        db, account_id, parts = reading.db, reading.account_id, reading.context.parts
        on_list, available = chosen_fields.read(
            db, account_id, list_id, secret=parts.secret, open_sender=parts.open_client
        )
        kept = field_mapping.checked(account_id, list_id, chosen, available)
        chosen_fields.choose(db, parts.changelog, account_id, list_id, kept, self._author)
        customers.mark_the_rest(db)
        return field_mapping.mapped(replace(on_list, merge_fields=kept or None), available)

    def resume(self) -> AccountSettings:
        """Ends every pause of the account and of its lists.

        Raises:
            NotFound: the account has no settings.
            KafkaError: the settings cannot be written now.
        """
        self.reading.require_ready()
        reading = self.reading
        return settings.resume(reading.db, reading.context.parts.changelog, reading.account_id, self._author)

    def refresh_lists(self) -> Refresh:
        """Starts reading the account's lists from Mailchimp, unless that is running already. Does not wait.

        Raises:
            NotFound: the account has no settings.
            AccountError: it has no API key.
            Busy: the lists of too many other accounts are being read.
            KafkaError: the settings cannot be written now.
        """
        self.reading.require_ready()
        context, account_id = self.reading.context, self.reading.account_id
        parts = context.parts
        settings.load(self.reading.db, account_id)
        api_keys.key_of(self.reading.db, account_id, parts.secret)

        def read() -> Refreshed:
            with closing(context.open_database()) as db:
                return lists.refresh(
                    db,
                    parts.changelog,
                    account_id,
                    secret=parts.secret,
                    open_sender=parts.open_client,
                    at=parts.clock(),
                )

        return context.refreshes.start(account_id, parts.clock, read)

    def sync_now(self, *, confirm_held: bool = False) -> Request:
        """Requests a flush of the account now.

        Args:
            confirm_held: whether to do what the last flush held back; this may be requested at any time.

        Raises:
            NotFound: the account has no settings.
            AccountError: something is missing, so that nothing would be delivered, or nothing is held back.
            TooManyTries: a flush was requested within the last ten minutes.
        """
        reading = self.reading
        settings.load(reading.db, reading.account_id)
        now = reading.state()
        if now.missing:
            raise AccountError(f"Nothing can be delivered yet. {now.missing[0].what}", now.missing[0].advice)
        if confirm_held and not now.facts.held:
            raise AccountError("Nothing is held back.", "Check the account again.")
        if now.sync_asked or (now.sync_again_at is not None and not confirm_held):
            assert now.sync_again_at is not None, "who asked may ask again some time"
            at = as_text(now.sync_again_at)
            raise TooManyTries("A sync was asked for within the last ten minutes.", f"You can ask again at {at}.")
        with reading.db.transaction():
            number = runs.ask(reading.db, as_text(reading.now), reading.account_id, confirmed=confirm_held)
        found = runs.request(reading.db, number)
        assert found is not None, "it was just written"
        return found


def editor_of(call: Call) -> AccountEditor:
    """Returns the editor of the account in the path."""
    return AccountEditor(reader_of(call), call.me)
