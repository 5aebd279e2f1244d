"""Reads the account of a request, for the pages and the API alike. Read-only, here and in Mailchimp."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from worker.accounts import lists
from worker.accounts.requested_settings import RequestedSettings, with_requested
from worker.accounts.settings import Missing, lists_differ, missing
from worker.clock import as_moment, as_text
from worker.errors import KafkaError, NotFound, WorkerError
from worker.fields.field_mapping import MappedField, mapped
from worker.model import ListId, address_key
from worker.sqlite.lock import seconds_since_beat
from worker.status.account_facts import facts_of
from worker.status.account_state import AccountFacts
from worker.status.explanation import Explanation, LiveMember, explanations_of, read_live_member
from worker.status.next_flush import RunningFlush, running_flush_of
from worker.status.receipts_since import receipts_since
from worker.status.times import moment_in_words
from worker.status.what_follows import WhatFollows, what_follows
from worker.store import accounts, runs
from worker.store.accounts import AccountSettings
from worker.store.runs import PartOfRun
from worker.web.call import Call
from worker.web.errors import BadInput

SYNC_AGAIN = timedelta(minutes=10)
"""How long after one sync the owner may request the next."""


@dataclass(frozen=True, slots=True)
class CurrentState:
    """The current state of an account.

    Attributes:
        missing: what it needs before anything is delivered, in the order of the steps.
        sync_again_at: when the account may request a sync again; None if it may now.
        held_confirmed: whether a flush that was requested, or is under way, does what was held back.
        flush: progress of the running flush of the account; None if none runs.
    """

    facts: AccountFacts
    missing: tuple[Missing, ...]
    sync_again_at: datetime | None
    sync_requested: bool
    held_confirmed: bool
    flush: RunningFlush | None

    @property
    def syncing(self) -> bool:
        """Whether a flush of the account is under way or begins within seconds."""
        return self.sync_requested or self.facts.delivering


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


def settings_of(call: Call) -> AccountSettings:
    """Returns the account's settings, empty ones if it has none."""
    return accounts.find(call.db, call.account) or AccountSettings(call.account)


def merge_fields_of(call: Call, list_id: ListId) -> list[MappedField]:
    """Returns the merge fields of a list, as Mailchimp has them now, with their sources.

    Raises:
        NotFound: the account has no settings, or no refresh has found the list.
        AccountError: it has no API key.
        MailchimpError: Mailchimp refused or could not be reached; the subclass tells which.
    """
    app = call.app
    return mapped(
        *lists.merge_fields_of(call.db, call.account, list_id, secret=app.secret, open_sender=app.open_client)
    )


def current_state(call: Call) -> CurrentState:
    """Returns the account's current state, what it lacks, and what comes next."""
    settings = settings_of(call)
    # Runs of a killed worker never ended.
    beats = seconds_since_beat(call.app.config.staging.path) is not None
    with call.db.snapshot():  # who is settled and who is left must add up
        running = runs.under_way(call.db) if beats else ()
        (facts,) = facts_of(call.db, call.next_flush, running, settings)
    requests = runs.requests_since(call.db, call.account, as_text(call.now - SYNC_AGAIN))
    not_ended = {None, *(run.run for run in running)}
    return CurrentState(
        facts=facts,
        missing=missing(settings),
        sync_again_at=as_moment(requests[-1].requested_at) + SYNC_AGAIN if requests else None,
        sync_requested=any(request.run is None for request in requests),
        held_confirmed=any(request.confirmed and request.run in not_ended for request in requests),
        flush=running_flush_of(call.account, running, facts.waiting, call.now),
    )


def preview(call: Call, requested: RequestedSettings) -> Preview:
    """Returns the consequences of a change, by the same numbers as the plan; changes nothing.

    Raises:
        NotFound: no refresh has found one of the lists.
        AccountError: a rule forbids it; the message says which.
        KafkaError: the ledger is not read yet, so the numbers would be wrong.
    """
    require_ready(call)
    before = settings_of(call)
    after = with_requested(before, requested, call.now)
    departed = call.app.departed_of(call.db, call.account)
    follows = what_follows(call.db, after, departed, as_text(call.now), everyone=lists_differ(before, after))
    if follows is None:
        return Preview(after, None, " ".join(lack.message for lack in missing(after)))
    at = moment_in_words(call.next_flush, call.now, call.app.config.flush.zone)
    return Preview(after, follows, follows.in_words(at))


def require_ready(call: Call) -> None:
    """Checks that ledger and settings have been read.

    Raises:
        KafkaError: they have not.
    """
    if (why := call.context.why_not_ready()) is not None:
        raise KafkaError(f"The worker is starting: {why}", "Try again in a few seconds.")


def runs_of(call: Call, days: int = 30) -> list[PartOfRun]:
    """Returns the account's parts of recent flushes, oldest first. A mere reading of lists is none."""
    parts = runs.parts_since(call.db, call.account, as_text(call.now - timedelta(days=days)))
    return [part for part in parts if part.trigger != "read back"]


def receipts_complete_since(call: Call) -> datetime:
    """Returns since when this database has all receipts of the account: it lacks those of former owners."""
    return receipts_since(call.db, call.app.config, call.now, call.account)


def syncs_listed_from(call: Call) -> datetime | None:
    """Returns since when the account's syncs are in this database; None if none can have been before.

    It may lie ahead: while a former owner may still make calls.
    """
    settings, since = settings_of(call), receipts_complete_since(call)
    return since if any(at is not None and at < since for at in (settings.connected_at, settings.enabled_at)) else None


def people_at(call: Call, email: str, *, live: bool = True) -> Sequence[Person]:
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
    explanations = explanations_of(call.db, address, call.account, call.next_flush)
    if not explanations:
        raise NotFound(
            f"No customer with the address {address} is known in account {call.account}.",
            "Check the spelling. A customer who was just added appears here within a minute.",
        )
    return [Person(explanation, _live_member(call, explanation) if live else None) for explanation in explanations]


def _live_member(call: Call, explanation: Explanation) -> LiveMember | None:
    membership = explanation.membership_now
    if membership is None:
        return None
    try:
        with call.app.open_client_of(call.db, call.account) as sender:
            return read_live_member(sender, membership)
    except WorkerError as error:
        return LiveMember(membership, None, None, error.message)
