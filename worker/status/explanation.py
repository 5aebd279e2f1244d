"""The history of a contact: everything that is known about an address, in the order in which it happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from worker.accounts.settings import missing
from worker.clock import as_text
from worker.mailchimp import calls
from worker.mailchimp.answers import member_of
from worker.mailchimp.calls import Sender
from worker.model import AccountId, AddressKey, Customer, CustomerId, MembershipKey
from worker.plan.outcomes import MEANINGS, NOTHING_NEXT, Outcome
from worker.sqlite.database import Database
from worker.store import accounts, customer_outcomes, customers, dead_letters, ledger, ledger_erasure, receipts
from worker.store.accounts import AccountSettings
from worker.store.customer_outcomes import CustomerOutcome
from worker.store.dead_letters import DeadLetter
from worker.store.ledger import CustomerStatus, LedgerEntry
from worker.store.receipts import Receipt


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happened to one customer, or to a member whose customer is no longer known.

    Attributes:
        customer: as staged now; None if only receipts or the ledger are left.
        settings: the account's; None if it has none.
        receipts: oldest first.
        entries: the ledger entries of the addresses that the customer has or had.
        outcome: the last published outcome, which survives a lost database; None before the first.
        next: what happens next, one sentence.
    """

    account_id: AccountId
    customer_id: CustomerId
    customer: Customer | None
    settings: AccountSettings | None
    customer_status: CustomerStatus | None
    receipts: Sequence[Receipt]
    entries: Sequence[LedgerEntry]
    outcome: CustomerOutcome | None
    next: str

    def list_name(self, list_id: str | None) -> str:
        """Returns the name and id of a list, as far as they are known."""
        return self.settings.label_of(str(list_id)) if self.settings is not None else str(list_id)

    @property
    def newer_outcome(self) -> CustomerOutcome | None:
        """The outcome if it is newer than all receipts, because the member was read since, or receipts were lost."""
        outcome = self.outcome
        return outcome if outcome is not None and (not self.receipts or outcome.at > self.receipts[-1].at) else None

    @property
    def membership(self) -> MembershipKey | None:
        """Where the customer is, or was last; None if it never was a member."""
        if self.customer_status is not None and self.customer_status.membership is not None:
            return self.customer_status.membership
        return max(self.entries, key=lambda entry: entry.sent_at).membership if self.entries else None


@dataclass(frozen=True, slots=True)
class LiveMember:
    """The current state of a membership in Mailchimp.

    Attributes:
        status: the member's; None if there is no member, or Mailchimp did not say.
        last_changed: as Mailchimp wrote it.
        problem: why Mailchimp did not say; None if it did.
    """

    membership: MembershipKey
    status: str | None
    last_changed: str | None
    problem: str | None


def read_live_member(sender: Sender, membership: MembershipKey) -> LiveMember:
    """Reads a member from Mailchimp, by one call."""
    answer = sender.send(calls.read(membership))
    member = member_of(answer.body) if answer.ok else None
    if member is not None:
        return LiveMember(membership, member.status, member.last_changed, None)
    why = answer.reason or answer.failure or answer.status
    problem = None if answer.status == 404 else answer.title or f"no useful answer ({why})"
    return LiveMember(membership, None, None, problem)


def letters_naming(db: Database, address: AddressKey) -> list[DeadLetter]:
    """Returns the dead letters that contain an address, oldest first."""
    letters = (dead_letters.find(db, number) for number in dead_letters.mentioning(db, address))
    return [letter for letter in letters if letter is not None]


def event_name(event_id: str | None, *, deletion: bool, event_time: str | None = None) -> str:
    """Returns the event that a revision came from, as text: "Event e-17".

    Args:
        event_id: the event's; None if it had none.
        event_time: the event's; None for a null value, which has none.
    """
    if event_id is not None:
        return f"Event {event_id}"
    if not deletion:
        return "An event without an id"
    if event_time is not None:
        return "A deletion event without an id"
    return "A deletion without an event (a null value, or missing from the log when it was read again)"


def explanations_of(
    db: Database, address: AddressKey, account_id: AccountId | None, next_flush: datetime
) -> list[Explanation]:
    """Explains every customer that has or had an address, by events, receipts or the ledger.

    Args:
        account_id: only in this account; None for all.

    Returns:
        One explanation per customer, by account and customer id.
    """
    by_customer: dict[tuple[AccountId, CustomerId], list[Receipt]] = {}
    for receipt in receipts.find(db, address=address, account_id=account_id):
        by_customer.setdefault((receipt.account_id, receipt.customer_id), []).append(receipt)
    for customer in customers.find_by_address(db, address, account_id):
        by_customer.setdefault((customer.account_id, customer.customer_id), [])
    # Receipts expire, and a recreated database has none.
    for key in ledger_erasure.customers_at(db, address):
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
    addresses = {address, *(receipt.address for receipt in history if receipt.address is not None)}
    addresses |= {entry.membership.address for entry in ledger.owned_by(db, account_id, [customer_id])}
    if customer_status is not None and customer_status.membership is not None:
        addresses.add(customer_status.membership.address)
    if customer is not None and customer.address is not None:
        addresses.add(customer.address)
    entries = ledger.entries_of(db, account_id, sorted(addresses))
    outcome = customer_outcomes.find(db, account_id, customer_id)
    return Explanation(
        account_id=account_id,
        customer_id=customer_id,
        customer=customer,
        settings=settings,
        customer_status=customer_status,
        receipts=history,
        entries=sorted(entries, key=lambda entry: entry.membership),
        outcome=outcome,
        next=what_is_next(customer, settings, customer_status, history, next_flush, outcome),
    )


def what_is_next(
    customer: Customer | None,
    settings: AccountSettings | None,
    customer_status: CustomerStatus | None,
    history: Sequence[Receipt],
    next_flush: datetime,
    outcome: CustomerOutcome | None = None,
) -> str:
    """Returns what happens next to a customer, as one sentence.

    Args:
        customer: as staged; None if it is no longer known.
        history: its receipts, oldest first.
    """
    last = history[-1] if history else None
    if customer is None:
        return "Nothing: the worker no longer knows this customer."
    if not customer.changed:
        # Prefers the outcome: the last receipt may be about a list that the customer left.
        if outcome is not None:
            return outcome.next
        return last.next if last is not None else NOTHING_NEXT
    if settings is None:
        return (
            f"It waits until the account is connected to Mailchimp: mailchimp-worker account connect "
            f"{customer.account_id}"
        )
    if lacking := missing(settings):
        return f"It waits. {lacking[0].message} {lacking[0].advice}"
    # The account works again, since nothing is missing.
    if last is not None and last.revision == customer.revision and last.outcome != Outcome.ACCOUNT_STOPPED:
        meaning = MEANINGS.get(last.outcome)
        if meaning is not None and meaning.needs_somebody and meaning.settles is False:
            return last.next
    if customer_status is not None and customer_status.retry_at and customer_status.refuses(customer.address):
        return f"Tried again by the first flush after {customer_status.retry_at}."
    return f"Sent by the next flush, due at {as_text(next_flush)}."
