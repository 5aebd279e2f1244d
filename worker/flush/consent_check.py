"""Checks a contact against the places where its customers are known: nobody who left there is added elsewhere.

Checked twice: in Mailchimp before each try (:func:`check_priors`), and in the ledger right before the call, since other
calls of this flush may have found a departure meanwhile (:func:`kept_off`, :func:`departures_of`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from worker.flush.answers import AnswerClass
from worker.flush.attempt import Attempt, Read
from worker.flush.step_result import Exchange
from worker.model import AccountId, MembershipKey
from worker.plan.consent import (
    AddDecision,
    KnownPlaces,
    add_decision,
    add_decision_by_ledger,
    keeps_out,
)
from worker.plan.identity import MAY_HAVE_ARCHIVED, as_read, may_have_archived, was_done
from worker.plan.outcomes import Outcome
from worker.plan.steps import Contact, PriorMembership, ids_of
from worker.sqlite.database import Database
from worker.store import customers, ledger
from worker.store.ledger import has_left


@dataclass(frozen=True, slots=True)
class Passed:
    """A contact that no departure keeps from its place.

    Attributes:
        status: to add it with.
        old: the last old membership that was read, with its new ledger entry; None if there was none.
        renamed: the old membership of a rename that was done though its answer was lost.
    """

    status: str
    old: tuple[PriorMembership, Read] | None
    renamed: tuple[PriorMembership, Read] | None


def is_known_to_have_left(
    attempt: Attempt, contact: Contact, priors: Sequence[PriorMembership], left: PriorMembership | None
) -> bool:
    """Returns whether members read a moment ago show that a contact may go nowhere, and records it.

    Args:
        priors: the old places, with their current ledger entries.
        left: the one that somebody had left when the step was planned.
    """
    if left is None:
        return False
    now = next((prior for prior in priors if prior.membership == left.membership), None)
    if now is None or not keeps_out(now.entry, contact.membership):
        return False
    note_departed(attempt, contact, now)
    return True


def check_priors(
    attempt: Attempt, contact: Contact, priors: Sequence[PriorMembership], left: PriorMembership | None = None
) -> Passed | None:
    """Reads the old members; returns None after recording why the contact may not be added."""
    if is_known_to_have_left(attempt, contact, priors, left):
        return None
    status, found_begun = contact.status_if_new, False
    old: tuple[PriorMembership, Read] | None = None
    renamed: tuple[PriorMembership, Read] | None = None
    for prior in priors:
        if prior.list_gone:
            classified = add_decision_by_ledger(
                prior.membership, prior.entry, contact.membership, contact.status_if_new
            )
            if classified.status is None:
                _blocked(attempt, contact, prior, classified, None)
                return None
            status = "pending" if classified.status == "pending" else status
            continue
        read = attempt.read_member(prior.membership, prior.entry)
        if read.member is None and read.classified.kind is not AnswerClass.NOT_THERE:
            attempt.note_failure(contact.targets, prior.membership, read.classified, read.exchange)
            return None
        if read.member is None and prior.entry is not None and prior.entry.state in ("present", "archived"):
            # Whether somebody left depends on which of the two is gone.
            if attempt.list_is_gone(prior.membership.list_id):
                attempt.note_failure(contact.targets, prior.membership, read.classified, read.exchange, of_list=True)
                return None
            attempt.entries.append(replace(prior.entry, state="gone", sent_at=attempt.at(), intent=None))
        begun = prior.entry is not None and prior.entry.state == "intended"
        done = begun and read.member is not None and was_done(prior.entry, read.member)  # type: ignore[arg-type]
        now = _as_read(prior, read)
        classified = add_decision(prior.membership, now.entry, read.member, contact.membership, contact.status_if_new)
        if classified.status is None and (not prior.own or not (found_begun and not classified.here)):
            if now.entry is not None and now.entry.state != "archived" and read.member is not None:
                attempt.entries.append(replace(now.entry, sent_at=attempt.at()))
            if may_have_archived(prior.entry, read.member):
                classified = replace(classified, reason=f"{classified.reason}, {MAY_HAVE_ARCHIVED}")
            _blocked(attempt, contact, prior, classified, read.exchange)
            return None
        if not prior.own:
            # The person is back, or never left.
            if now.entry is not None and now.entry != prior.entry and not begun:
                attempt.entries.append(now.entry)
            continue
        if begun and not done:
            # It was never done: the current member is somebody else, and the departure is recorded already.
            if not has_left(now.entry):
                attempt.dropped.append(prior.membership)
            continue
        if done:
            # The former place has the same contact, or one that this customer left for this one.
            found_begun = True
            if prior.entry is not None and prior.entry.intent is not None and prior.entry.intent.source is not None:
                renamed = now, read
                attempt.dropped.append(prior.entry.intent.source)
        old = now, read
        status = "pending" if classified.status == "pending" else status
    return Passed(status, old, renamed)


def kept_off(attempt: Attempt, contact: Contact, asked: Sequence[PriorMembership]) -> bool:
    """Returns whether a departure known by now keeps the contact from its place.

    Checked right before the call: another step of this flush may have just found one.
    """
    memberships = {prior.membership for prior in asked}
    for prior in attempt.context.departures_of([contact]).get(contact.membership, ()):
        if prior.membership not in memberships:
            note_departed(attempt, contact, prior)
            return True
    return False


def note_departed(attempt: Attempt, contact: Contact, prior: PriorMembership) -> None:
    """Records that a departure in the ledger keeps a contact from its place."""
    entry = prior.entry
    status = "gone" if entry is None or entry.state == "gone" else entry.member_status
    reason = f"the member {prior.membership.address} is {status} on list {prior.membership.list_id}"
    _blocked(attempt, contact, prior, AddDecision(None, reason, here=True), None)


def departures_of(
    db: Database, account_id: AccountId, contacts: Sequence[Contact]
) -> Mapping[MembershipKey, Sequence[PriorMembership]]:
    """Returns where the addresses of contacts, or their customers, are known to have left.

    Returns:
        The places of departures by the place of the contact, for those that have any.
    """
    addresses = {contact.membership.address for contact in contacts}
    targets = (target.customer_id for contact in contacts for target in contact.targets)
    ids = list(dict.fromkeys([*targets, *customers.ids_of_addresses(db, account_id, addresses)]))
    known_at = addresses | ledger.addresses_of_customers(db, account_id, ids)
    if not ledger.anyone_left(db, account_id, known_at):
        return {}  # most often, and quick: the call waits for this, and depends on a read that becomes old
    people = customers.by_addresses(db, account_id, addresses)
    statuses = {status.customer_id: status for status in ledger.customer_statuses_of(db, account_id, ids)}
    entries = {entry.membership: entry for entry in ledger.entries_of(db, account_id, known_at)}
    known = KnownPlaces(people, ids, statuses, ledger.owned_by(db, account_id, ids), entries)
    priors_by_place = {contact.membership: _departures(known, contact) for contact in contacts}
    return {membership: priors for membership, priors in priors_by_place.items() if priors}


def _departures(known: KnownPlaces, contact: Contact) -> Sequence[PriorMembership]:
    destination, mine = contact.membership, ids_of(contact.targets)
    own = [place for customer_id in mine for place in known.of(customer_id) if place != destination]
    of_others = known.of_others(destination, own, mine)
    left = (place for place in dict.fromkeys([*own, *of_others]) if keeps_out(known.entries.get(place), destination))
    return [known.prior(place, own=place in own, whom=of_others.get(place, ())) for place in left]


def _as_read(prior: PriorMembership, read: Read) -> PriorMembership:
    if prior.entry is None or read.member is None:
        return prior
    return replace(prior, entry=as_read(prior.entry, read.member, read.date))


def _blocked(
    attempt: Attempt,
    contact: Contact,
    prior: PriorMembership,
    classified: AddDecision,
    exchange: Exchange | None,
) -> None:
    detail = (
        f"Not put on list {contact.membership.list_id} as {contact.email}: {classified.reason}, and an opt-out goes "
        "with the person to every list."
    )
    targets = contact.targets
    if prior.membership.list_id != contact.membership.list_id:
        # The receipt names the list that the person left, which the account did not choose.
        targets = tuple(replace(target, list_reason=None) for target in targets)
    attempt.receipt(targets, prior.membership, exchange, outcome=Outcome.LEFT, detail=detail)
    attempt.blocked |= ids_of(contact.targets)
    if not prior.own:
        attempt.kept_off |= ids_of(contact.targets)
    for customer in (target.customer for target in contact.targets if target.customer_id not in prior.known):
        if customer.address == prior.membership.address:
            attempt.memberships.append((customer.customer_id, prior.membership))
        elif prior.known:
            attempt.waits.append((customer.customer_id, prior.known[0]))
