"""Decides what is published about a customer after a step, or after its member was read, and writes it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from worker.clock import as_moment, as_text, moment_or_none
from worker.flush.step_result import StepResult
from worker.mailchimp.answers import Member
from worker.model import AccountId, CustomerId, ListId, MembershipKey
from worker.plan.identity import joined_again, left_as
from worker.plan.outcomes import (
    CHECKED_AGAIN,
    MEANINGS,
    NOTHING_NEXT,
    OTHER_STATUS,
    STATUS_MEANINGS,
    Outcome,
    StatusMeaning,
)
from worker.sqlite.database import Database
from worker.sqlite.rows import Rows
from worker.store import customer_outcomes, ledger
from worker.store.customer_outcomes import NO_MEMBER, Cause, CustomerNow, CustomerOutcome
from worker.store.ledger import OUT, LedgerEntry, has_left
from worker.store.receipts import Receipt

_REFUSED_BY_MAILCHIMP = frozenset(
    {
        Outcome.GONE, Outcome.LEFT_ALONE, Outcome.REFUSED, Outcome.SUPPRESSED, Outcome.LATER, Outcome.LIST_PAUSED,
        Outcome.LIST_GONE, Outcome.ACCOUNT_STOPPED,
    }
)  # fmt: skip
_OF_AN_OLD_PLACE = frozenset(
    {Outcome.ARCHIVED, Outcome.UNSUBSCRIBED, Outcome.LEFT_ALONE, Outcome.GONE, Outcome.DELETED, Outcome.WITHHELD}
)
"""What a step may do at a place that the customer has left, which says nothing about where the customer is."""
_KEPT_OFF = frozenset({Outcome.LEFT, Outcome.GONE, Outcome.WITHHELD})
"""The customer goes nowhere. That its old member is taken off then decides nothing about it."""
_JOINED = frozenset({Outcome.ADDED, Outcome.MOVED, Outcome.RESTORED, Outcome.FOUND})
"""The customer has a member that it did not have before, whatever was published last."""
_TAKEN_OFF = frozenset({Outcome.ARCHIVED, Outcome.UNSUBSCRIBED})
"""The member was on the list until then, whatever was published last."""


def status_of(now: CustomerNow) -> str:
    """Returns the status of a customer's member, as far as it is known."""
    if now.state == "archived":
        # A member that never confirmed is unsubscribed instead.
        return now.member_status if now.member_status in OUT else "archived"
    there = now.state == "present" or (now.state == "gone" and (now.renamed or now.unconfirmed))
    return (now.member_status or NO_MEMBER) if there else NO_MEMBER


@dataclass(frozen=True, slots=True)
class _EndedStep:
    """A step's result, with what follows from it for the places that it wrote.

    Attributes:
        settled: customers that no other step follows for.
        departed: how somebody left each place that the receipts name as the reason, see :func:`left_as`.
        rejoined: places whose member joined again since it was last read: its status is new though it is the same.
    """

    result: StepResult
    settled: Collection[CustomerId]
    departed: Mapping[MembershipKey, str]
    rejoined: Collection[MembershipKey]


def _after_step(now: CustomerNow, receipts: Sequence[Receipt], step: _EndedStep) -> CustomerOutcome | None:
    """Returns what is published about a customer after a step; None if nothing changed.

    Args:
        now: the customer after everything that the step wrote.
        receipts: of the customer, at least one, oldest first.
    """
    version = step.result.customers[now.customer_id].version
    again, settled = now.membership in step.rejoined, now.customer_id in step.settled
    now = _without_successors(now)
    here = [receipt for receipt in receipts if now.membership == _place_of(receipt)]
    receipt = (here or receipts)[-1]
    published, status = now.published, status_of(now)
    elsewhere = not here and now.membership is not None and receipt.outcome in _OF_AN_OLD_PLACE
    if published is not None and (
        # Another step reports on the customer; if none did or will, this one answers its event.
        (elsewhere and (not settled or (published.version == version and _settles(published.outcome))))
        or (
            step.result.is_archive
            and receipt.outcome in _OF_AN_OLD_PLACE
            and _was_kept_off(published, version, receipt)
        )
    ):
        place = published.list_id if now.membership is None else now.membership.list_id
        return _unless_same(published, _with_status(published, place, status, receipt.at), status_set=again)
    list_id = now.membership.list_id if now.membership is not None else receipt.list_id
    if receipt.outcome == Outcome.TAGGED and _answers(published, (version, receipt.event_id, list_id, status)):
        return None  # the outcome published before says more
    departure = _departure(receipt, step.departed)
    new = CustomerOutcome(
        version=version,
        event_id=receipt.event_id,
        list_id=list_id,
        list_reason=receipt.list_reason if receipt.list_id == list_id else None,
        member_status=status,
        since=(_left_at(receipt) if here else None) or receipt.at,
        outcome=str(receipt.outcome),
        # Something found elsewhere is described in general, since the sentence names another list.
        reason=MEANINGS[receipt.outcome].sentence if elsewhere else _reason(receipt, departure),
        next=_next(receipt),
        caused_by=_cause(receipt, now, departure or status),
        run=receipt.run,
        at=receipt.at,
    )
    status_set = again or receipt.outcome in _JOINED or (bool(here) and receipt.outcome in _TAKEN_OFF)
    return _unless_same(published, new, status_set=status_set)


def _with_status(published: CustomerOutcome, list_id: ListId | None, status: str, at: str) -> CustomerOutcome:
    """Returns a published outcome with the status of the member, which may be on another list by now."""
    list_reason = published.list_reason if list_id == published.list_id else None
    return replace(published, list_id=list_id, list_reason=list_reason, member_status=status, since=at, at=at)


def _place_of(receipt: Receipt) -> MembershipKey | None:
    if receipt.list_id is None or receipt.address is None:
        return None
    return MembershipKey(receipt.list_id, receipt.address)


def _departure(receipt: Receipt, departed: Mapping[MembershipKey, str]) -> str | None:
    place = _place_of(receipt)
    return departed.get(place) if place is not None and receipt.outcome == Outcome.LEFT else None


def _left_at(receipt: Receipt) -> str | None:
    # When Mailchimp last changed the member that was read, since which it has been as it is now.
    if receipt.outcome != Outcome.LEFT or not (receipt.call or "").startswith("GET ") or receipt.answer is None:
        return None
    changed = moment_or_none(receipt.answer.get("last_changed"))
    return None if changed is None else as_text(changed)


def _was_kept_off(published: CustomerOutcome, version: int | None, receipt: Receipt) -> bool:
    answered = (published.version, published.event_id) == (version, receipt.event_id)
    return answered and published.outcome in _KEPT_OFF


def after_steps_of_others(now: CustomerNow, receipt: Receipt) -> CustomerOutcome | None:
    """Returns what is published about a customer whose member another customer's step changed; None if it did not.

    Args:
        now: the customer after everything that the step wrote.
        receipt: the other customer's, for that place.
    """
    status, published = status_of(now), now.published
    if published is None or now.membership is None:
        return None
    if published.member_status == status and receipt.outcome not in _TAKEN_OFF:
        return None
    if _without_successors(now).membership is None:
        # The member belongs to the other customer only: this customer's own steps report on it.
        return None if published.member_status == NO_MEMBER else after_reading(now, None, receipt.at, receipt.run)
    return replace(
        published,
        list_id=now.membership.list_id,
        member_status=status,
        since=receipt.at,
        outcome=str(receipt.outcome),
        reason=_reason(receipt),
        next=_next(receipt),
        caused_by=_cause(receipt, now, status),
        run=receipt.run,
        at=receipt.at,
    )


def _without_successors(now: CustomerNow) -> CustomerNow:
    # The member belongs to another customer now. A person who left as that member is still known by it.
    if now.succeeded and status_of(now) not in (*OUT, NO_MEMBER):
        return replace(now, membership=None, state=None, member_status=None, renamed=False)
    return now


def after_reading(
    now: CustomerNow, since: str | None, at: str, run: int | None = None, *, again: bool = False
) -> CustomerOutcome | None:
    """Returns what is published about a customer after its member was read; None if it was published already.

    Args:
        now: the customer after the reading.
        since: when the member changed, by Mailchimp's clock, as text; None if unknown.
        run: the flush that read it; None outside of one.
        again: whether the member joined again since it was last read, so that its status is new though it is the same.
    """
    if now.deleted and now.published is None:
        return None  # nothing is published about it any more
    now = _without_successors(now)
    status, published = status_of(now), now.published
    list_id = now.membership.list_id if now.membership is not None else None
    status_meaning = _status_meaning(now, status)
    same = published is not None and (published.list_id, published.member_status) == (list_id, status)
    if published is not None and same:
        rejoined = again and since is not None and as_moment(since) > as_moment(published.since)
        if not rejoined and (not now.renamed or published.reason == status_meaning.reason):
            return None
        since = since if rejoined else published.since
    if published is not None and now.changed and list_id is None:
        # The member that is back is another customer's.
        there = replace(published, list_id=None, list_reason=None, member_status=status, since=since or at)
        return replace(there, next=CHECKED_AGAIN, run=run, at=at)
    return CustomerOutcome(
        version=published.version if published is not None else now.version,
        event_id=published.event_id if published is not None else now.event_id,
        list_id=list_id,
        list_reason=published.list_reason if published is not None and published.list_id == list_id else None,
        member_status=status,
        since=since or at,
        outcome=str(status_meaning.outcome),
        reason=status_meaning.reason,
        next=CHECKED_AGAIN if now.changed and status_meaning.next == NOTHING_NEXT else status_meaning.next,
        caused_by=status_meaning.caused_by,
        run=run,
        at=at,
    )


def _answers(published: CustomerOutcome | None, expected: tuple[object, ...]) -> bool:
    # Whether an outcome answers an event already, for the same list and member status.
    if published is None or published.outcome == Outcome.LATER:
        return False
    return (published.version, published.event_id, published.list_id, published.member_status) == expected


def _status_meaning(now: CustomerNow, status: str) -> StatusMeaning:
    if now.renamed or now.unconfirmed:
        return STATUS_MEANINGS["renamed" if now.renamed else "unconfirmed"]
    before = now.published.member_status if now.published is not None else None
    if status == "subscribed" and before in (None, "pending"):
        return STATUS_MEANINGS["there" if before is None else "confirmed"]
    return STATUS_MEANINGS.get(status, OTHER_STATUS)


_said = attrgetter(*(name for name in customer_outcomes.NAMES if name not in ("run", "at")))


def _unless_same(
    published: CustomerOutcome | None, new: CustomerOutcome, *, status_set: bool = False
) -> CustomerOutcome | None:
    if published is None:
        return new
    if (published.list_id, published.member_status) == (new.list_id, new.member_status) and not status_set:
        # The status is as old as it was, and what made it so is who did.
        caused_by = published.caused_by if new.member_status in OUT else new.caused_by
        if (new.since, new.caused_by) != (published.since, caused_by):
            new = replace(new, since=published.since, caused_by=caused_by)
        answered = (published.version, published.event_id) == (new.version, new.event_id)
        if new.outcome == Outcome.UNCHANGED and answered:
            return None
    return None if _said(new) == _said(published) else new


def _cause(receipt: Receipt, now: CustomerNow, status: str) -> Cause:
    outcome = receipt.outcome
    if now.renamed and outcome in (Outcome.LEFT, Outcome.GONE):
        return "person"
    if has_no_valid_address(receipt):
        return "billmywork"
    if outcome == Outcome.LEFT or (status in OUT and now.state == "present" and outcome != Outcome.UNSUBSCRIBED):
        return "mailchimp" if status in ("cleaned", "archived") else "person"
    if outcome in _REFUSED_BY_MAILCHIMP:
        return "mailchimp"
    return "worker" if outcome in (Outcome.HELD, Outcome.FAULT) else "billmywork"


def _settles(outcome: str) -> bool:
    return outcome in MEANINGS and MEANINGS[outcome].waits_as is None


def has_no_valid_address(receipt: Receipt) -> bool:
    """Returns whether nothing was sent because the address is not valid: Mailchimp was not asked."""
    return receipt.outcome == Outcome.REFUSED and receipt.call is None


def _reason(receipt: Receipt, departure: str | None = None) -> str:
    if has_no_valid_address(receipt):
        return "Its e-mail address is not valid, so nothing was sent."
    if departure is not None and departure in STATUS_MEANINGS:
        return f"Not added. {STATUS_MEANINGS[departure].reason}"
    return _without_address(receipt.detail, MEANINGS[receipt.outcome].sentence)


def _next(receipt: Receipt) -> str:
    # A command is for operators, who read the receipt.
    otherwise = MEANINGS[receipt.outcome].next
    return otherwise if "mailchimp-worker" in receipt.next else _without_address(receipt.next, otherwise)


def _without_address(sentence: str, otherwise: str) -> str:
    # Keeps addresses out, so that erasing a person need not look here.
    return otherwise if "@" in sentence else sentence


def write_after_step(db: Database, account_id: AccountId, result: StepResult) -> Rows:
    """Writes what is published about a step's customers, and about others whose members it changed.

    Runs in the step's transaction, after the ledger.
    """
    by_customer: dict[CustomerId, list[Receipt]] = {}
    for receipt in (*result.before, *result.receipts):
        by_customer.setdefault(receipt.customer_id, []).append(receipt)
    settled = result.settled.keys()
    deleted = [customer_id for customer_id, customer in result.settled.items() if customer.deleted]
    for customer_id in deleted:
        by_customer.pop(customer_id, None)
    departed = _departures(db, account_id, result.receipts)
    step = _EndedStep(result, settled, departed, _rejoined(result.entries))
    outcomes: dict[CustomerId, CustomerOutcome] = {}
    for now in customer_outcomes.customers_now(db, account_id, by_customer):
        if (outcome := _after_step(now, by_customer[now.customer_id], step)) is not None:
            outcomes[now.customer_id] = outcome
    outcomes |= _outcomes_of_others(db, account_id, result, {*by_customer, *deleted})
    rows = customer_outcomes.put(db, account_id, outcomes) if outcomes else []
    return rows + (customer_outcomes.drop(db, account_id, deleted) if deleted else [])


def _departures(db: Database, account_id: AccountId, receipts: Sequence[Receipt]) -> dict[MembershipKey, str]:
    places = {
        place for receipt in receipts if receipt.outcome == Outcome.LEFT and (place := _place_of(receipt)) is not None
    }
    entries = ledger.entries_of(db, account_id, {place.address for place in places}) if places else ()
    there = (entry for entry in entries if entry.membership in places and has_left(entry))
    return {entry.membership: left_as(entry) for entry in there}


def _outcomes_of_others(
    db: Database, account_id: AccountId, result: StepResult, but: Collection[CustomerId]
) -> dict[CustomerId, CustomerOutcome]:
    changed = {entry.membership: entry for entry in result.entries}
    last = {place: receipt for receipt in result.receipts if (place := _place_of(receipt)) is not None}
    sharers = customer_outcomes.sharers(db, account_id, changed, but) if changed and last else []
    outcomes: dict[CustomerId, CustomerOutcome] = {}
    for now in customer_outcomes.customers_now(db, account_id, sharers):
        assert now.membership is not None, "it shares a place"
        receipt = last.get(now.membership)
        if receipt is not None:
            outcome = after_steps_of_others(now, receipt)
        else:
            at = result.receipts[-1].at
            outcome = after_reading(now, changed[now.membership].last_changed, at, result.run)
        if outcome is not None:
            outcomes[now.customer_id] = outcome
    return outcomes


def _rejoined(entries: Sequence[LedgerEntry]) -> set[MembershipKey]:
    return {entry.membership for entry in entries if joined_again(entry)}


def _customers_at(db: Database, account_id: AccountId, entries: Collection[LedgerEntry]) -> set[CustomerId]:
    memberships = {entry.membership for entry in entries}
    known = ledger.settled_at(db, account_id, {membership.address for membership in memberships}) if memberships else ()
    return {status.customer_id for status in known if status.membership in memberships}


def write_after_reading(
    db: Database,
    account_id: AccountId,
    entries: Sequence[LedgerEntry],
    members: Mapping[MembershipKey, Member],
    at: str,
) -> Rows:
    """Writes what is published about customers whose members were read, in the transaction of the entries.

    Args:
        members: as they were read, by membership.
    """
    customers, again = sorted(_customers_at(db, account_id, entries)), _rejoined(entries)
    outcomes: dict[CustomerId, CustomerOutcome] = {}
    for now in customer_outcomes.customers_now(db, account_id, customers):
        member = members.get(now.membership) if now.membership is not None else None
        since = as_text(member.changed) if member is not None and member.changed is not None else None
        if (outcome := after_reading(now, since, at, again=now.membership in again)) is not None:
            outcomes[now.customer_id] = outcome
    return customer_outcomes.put(db, account_id, outcomes) if outcomes else []
