"""Reads one account, for the pages and the API alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from worker.accounts import api_keys, chosen_fields, lists, settings_log
from worker.accounts.requested_settings import RequestedSettings, with_requested
from worker.accounts.settings import Missing, lists_differ, missing
from worker.accounts.settings_log import SettingChange
from worker.clock import as_moment, as_text
from worker.errors import KafkaError, NotFound, WorkerError
from worker.fields.field_mapping import MappedField, mapped
from worker.flush.schedule import next_flush_time
from worker.flush.what_follows import WhatFollows, what_follows
from worker.mailchimp.user import MailchimpUser
from worker.model import AccountId, CustomerId, ListId, address_key
from worker.plan.outcomes import Outcome
from worker.sqlite.database import Database
from worker.sqlite.lock import seconds_since_beat
from worker.status.account_facts import facts_of
from worker.status.account_state import AccountFacts, AccountState, state_of
from worker.status.explanation import Explanation, LiveMember, ask_mailchimp, explanations_of
from worker.status.next_flush import RunningFlush, running_flush_of
from worker.status.receipts_since import receipts_since
from worker.status.times import moment_in_words
from worker.store import accounts, receipts, runs
from worker.store.accounts import AccountSettings
from worker.store.receipts import Receipt
from worker.store.runs import PartOfRun
from worker.web.call import Call
from worker.web.context import WebContext
from worker.web.errors import BadInput
from worker.web.refreshes import Refresh

SYNC_AGAIN = timedelta(minutes=10)
"""How long after one sync the owner may request the next."""


@dataclass(frozen=True, slots=True)
class CurrentState:
    """The current state of an account.

    Attributes:
        missing: what it needs before anything is delivered, in the order of the steps.
        sync_again_at: when the account may request a sync again; None if it may now.
        flush: progress of the running flush of the account; None if none runs.
    """

    facts: AccountFacts
    state: AccountState
    missing: tuple[Missing, ...]
    next_flush: datetime
    next_flush_in_words: str
    sync_again_at: datetime | None
    sync_requested: bool
    flush: RunningFlush | None


@dataclass(frozen=True, slots=True)
class Preview:
    """The consequences of a change of settings that was not made.

    Attributes:
        follows: counts of contacts; None if nothing would be delivered, because something is missing.
        in_words: the same in a sentence, for operators.
    """

    settings: AccountSettings
    follows: WhatFollows | None
    in_words: str

    @property
    def to_confirm(self) -> dict[ListId, int]:
        """The lists that more than a tenth of the members would leave, each with their number."""
        return self.follows.to_confirm if self.follows is not None else {}


@dataclass(frozen=True, slots=True)
class Person:
    """The history of one customer, and the member's current state in Mailchimp.

    Attributes:
        live: None if it was not requested, or if there is no member.
    """

    explanation: Explanation
    live: LiveMember | None


@dataclass(frozen=True)
class AccountReader:
    """Reads one account. Read-only, here and in Mailchimp.

    Attributes:
        db: a connection used only by this request.
    """

    context: WebContext
    db: Database
    account_id: AccountId
    now: datetime

    def settings(self) -> AccountSettings:
        """Returns the account's settings, empty ones if it has none."""
        return accounts.find(self.db, self.account_id) or AccountSettings(self.account_id)

    def user(self) -> MailchimpUser | None:
        """Returns the owner of the API key; None without a key, or if an earlier release stored it."""
        return api_keys.owner_of(self.db, self.account_id)

    def new_lists(self, settings: AccountSettings) -> frozenset[ListId]:
        """Returns the lists that a refresh after the first one found, and that are not stored yet."""
        return lists.new_of(self.db, settings)

    def refresh(self) -> Refresh | None:
        """Returns the last refresh of its lists, maybe still running; None if there was none since the start."""
        return self.context.refreshes.of(self.account_id)

    def fields(self, list_id: ListId) -> list[MappedField]:
        """Returns the merge fields of a list, as Mailchimp has them now, with their sources.

        Raises:
            NotFound: the account has no settings, or no refresh has found the list.
            AccountError: it has no API key.
            MailchimpError: Mailchimp refused or could not be reached; the subclass tells which.
        """
        app = self.context.app
        return mapped(
            *chosen_fields.read(self.db, self.account_id, list_id, secret=app.secret, open_sender=app.open_client)
        )

    def current_state(self) -> CurrentState:
        """Returns the account's current state, what it lacks, and what comes next."""
        config, settings = self.context.app.config, self.settings()
        # Runs of a killed worker never ended.
        running = runs.under_way(self.db) if seconds_since_beat(config.staging.path) else ()
        facts = facts_of(self.db, settings, running)
        at = next_flush_time(self.now, config.flush.time_of_day, config.flush.zone)
        requests = runs.requests_since(self.db, self.account_id, as_text(self.now - SYNC_AGAIN))
        return CurrentState(
            facts=facts,
            state=state_of(facts, self.now),
            missing=missing(settings),
            next_flush=at,
            next_flush_in_words=moment_in_words(at, self.now, config.flush.zone),
            sync_again_at=as_moment(requests[-1].requested_at) + SYNC_AGAIN if requests else None,
            sync_requested=any(request.run is None for request in requests),
            flush=running_flush_of(self.account_id, running, facts.waiting, self.now),
        )

    def preview(self, requested: RequestedSettings) -> Preview:
        """Returns the consequences of a change, by the same numbers as the plan; changes nothing.

        Raises:
            NotFound: no refresh has found one of the lists.
            AccountError: a rule forbids it; the message says which.
            KafkaError: the ledger is not read yet, so the numbers would be wrong.
        """
        self.require_ready()
        before = self.settings()
        after = with_requested(before, requested, self.now)
        departed = self.context.app.departed_of(self.db, self.account_id)
        follows = what_follows(self.db, after, departed, as_text(self.now), every=lists_differ(before, after))
        if follows is None:
            return Preview(after, None, " ".join(lack.message for lack in missing(after)))
        flush = self.context.app.config.flush
        at = next_flush_time(self.now, flush.time_of_day, flush.zone)
        return Preview(after, follows, follows.in_words(moment_in_words(at, self.now, flush.zone)))

    def require_ready(self) -> None:
        """Checks that ledger and settings have been read.

        Raises:
            KafkaError: they have not.
        """
        if (why := self.context.why_not_ready()) is not None:
            raise KafkaError(f"The worker is starting: {why}", "Try again in a few seconds.")

    def runs(self, days: int = 30) -> list[PartOfRun]:
        """Returns the account's parts of recent flushes, oldest first."""
        return runs.parts_since(self.db, self.account_id, as_text(self.now - timedelta(days=days)))

    def receipts(
        self,
        *,
        run: int | None = None,
        outcome: Outcome | None = None,
        list_id: ListId | None = None,
        customer_id: CustomerId | None = None,
        limit: int | None = 100,
    ) -> list[Receipt]:
        """Returns receipts of the account, oldest first; with a limit, only the newest ones."""
        return list(
            receipts.find(
                self.db,
                account_id=self.account_id,
                run=run,
                outcome=outcome,
                list_id=list_id,
                customer_id=customer_id,
                limit=limit,
            )
        )

    def receipts_since(self) -> datetime:
        """Returns since when this database has all receipts of the account: it lacks those of former owners."""
        return receipts_since(self.db, self.context.app.config, self.now, self.account_id)

    def person(self, email: str, *, live: bool = True) -> Sequence[Person]:
        """Returns the history of everybody in the account who has or had an address.

        Args:
            email: in any case.
            live: whether to query Mailchimp too; if that fails, each result says why.

        Raises:
            BadInput: it is not an address.
            NotFound: nobody in the account has or had it.
        """
        address = address_key(email)
        if address is None:
            raise BadInput("No address was given.", "Give the address of the person.")
        flush = self.context.app.config.flush
        due = next_flush_time(self.now, flush.time_of_day, flush.zone)
        explanations = explanations_of(self.db, address, self.account_id, due)
        if not explanations:
            raise NotFound(
                f"No customer with the address {address} is known in account {self.account_id}.",
                "Check the spelling. A customer who was just added appears here within a minute.",
            )
        return [Person(explanation, self._live_member(explanation) if live else None) for explanation in explanations]

    def _live_member(self, explanation: Explanation) -> LiveMember | None:
        membership = explanation.membership
        if membership is None:
            return None
        try:
            with self.context.app.open_client_of(self.db, self.account_id) as sender:
                return ask_mailchimp(sender, membership)
        except WorkerError as error:
            return LiveMember(membership, None, None, error.message)

    def settings_log(self) -> list[SettingChange]:
        """Returns who changed which setting, and when, newest first."""
        return settings_log.read(self.db, self.account_id)[::-1]


def reader_of(call: Call) -> AccountReader:
    """Returns the reader of the account in the path."""
    return AccountReader(call.context, call.db, call.account, call.now)
