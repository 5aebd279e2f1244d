"""Who is known to have left, by the ledger right before a call: other calls of this flush may have found it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from worker.flush import consent
from worker.flush.steps import Contact, PriorMembership
from worker.model import AccountId, AddressKey, Customer, CustomerId, MembershipKey
from worker.store import customers, ledger
from worker.store.database import Database
from worker.store.ledger import LedgerEntry


def departures_of(
    db: Database, account_id: AccountId, contacts: Sequence[Contact]
) -> Mapping[MembershipKey, Sequence[PriorMembership]]:
    """Returns where the addresses of contacts, or the customers who have them, are known to have left.

    Args:
        db: the staging database.
        account_id: the account.
        contacts: who is about to be added.

    Returns:
        The places of departures by the place of the contact, for those that have any.
    """
    known = _Known(db, account_id, contacts)
    found = {contact.membership: known.departures(contact) for contact in contacts}
    return {membership: priors for membership, priors in found.items() if priors}


class _Known:
    def __init__(self, db: Database, account_id: AccountId, contacts: Sequence[Contact]) -> None:
        addresses = {contact.membership.address for contact in contacts}
        self._same_address: dict[AddressKey | None, list[Customer]] = {}
        for one in customers.by_addresses(db, account_id, addresses):
            self._same_address.setdefault(one.address, []).append(one)
        ids = {target.customer.customer_id for contact in contacts for target in contact.targets}
        ids |= {one.customer_id for same_address in self._same_address.values() for one in same_address}
        self._at: dict[CustomerId, list[MembershipKey]] = {one: [] for one in ids}
        for customer_status in ledger.customer_statuses_of(db, account_id, ids):
            if customer_status.membership is not None:
                self._at[customer_status.customer_id].append(customer_status.membership)
        for entry in ledger.owned_by(db, account_id, ids):
            self._at[entry.customer_id].append(entry.membership)
        addresses |= {membership.address for memberships in self._at.values() for membership in memberships}
        self._entries: dict[MembershipKey, LedgerEntry] = {
            entry.membership: entry for entry in ledger.entries_of(db, account_id, addresses)
        }
        self._with_address: dict[AddressKey, list[MembershipKey]] = {}
        for membership in self._entries:
            self._with_address.setdefault(membership.address, []).append(membership)

    def departures(self, contact: Contact) -> Sequence[PriorMembership]:
        destination, mine = contact.membership, {target.customer.customer_id for target in contact.targets}
        own = [membership for one in mine for membership in self._at[one] if membership != destination]
        same_address = (one for one in self._same_address.get(destination.address, ()) if one.customer_id not in mine)
        for_others = consent.priors_of_same_address(
            destination,
            same_address,
            {},
            lambda one: self._at[one.customer_id],
            self._with_address,
            self._entries,
        )
        memberships = [
            *own,
            *consent.priors_of_address(destination, own, self._with_address, self._entries),
            *for_others,
        ]
        left = (one for one in dict.fromkeys(memberships) if consent.keeps_out(self._entries.get(one), destination))
        return [self._prior(membership, own, for_others.get(membership, ())) for membership in left]

    def _prior(
        self, membership: MembershipKey, own: Iterable[MembershipKey], whom: Iterable[CustomerId]
    ) -> PriorMembership:
        here = (one for one, memberships in self._at.items() if membership in memberships)
        known = tuple(dict.fromkeys([*whom, *here]))
        return PriorMembership(membership, self._entries.get(membership), known=known, others=membership not in own)
