"""What became of a contact: everything that is known of an address, in the order in which it happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from worker.accounts.settings import missing
from worker.clock import as_text
from worker.flush.outcomes import MEANINGS, Outcome
from worker.model import AccountId, AddressKey, Customer, CustomerId
from worker.store import accounts, customers, ledger, receipts
from worker.store.accounts import AccountSettings
from worker.store.database import Database
from worker.store.ledger import CustomerStatus, LedgerEntry
from worker.store.receipts import Receipt


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happened to one customer, or to a member whose customer is no longer known.

    Attributes:
        customer: as staged now; None where only receipts or the ledger are left.
        settings: the account's; None where it never chose any.
        receipts: oldest first.
        entries: what the ledger says of the addresses that the customer has or had.
        next: what happens next, one sentence.
    """

    account_id: AccountId
    customer_id: CustomerId
    customer: Customer | None
    settings: AccountSettings | None
    customer_status: CustomerStatus | None
    receipts: Sequence[Receipt]
    entries: Sequence[LedgerEntry]
    next: str

    def list_name(self, list_id: str | None) -> str:
        """Returns the name and id of a list, as far as they are known."""
        known = self.settings.list_of(list_id) if self.settings is not None else None
        return f"{known.name} ({list_id})" if known is not None else str(list_id)


def explanations_of(
    db: Database, address: AddressKey, account_id: AccountId | None, next_flush: datetime
) -> list[Explanation]:
    """Explains every customer that has or had an address, by events, receipts or the ledger.

    Args:
        db: the staging database.
        address: which one.
        account_id: only in this account; None for all.
        next_flush: when the next daily flush is due.

    Returns:
        They come by account and customer.
    """
    by_customer: dict[tuple[AccountId, CustomerId], list[Receipt]] = {}
    for receipt in receipts.find(db, address=address, account_id=account_id):
        by_customer.setdefault((receipt.account_id, receipt.customer_id), []).append(receipt)
    for customer in customers.find_by_address(db, address, account_id):
        by_customer.setdefault((customer.account_id, customer.customer_id), [])
    # Receipts are kept for a time only, and not at all by a database that was recreated.
    for key in ledger.customers_at(db, address):
        if account_id in (None, key[0]) and key not in by_customer:
            by_customer[key] = list(receipts.find(db, account_id=key[0], customer_id=key[1]))
    return [
        _explanation(db, address, account, customer_id, history, next_flush)
        for (account, customer_id), history in sorted(by_customer.items())
    ]


def _explanation(
    db: Database,
    address: AddressKey,
    account_id: AccountId,
    customer_id: CustomerId,
    history: Sequence[Receipt],
    next_flush: datetime,
) -> Explanation:
    customer = next(iter(customers.by_ids(db, account_id, [customer_id])), None)
    settings = accounts.find(db, account_id)
    customer_status = next(iter(ledger.customer_statuses_of(db, account_id, [customer_id])), None)
    addresses = {address, *(one.address for one in history if one.address is not None)}
    addresses |= {one.membership.address for one in ledger.owned_by(db, account_id, [customer_id])}
    if customer_status is not None and customer_status.membership is not None:
        addresses.add(customer_status.membership.address)
    if customer is not None and customer.address is not None:
        addresses.add(customer.address)
    entries = ledger.entries_of(db, account_id, sorted(addresses))
    return Explanation(
        account_id=account_id,
        customer_id=customer_id,
        customer=customer,
        settings=settings,
        customer_status=customer_status,
        receipts=history,
        entries=sorted(entries, key=lambda one: one.membership),
        next=what_is_next(customer, settings, customer_status, history, next_flush),
    )


def what_is_next(
    customer: Customer | None,
    settings: AccountSettings | None,
    customer_status: CustomerStatus | None,
    history: Sequence[Receipt],
    next_flush: datetime,
) -> str:
    """Returns what happens next to a customer, one sentence.

    Args:
        customer: as staged; None where it is not known any more.
        settings: its account's.
        customer_status: what prevents sending it.
        history: its receipts, oldest first.
        next_flush: when the next daily flush is due.
    """
    last = history[-1] if history else None
    if customer is None:
        return "Nothing: the worker no longer knows this customer."
    if not customer.changed:
        return last.next if last is not None else "Nothing until the customer changes."
    if settings is None:
        return (
            f"It waits until the account is connected to Mailchimp: mailchimp-worker account connect "
            f"{customer.account_id}"
        )
    if lacking := missing(settings):
        return f"It waits. {lacking[0].what} {lacking[0].advice}"
    # What a stopped account waits for is over: it lacks nothing.
    if last is not None and last.revision == customer.revision and last.outcome != Outcome.ACCOUNT_STOPPED:
        meaning = MEANINGS.get(last.outcome)
        if meaning is not None and meaning.needs_somebody and meaning.settles is False:
            return last.next
    if customer_status is not None and customer_status.retry_at is not None:
        return f"Tried again by the first flush after {customer_status.retry_at}."
    return f"Sent by the next flush, due at {as_text(next_flush)}."
