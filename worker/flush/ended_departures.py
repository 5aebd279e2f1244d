"""Stores what the ledger learns, and looks again at customers whom a departure kept out that has ended by that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from worker.model import AccountId, Customer, CustomerId, MembershipKey
from worker.plan.target_list import choose
from worker.sqlite.changed_rows import Rows
from worker.sqlite.database import Database
from worker.store import accounts, customers, ledger
from worker.store.accounts import AccountSettings
from worker.store.ledger import CustomerStatus, LedgerEntry, has_left


def put_entries(
    db: Database, account_id: AccountId, entries: Sequence[LedgerEntry], let_in: set[CustomerId] | None = None
) -> Rows:
    """Stores entries, and marks customers changed whom a departure kept out that has ended. Call it in a transaction.

    A return is read only once, by any step or reading, so nothing else would show it to those customers.

    Args:
        let_in: gets these customers.
    """
    back = {entry.membership for entry in entries if entry.state != "intended" and not _leaves(entry)}
    ended = ledger.departures_at(db, account_id, back) if back else set()
    rows = ledger.put_entries(db, account_id, entries)
    if not ended:
        return rows
    waiting = [customer.customer_id for customer in kept_out(db, account_id, ended)]
    if let_in is not None:
        let_in.update(waiting)
    return rows + customers.reopen(db, account_id, waiting)


def _leaves(entry: LedgerEntry) -> bool:
    # Also whom this worker is about to take off again.
    return has_left(entry) or (entry.intent is not None and entry.intent.kind in ("archive", "unsubscribe"))


def kept_out(db: Database, account_id: AccountId, ended: Iterable[MembershipKey]) -> list[Customer]:
    """Returns who is known by the address of a departure, or waits for such a customer, and is not where it belongs.

    Args:
        ended: places of departures.
    """
    addresses = {place.address for place in ended}
    known = {status.customer_id for status in ledger.settled_at(db, account_id, addresses)}
    known |= {customer.customer_id for customer in customers.by_addresses(db, account_id, addresses)}
    known |= {entry.customer_id for entry in ledger.entries_of(db, account_id, addresses)}
    ids = sorted(known.union(ledger.waiting_for(db, account_id, known)))
    statuses = {status.customer_id: status for status in ledger.customer_statuses_of(db, account_id, ids)}
    settings = accounts.find(db, account_id)
    return [
        customer
        for customer in customers.by_ids(db, account_id, ids)
        if _is_elsewhere(customer, statuses.get(customer.customer_id), settings)
    ]


def _is_elsewhere(customer: Customer, status: CustomerStatus | None, settings: AccountSettings | None) -> bool:
    # Whether a customer is not known where it belongs, though nothing but a departure prevents it.
    if customer.deleted or customer.address is None or not customer.state.marketing_consent:
        return False
    if status is not None and status.refusal is not None:
        return False
    if status is None or settings is None or settings.master_list is None:
        return True
    return status.membership != MembershipKey(choose(customer, settings, status.membership).list_id, customer.address)
