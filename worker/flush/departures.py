"""Whom a departure in the ledger keeps out, and how they are let in again once it ends."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from worker.model import AccountId, Customer, CustomerId, MembershipKey
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed, Rows
from worker.store import accounts, customers, ledger, refusals
from worker.store.accounts import AccountSettings
from worker.store.ledger import CustomerStatus


def reopen(db: Database, account_id: AccountId, ended: Collection[MembershipKey]) -> Changed[set[CustomerId]]:
    """Marks customers changed whom departures kept out that end now; returns them. Call it in a transaction.

    A return is read only once, by any step or reading, so nothing else would show it to those customers.

    Args:
        ended: places of departures, as the ledger still has them.
    """
    waiting = [customer.customer_id for customer in kept_out(db, account_id, ended)]
    rows: Rows = [*refusals.end(db, account_id, waiting, {place.address for place in ended}).rows]
    return Changed(set(waiting), rows + customers.reopen(db, account_id, waiting))


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
