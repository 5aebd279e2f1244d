"""Reads where a contact's customers are known, so that nobody who left there is added elsewhere.

Read twice: in Mailchimp before each try (:func:`check_priors`), and in the ledger right before the call, since other
calls of this flush may have found a departure meanwhile (:func:`kept_off`, :func:`departures_of`). What was read is
judged in :mod:`worker.plan.consent`. A departure that ends lets customers in again (:func:`put_and_reopen`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from worker.flush.answers import AnswerClass
from worker.flush.attempt import Attempt, Read
from worker.flush.step_result import Exchange
from worker.model import AccountId, Customer, CustomerId, MembershipKey
from worker.plan.consent import AddDecision, KnownPlaces, PriorDecision, PriorRead, decide, departure_of, keeps_out
from worker.plan.inputs import choose
from worker.plan.outcomes import MEANINGS, Outcome
from worker.plan.steps import Contact, PriorMembership, ids_of
from worker.sqlite.changed_rows import Rows
from worker.sqlite.database import Database
from worker.store import accounts, customers, ledger, refusals
from worker.store.accounts import AccountSettings
from worker.store.ledger import CustomerStatus, LedgerEntry, has_left


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
) -> AddDecision | None:
    """Reads the old members; returns None after recording why the contact may not be added."""
    if is_known_to_have_left(attempt, contact, priors, left):
        return None
    exchange: Exchange | None = None
    failed = False

    def reads() -> Iterator[PriorRead]:
        nonlocal exchange, failed
        for prior in priors:
            if prior.list_gone:
                exchange = None
                yield PriorRead(prior)
                continue
            read = attempt.read_member(prior.membership, prior.entry)
            exchange = read.exchange
            if failed := _read_failed(attempt, contact, prior, read):
                return
            yield PriorRead(prior, read.member, read.date)

    decision = decide(contact.membership, contact.status_if_new, reads(), attempt.at)
    attempt.entries += decision.entries
    attempt.dropped += decision.dropped
    if decision.kept_out_by is not None:
        _blocked(attempt, contact, *decision.kept_out_by, exchange)
        return None
    return None if failed else decision


def _read_failed(attempt: Attempt, contact: Contact, prior: PriorMembership, read: Read) -> bool:
    # Records an answer that does not tell whether somebody left.
    if read.member is not None:
        return False
    if read.classified.kind is not AnswerClass.NOT_THERE:
        attempt.note_failure(contact.targets, prior.membership, read.classified, read.exchange)
        return True
    # Whether somebody left depends on which of the two is gone.
    known = prior.entry is not None and prior.entry.state in ("present", "archived")
    if not known or attempt.lacks_member(prior.membership, read.classified):
        return False
    attempt.note_failure(contact.targets, prior.membership, read.classified, read.exchange)
    return True


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
    assert prior.entry is not None, "it shows a departure"
    _blocked(attempt, contact, prior, PriorDecision(None, departure_of(prior.entry), here=True), None)


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
    priors_by_place = {contact.membership: known.departures(contact) for contact in contacts}
    return {membership: priors for membership, priors in priors_by_place.items() if priors}


def _blocked(
    attempt: Attempt,
    contact: Contact,
    prior: PriorMembership,
    decision: PriorDecision,
    exchange: Exchange | None,
) -> None:
    entry = prior.entry
    address_changed = entry is not None and entry.address_now not in (None, entry.membership.address)
    why = "nobody is added for it then" if address_changed else "an opt-out goes with the person to every list"
    detail = f"Not put on list {contact.membership.list_id} as {contact.email}: {decision.reason}, and {why}."
    then = MEANINGS[Outcome.GONE].next if address_changed else None
    targets = contact.targets
    if prior.membership.list_id != contact.membership.list_id:
        # The receipt names the list that the person left, which the account did not choose.
        targets = tuple(replace(target, list_reason=None) for target in targets)
    attempt.receipt(targets, prior.membership, exchange, outcome=Outcome.LEFT, detail=detail, then=then)
    attempt.blocked |= ids_of(contact.targets)
    if not prior.own:
        attempt.kept_off |= ids_of(contact.targets)
    for customer in (target.customer for target in contact.targets if target.customer_id not in prior.known):
        if customer.address == prior.membership.address:
            attempt.memberships.append((customer.customer_id, prior.membership))
        elif prior.known:
            attempt.waits.append((customer.customer_id, prior.known[0]))


# Departures that have ended


def put_and_reopen(
    db: Database, account_id: AccountId, entries: Sequence[LedgerEntry], let_in: set[CustomerId] | None = None
) -> Rows:
    """Stores entries, and marks customers changed whom a departure kept out that has ended. Call it in a transaction.

    A return is read only once, by any step or reading, so nothing else would show it to those customers.

    Args:
        let_in: gets these customers.
    """
    back = {entry.membership for entry in entries if entry.state != "intended" and not _leaves(entry)}
    ended = ledger.departures_at(db, account_id, back) if back else set()
    waiting = [customer.customer_id for customer in kept_out(db, account_id, ended)] if ended else []
    rows = ledger.put_entries(db, account_id, entries)
    if not ended:
        return rows
    rows += refusals.end(db, account_id, waiting, {place.address for place in ended}).rows
    if let_in is not None:
        let_in.update(waiting)
    return rows + customers.reopen(db, account_id, waiting)


def _leaves(entry: LedgerEntry) -> bool:
    # Also whom this worker is about to take off again.
    return has_left(entry) or (entry.intent is not None and entry.intent.kind in ("archive", "unsubscribe"))


def kept_out(db: Database, account_id: AccountId, ended: Iterable[MembershipKey]) -> list[Customer]:
    """Returns who is known by the address of a departure, or waits for such a customer, and is not where it belongs.

    Also whose member was gone there: the one that is back is another, without the customer's fields.

    Args:
        ended: places of departures, as the ledger still has them.
    """
    addresses = {place.address for place in ended}
    known = {status.customer_id for status in ledger.settled_at(db, account_id, addresses)}
    known |= {customer.customer_id for customer in customers.by_addresses(db, account_id, addresses)}
    entries = ledger.entries_of(db, account_id, addresses)
    known |= {entry.customer_id for entry in entries}
    vanished = {entry.membership for entry in entries if entry.state == "gone"}.intersection(ended)
    ids = sorted(known.union(ledger.waiting_for(db, account_id, known)))
    statuses = {status.customer_id: status for status in ledger.customer_statuses_of(db, account_id, ids)}
    settings = accounts.find(db, account_id)
    return [
        customer
        for customer in customers.by_ids(db, account_id, ids)
        if _is_undelivered(customer, statuses.get(customer.customer_id), settings, vanished)
    ]


def _is_undelivered(
    customer: Customer,
    status: CustomerStatus | None,
    settings: AccountSettings | None,
    vanished: Collection[MembershipKey],
) -> bool:
    # Whether a customer is not known where it belongs, or was gone there, though nothing but a departure prevents it.
    if customer.deleted or customer.address is None or not customer.state.marketing_consent:
        return False
    if status is not None and status.refusal is not None:
        return status.lasting and status.refused_address in {place.address for place in vanished}
    if status is None or settings is None or settings.master_list is None:
        return True
    destination = MembershipKey(choose(customer, settings, status.membership).list_id, customer.address)
    return status.membership != destination or destination in vanished
