"""What is published about a customer after a step, or after its member was read. Pure but for the last functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from worker.clock import as_text
from worker.flush.outcomes import MEANINGS, NOTHING_NEXT, ONLY_THE_PERSON, Outcome
from worker.mailchimp.member import Member
from worker.model import AccountId, CustomerId, MembershipKey
from worker.store import customer_outcomes, ledger
from worker.store.changed_rows import Rows
from worker.store.customer_outcomes import NO_MEMBER, Cause, CustomerNow, CustomerOutcome
from worker.store.database import Database
from worker.store.ledger import OUT, LedgerEntry
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
"""What a step may do at a place that the customer has left: it says nothing of where the customer is."""


@dataclass(frozen=True, slots=True)
class _Learnt:
    """What a status means that was read.

    Attributes:
        reason: one sentence.
        next: one sentence.
    """

    outcome: Outcome
    reason: str
    next: str
    caused_by: Cause


_LEARNT: Mapping[str, _Learnt] = {
    "unsubscribed": _Learnt(Outcome.LEFT, "The person unsubscribed from the list.", ONLY_THE_PERSON, "person"),
    "cleaned": _Learnt(
        Outcome.LEFT,
        "Mailchimp cleaned the member, because mail to its address was returned.",
        "Added again when the customer has another address.",
        "mailchimp",
    ),
    "archived": _Learnt(Outcome.LEFT, "Somebody archived the member in Mailchimp.", ONLY_THE_PERSON, "mailchimp"),
    "subscribed": _Learnt(Outcome.FOUND, "The person is subscribed to the list again.", NOTHING_NEXT, "person"),
    "pending": _Learnt(
        Outcome.FOUND, "The person has been asked by mail to confirm.", "Subscribed once the person confirms.", "person"
    ),
    NO_MEMBER: _Learnt(Outcome.GONE, MEANINGS[Outcome.GONE].sentence, MEANINGS[Outcome.GONE].next, "mailchimp"),
}
_OTHERWISE = _Learnt(Outcome.FOUND, "The member's status was changed in Mailchimp.", NOTHING_NEXT, "mailchimp")


def status_of(now: CustomerNow) -> str:
    """Returns the status of a customer's member, as far as it is known."""
    if now.state == "archived":
        return "archived"
    return (now.member_status or NO_MEMBER) if now.state == "present" else NO_MEMBER


def after_step(now: CustomerNow, receipts: Sequence[Receipt], version: int | None) -> CustomerOutcome | None:
    """Returns what is published about a customer after a step, or None where nothing changed.

    Args:
        now: its state after everything that the step wrote.
        receipts: of the customer, at least one, oldest first.
        version: the customer's when it was looked at.
    """
    here = [one for one in receipts if now.membership == (one.list_id, one.address)]
    receipt = (here or receipts)[-1]
    told, status = now.told, status_of(now)
    if told is not None and not here and now.membership is not None and receipt.outcome in _OF_AN_OLD_PLACE:
        return _unless_same(told, replace(told, member_status=status, since=receipt.at, at=receipt.at))
    list_id = now.membership.list_id if now.membership is not None else receipt.list_id
    meaning = MEANINGS[receipt.outcome]
    new = CustomerOutcome(
        version=version,
        event_id=receipt.event_id,
        list_id=list_id,
        list_reason=receipt.list_reason if receipt.list_id == list_id else None,
        member_status=status,
        since=receipt.at,
        outcome=str(receipt.outcome),
        reason=_without_address(receipt.detail, meaning.sentence),
        next=_without_address(receipt.next, meaning.next),
        caused_by=_cause(receipt.outcome, now, status),
        run=receipt.run,
        at=receipt.at,
    )
    return _unless_same(told, new)


def after_reading(now: CustomerNow, since: str | None, at: str, run: int | None = None) -> CustomerOutcome | None:
    """Returns what is published about a customer after its member was read, or None if its status did not change.

    Args:
        now: its state after the reading.
        since: when the member changed, by Mailchimp's clock, as text; None where it did not say.
        at: the time now, as text.
        run: the flush that read it; None outside of one.
    """
    status, told = status_of(now), now.told
    list_id = now.membership.list_id if now.membership is not None else None
    if told is not None and (told.list_id, told.member_status) == (list_id, status):
        return None
    learnt = _LEARNT.get(status, _OTHERWISE)
    return CustomerOutcome(
        version=told.version if told is not None else now.version,
        event_id=told.event_id if told is not None else now.event_id,
        list_id=list_id,
        list_reason=told.list_reason if told is not None and told.list_id == list_id else None,
        member_status=status,
        since=since or at,
        outcome=str(learnt.outcome),
        reason=learnt.reason,
        next=learnt.next,
        caused_by=learnt.caused_by,
        run=run,
        at=at,
    )


def _unless_same(told: CustomerOutcome | None, new: CustomerOutcome) -> CustomerOutcome | None:
    if told is None:
        return new
    if (told.list_id, told.member_status) == (new.list_id, new.member_status):
        # The status is as old as it was, and what made it so is who did.
        caused_by = told.caused_by if new.member_status in OUT else new.caused_by
        new = replace(new, since=told.since, caused_by=caused_by)
        answered = (told.version, told.event_id) == (new.version, new.event_id)
        if new.outcome == Outcome.UNCHANGED and answered:
            return None
    return None if replace(new, run=told.run, at=told.at) == told else new


def _cause(outcome: str, now: CustomerNow, status: str) -> Cause:
    if outcome == Outcome.LEFT or (status in OUT and now.state == "present" and outcome != Outcome.UNSUBSCRIBED):
        return "person" if status in ("unsubscribed", NO_MEMBER) else "mailchimp"
    if outcome in _REFUSED_BY_MAILCHIMP:
        return "mailchimp"
    return "worker" if outcome in (Outcome.HELD, Outcome.FAULT) else "billmywork"


def _without_address(sentence: str, otherwise: str) -> str:
    # Erasing a person must find each place that names an address: here is none.
    return otherwise if "@" in sentence else sentence


def write_after_step(
    db: Database,
    account_id: AccountId,
    receipts: Iterable[Receipt],
    versions: Mapping[CustomerId, int | None],
    deleted: Sequence[CustomerId],
) -> Rows:
    """Writes what is published about a step's customers. Belongs in its transaction, after the ledger.

    Args:
        db: the staging database.
        account_id: the account.
        receipts: the step's, oldest first.
        versions: of the customers that have a receipt.
        deleted: customers that are settled and deleted: nothing is published about them any more.
    """
    by_customer: dict[CustomerId, list[Receipt]] = {}
    for one in receipts:
        by_customer.setdefault(one.customer_id, []).append(one)
    for customer_id in deleted:
        by_customer.pop(customer_id, None)
    found = {
        now.customer_id: outcome
        for now in customer_outcomes.customers_now(db, account_id, by_customer)
        if (outcome := after_step(now, by_customer[now.customer_id], versions.get(now.customer_id))) is not None
    }
    rows = customer_outcomes.put(db, account_id, found) if found else []
    return rows + (customer_outcomes.drop(db, account_id, deleted) if deleted else [])


def write_after_reading(
    db: Database,
    account_id: AccountId,
    entries: Sequence[LedgerEntry],
    members: Mapping[MembershipKey, Member],
    at: str,
) -> Rows:
    """Writes what is published about customers whose members were read. Belongs in the transaction of the entries.

    Args:
        db: the staging database.
        account_id: the account.
        entries: as they are written.
        members: as they were read, by membership.
        at: the time now, as text.
    """
    memberships = {one.membership for one in entries}
    known = ledger.settled_at(db, account_id, {one.address for one in memberships})
    customers = [one.customer_id for one in known if one.membership in memberships]
    found: dict[CustomerId, CustomerOutcome] = {}
    for now in customer_outcomes.customers_now(db, account_id, customers):
        member = members.get(now.membership) if now.membership is not None else None
        since = as_text(member.changed) if member is not None and member.changed is not None else None
        if (outcome := after_reading(now, since, at)) is not None:
            found[now.customer_id] = outcome
    return customer_outcomes.put(db, account_id, found) if found else []
