"""The history of a contact: everything that is known about an address, in the order in which it happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto

from worker.accounts.settings import missing
from worker.clock import as_text
from worker.mailchimp import calls
from worker.mailchimp.answers import member_of
from worker.mailchimp.calls import Sender
from worker.model import AccountId, AddressKey, Customer, CustomerId, MembershipKey
from worker.plan.outcomes import MEANINGS, NOTHING_NEXT, OTHER_STATUS, STATUS_MEANINGS, Outcome
from worker.sqlite.database import Database
from worker.store import accounts, customer_outcomes, customers, dead_letters, ledger, ledger_erasure, receipts
from worker.store.accounts import AccountSettings
from worker.store.customer_outcomes import NO_MEMBER, CustomerOutcome
from worker.store.dead_letters import DeadLetter
from worker.store.ledger import CustomerStatus, LedgerEntry
from worker.store.receipts import Receipt


class NextKind(Enum):
    """Why something happens next to a customer."""

    NOT_KNOWN = auto()
    NOT_SET_UP = auto()
    """Its account lacks something."""
    RETRY = auto()
    NEXT_FLUSH = auto()
    AS_SAID = auto()
    """A receipt, an outcome or the member's status says it, in a sentence of :mod:`worker.plan.outcomes`."""


@dataclass(frozen=True, slots=True)
class NextStep:
    """What happens next to a customer.

    Attributes:
        at: when it is retried, as text; None otherwise.
        meanwhile: what its departure means, of a customer that waits; None if it has not left.
    """

    kind: NextKind
    first: str
    at: str | None = None
    meanwhile: str | None = None

    @property
    def sentence(self) -> str:
        """All of it, in one or two sentences for operators."""
        return self.first if self.meanwhile is None else f"{self.first} {self.meanwhile}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happened to one customer, or to a member whose customer is no longer known.

    Attributes:
        customer: as staged now; None if only receipts or the ledger are left.
        settings: the account's; None if it has none.
        receipts: oldest first.
        entries: the ledger entries of the addresses that the customer has or had.
        outcome: the last published outcome, which survives a lost database; None before the first.
        planned: what happens next, by what is stored.
    """

    account_id: AccountId
    customer_id: CustomerId
    customer: Customer | None
    settings: AccountSettings | None
    customer_status: CustomerStatus | None
    receipts: Sequence[Receipt]
    entries: Sequence[LedgerEntry]
    outcome: CustomerOutcome | None
    planned: NextStep

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

    @property
    def changed_address(self) -> AddressKey | None:
        """The address that the person gave the member in Mailchimp; None if it is the one that was sent."""
        entry = next((entry for entry in self.entries if entry.membership == self.membership), None)
        now = place_now(entry).address if entry is not None else None
        return None if entry is None or now == entry.membership.address else now

    @property
    def membership_now(self) -> MembershipKey | None:
        """Where its member is now: under the address that the person gave it in Mailchimp, if any."""
        place, address = self.membership, self.changed_address
        return place if place is None or address is None else MembershipKey(place.list_id, address)

    def next_step(self, live: LiveMember | None = None) -> NextStep:
        """Returns what happens next.

        Args:
            live: its member as Mailchimp has it now, which the worker may not have noticed yet; None if not read.
        """
        customer = self.customer
        own_first = sorted(self.entries, key=lambda entry: entry.membership != self.membership)
        entry = next((entry for entry in own_first if live and place_now(entry) == live.membership), None)
        if customer is None or customer.deleted or live is None or live.problem is not None:
            return self.planned
        if entry is None or entry.state not in ("present", "gone"):
            return self.planned  # by this worker, or not known
        known = entry.member_status if entry.state == "present" or entry.address_now is not None else None
        meaning = STATUS_MEANINGS.get(live.status or NO_MEMBER, OTHER_STATUS)
        if customer.changed:
            # A bounce concerns the address only.
            left = live.status in ("unsubscribed", "archived") or (
                live.status == "cleaned" and customer.address == live.membership.address
            )
            return replace(self.planned, meanwhile=_after_departure(customer, meaning.next)) if left else self.planned
        if live.status == known:
            return self.planned
        return NextStep(NextKind.AS_SAID, _after_departure(customer, meaning.next))


def place_now(entry: LedgerEntry) -> MembershipKey:
    """Returns where the member of a ledger entry is, as far as it is known: the person may have changed the address."""
    if entry.state != "gone" or entry.address_now is None:
        return entry.membership
    return MembershipKey(entry.membership.list_id, entry.address_now)


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


def _after_departure(customer: Customer, following: str) -> str:
    return following if customer.state.marketing_consent else MEANINGS[Outcome.UNSUBSCRIBED].next


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
        planned=what_is_next(customer, settings, customer_status, history, next_flush, outcome),
    )


def what_is_next(
    customer: Customer | None,
    settings: AccountSettings | None,
    customer_status: CustomerStatus | None,
    history: Sequence[Receipt],
    next_flush: datetime,
    outcome: CustomerOutcome | None = None,
) -> NextStep:
    """Returns what happens next to a customer, by what is stored.

    Args:
        customer: as staged; None if it is no longer known.
        history: its receipts, oldest first.
    """
    last = history[-1] if history else None
    if customer is None:
        return NextStep(NextKind.NOT_KNOWN, "Nothing: the worker no longer knows this customer.")
    if not customer.changed:
        # Prefers the outcome: the last receipt may be about a list that the customer left.
        said = outcome or last
        return NextStep(NextKind.AS_SAID, said.next if said is not None else NOTHING_NEXT)
    if settings is None:
        connect = f"mailchimp-worker account connect {customer.account_id}"
        return NextStep(NextKind.NOT_SET_UP, f"It waits until the account is connected to Mailchimp: {connect}")
    if lacking := missing(settings):
        return NextStep(NextKind.NOT_SET_UP, f"It waits. {lacking[0].message} {lacking[0].advice}")
    # The account works again, since nothing is missing.
    if last is not None and last.revision == customer.revision and last.outcome != Outcome.ACCOUNT_STOPPED:
        meaning = MEANINGS.get(last.outcome)
        if meaning is not None and meaning.needs_somebody and meaning.settles is False:
            return NextStep(NextKind.AS_SAID, last.next)
    if customer_status is not None and customer_status.retry_at and customer_status.refuses(customer.address):
        at = customer_status.retry_at
        return NextStep(NextKind.RETRY, f"Tried again by the first flush after {at}.", at)
    return NextStep(NextKind.NEXT_FLUSH, f"Sent by the next flush, due at {as_text(next_flush)}.")
