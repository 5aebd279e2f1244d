"""Customers that must be planned together: changed ones and those who share an address with them.

Read in chunks, so that memory does not grow with the account. A chunk includes every changed customer that shares an
old or new address with one of its own, and those that share with these, so that no place is planned in two chunks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from worker.model import AccountId, AddressKey, Customer, CustomerId, MembershipKey
from worker.plan import candidates
from worker.plan.inputs import PlanInputs
from worker.sqlite.database import Database
from worker.store import customers, ledger, strangers
from worker.store.accounts import AccountSettings
from worker.store.ledger import CustomerStatus, LedgerEntry

CHUNK = 4000
"""Changed customers per chunk: one POST of 500 for each of 8 connections."""
CHUNK_BYTES = 8 * 1024 * 1024
"""Bytes of their states as stored: rows of an earlier release may have a megabyte each."""


@dataclass(frozen=True, slots=True)
class RelatedCustomers:
    """Changed customers with everything that their plan depends on.

    Attributes:
        changed: the customers to settle, and those who wait for one of them.
        unchanged: those with a current or former address of a changed one.
        entries: of any place with one of these addresses, or where one of the unchanged is known.
        customer_statuses: of all these customers that have one.
        strangers: places that somebody with one of these addresses had left before any customer had it, and that the
            ledger does not know.
    """

    changed: Mapping[CustomerId, Customer]
    unchanged: Mapping[CustomerId, Customer]
    entries: Mapping[MembershipKey, LedgerEntry]
    customer_statuses: Mapping[CustomerId, CustomerStatus]
    strangers: Collection[MembershipKey] = ()

    def with_entries(self, unwritten: Mapping[MembershipKey, LedgerEntry]) -> RelatedCustomers:
        """Returns the same customers with entries about their addresses that are not in the ledger yet."""
        addresses = {customer.address for customer in (*self.changed.values(), *self.unchanged.values())}
        addresses |= {membership.address for membership in self.entries}
        more = {membership: entry for membership, entry in unwritten.items() if membership.address in addresses}
        return replace(self, entries={**self.entries, **more})


@dataclass(frozen=True, slots=True)
class Selection:
    """Which customers of an account are planned: the changed ones, unless an attribute says otherwise.

    Attributes:
        everyone: whether all customers are, as if they had changed.
        leaving_by: only changed customers that may leave a list by these settings; None for all.
        skip: customers to leave out.
        also: unchanged customers for the first chunk.
    """

    everyone: bool = False
    leaving_by: AccountSettings | None = None
    skip: Collection[CustomerId] = ()
    also: Collection[CustomerId] = ()


CHANGED = Selection()


def chunks(
    db: Database,
    account_id: AccountId,
    selection: Selection = CHANGED,
    size: int = CHUNK,
    most_bytes: int = CHUNK_BYTES,
) -> Iterator[RelatedCustomers]:
    """Yields selected customers of an account in chunks, each customer once.

    Each chunk is read when it is requested, so customers settled meanwhile are left out.

    Args:
        size: changed customers per chunk, at most.
        most_bytes: of their states, at most.
    """
    everyone, ahead = selection.everyone, set(selection.skip)
    also = set(selection.also) - ahead
    first = {row.customer_id: row for row in customers.by_ids(db, account_id, also)} if also else {}
    after: CustomerId | None = None
    while True:
        if selection.leaving_by is not None:
            rows = candidates.may_leave(db, selection.leaving_by, after, size, most_bytes)
        else:
            rows = customers.changed(db, account_id, after, size, most_bytes, every=everyone)
        if not rows and not first:
            return
        after = rows[-1].customer_id if rows else after
        fresh = first | {row.customer_id: row for row in rows if row.customer_id not in ahead}
        first = {}
        if not fresh:
            continue
        related = _Search(db, account_id, fresh, everyone).related()
        ahead |= {customer_id for customer_id in related.changed if after is None or customer_id > after}
        yield related


def with_strangers(db: Database, related: RelatedCustomers, inputs: PlanInputs) -> RelatedCustomers:
    """Returns the same customers with the places that strangers with their addresses had left."""
    if inputs.strangers is None:
        return related
    people = (*related.changed.values(), *related.unchanged.values())
    addresses = {customer.address for customer in people if customer.address is not None}
    addresses |= {membership.address for membership in related.entries}
    known = related.entries.keys() | inputs.unwritten.keys()
    left = strangers.departed(db, inputs.strangers, addresses, inputs.former_addresses) - known
    return replace(related, strangers=left) if left else related


def apart(db: Database, account_id: AccountId, related: RelatedCustomers) -> Iterator[RelatedCustomers]:
    """Yields the independent parts of a chunk: each changed customer once, with those related to it."""
    done: set[CustomerId] = set()
    for customer_id, customer in related.changed.items():
        if customer_id not in done:
            part = _Search(db, account_id, {customer_id: customer}).related()
            done |= part.changed.keys()
            yield part


@dataclass(slots=True)
class _Search:
    """Follows shared addresses from changed customers, until nobody new is found."""

    db: Database
    account_id: AccountId
    changed: dict[CustomerId, Customer]
    everyone: bool = False
    unchanged: dict[CustomerId, Customer] = field(default_factory=dict)
    entries: dict[MembershipKey, LedgerEntry] = field(default_factory=dict)
    customer_statuses: dict[CustomerId, CustomerStatus] = field(default_factory=dict)

    def related(self) -> RelatedCustomers:
        db, account_id = self.db, self.account_id
        known: set[AddressKey] = set()
        new = self.changed
        while new:
            ids = list(new)
            self._add_statuses(ids)
            addresses = {customer.address for customer in new.values() if customer.address is not None}
            addresses |= ledger.addresses_of_customers(db, account_id, ids)
            addresses -= known
            known |= addresses
            self._add_entries(addresses)
            new = self._sharing(addresses)
            # Also for those who only share an address with them, whose opt-out may apply to them.
            waiting = ledger.waiting_for(db, account_id, [*ids, *self.unchanged])
            waiting = [customer_id for customer_id in waiting if customer_id not in self.changed]
            # Treated as changed: what kept them out may have ended.
            new |= {customer.customer_id: customer for customer in customers.by_ids(db, account_id, waiting)}
            for customer_id in new:
                self.unchanged.pop(customer_id, None)
            self.changed |= new
        self._add_entries(ledger.addresses_of_customers(db, account_id, [*self.unchanged]) - known)
        return RelatedCustomers(self.changed, self.unchanged, self.entries, self.customer_statuses)

    def _sharing(self, addresses: set[AddressKey]) -> dict[CustomerId, Customer]:
        # Adds unchanged customers with their statuses; returns the new changed ones.
        db, account_id = self.db, self.account_id
        same = dict.fromkeys(
            [
                *customers.ids_of_addresses(db, account_id, addresses),
                *ledger.customers_settled_at(db, account_id, addresses),
            ]
        )
        unknown = [who for who in same if who not in self.changed and who not in self.unchanged]
        new = (
            {customer.customer_id: customer for customer in customers.by_ids(db, account_id, unknown)}
            if unknown
            else {}
        )
        unchanged = {who: customer for who, customer in new.items() if not (self.everyone or customer.changed)}
        self.unchanged |= unchanged
        if unchanged:
            self._add_statuses(unchanged)
        return {who: customer for who, customer in new.items() if who not in unchanged}

    def _add_statuses(self, ids: Collection[CustomerId]) -> None:
        for status in ledger.customer_statuses_of(self.db, self.account_id, ids):
            self.customer_statuses[status.customer_id] = status

    def _add_entries(self, addresses: Collection[AddressKey]) -> None:
        for entry in ledger.entries_of(self.db, self.account_id, addresses):
            self.entries[entry.membership] = entry
