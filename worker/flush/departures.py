"""Departures in the ledger: those that keep contacts from a list, and whom one lets in again once it ends."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from worker.model import AccountId, Customer, CustomerId, MembershipKey
from worker.plan.consent import KnownPlaces
from worker.plan.steps import Contact, PriorMembership
from worker.sqlite.database import Database
from worker.sqlite.rows import Rows
from worker.store import accounts, customers, ledger, refusals
from worker.store.accounts import AccountSettings
from worker.store.ledger import CustomerStatus, LedgerEntry, has_left


def departures_of(
    db: Database, account_id: AccountId, contacts: Sequence[Contact]
) -> Mapping[MembershipKey, Sequence[PriorMembership]]:
    """Returns where the addresses of contacts, or their customers, are known to have left.

    Returns:
        The places of departures by the place of the contact, for those that have any.
    """
    addresses = {contact.membership.address for contact in contacts}
    targets = {target.customer_id for contact in contacts for target in contact.targets}
    if not ledger.anyone_left(db, account_id, addresses, targets):
        return {}  # most often, and quick: the call waits for this, and depends on a read that becomes old
    people = customers.by_addresses(db, account_id, addresses)
    ids = sorted(targets.union(customer.customer_id for customer in people))
    known_at = addresses | ledger.addresses_of_customers(db, account_id, ids)
    statuses = {status.customer_id: status for status in ledger.customer_statuses_of(db, account_id, ids)}
    entries = {entry.membership: entry for entry in ledger.entries_of(db, account_id, known_at)}
    known = KnownPlaces(people, ids, statuses, ledger.owned_by(db, account_id, ids), entries)
    priors_by_place = {contact.membership: known.departures(contact) for contact in contacts}
    return {membership: priors for membership, priors in priors_by_place.items() if priors}


# Departures that have ended


def put_and_reopen(
    db: Database, account_id: AccountId, entries: Sequence[LedgerEntry], reopened: set[CustomerId] | None = None
) -> Rows:
    """Stores entries, and marks customers changed whom a departure kept out that has ended. Call it in a transaction.

    A return is read only once, by any step or reading, so nothing else would show it to those customers.

    Args:
        reopened: gets these customers.
    """
    back = {entry.membership for entry in entries if entry.state != "intended" and not _leaves(entry)}
    ended = ledger.departures_at(db, account_id, back) if back else set()
    waiting = [customer.customer_id for customer in kept_out(db, account_id, ended)] if ended else []
    rows = ledger.put_entries(db, account_id, entries)
    if not ended:
        return rows
    rows += refusals.end(db, account_id, waiting, {place.address for place in ended}).rows
    if reopened is not None:
        reopened.update(waiting)
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
    destination = MembershipKey(settings.target_list(customer, status.membership).list_id, customer.address)
    return status.membership != destination or destination in vanished
