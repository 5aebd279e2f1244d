"""Who is known to have left, by the ledger as it is right before a call: other calls of this flush may have told it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from worker.flushing.deciding import consent
from worker.flushing.deciding.steps import Contact, Gate
from worker.model import AccountId, AddressKey, Customer, CustomerId, Place
from worker.staging import customers, ledger
from worker.staging.database import Database
from worker.staging.ledger import Entry


def departures_of(db: Database, account_id: AccountId, contacts: Sequence[Contact]) -> Mapping[Place, Sequence[Gate]]:
    """Returns where the addresses of contacts, or the customers who have them, are known to have left.

    Args:
        db: the staging database.
        account_id: the account.
        contacts: who is about to be added.

    Returns:
        The places of departures by the place of the contact, for those that have any.
    """
    known = _Known(db, account_id, contacts)
    found = {contact.place: known.departures(contact) for contact in contacts}
    return {place: gates for place, gates in found.items() if gates}


class _Known:
    def __init__(self, db: Database, account_id: AccountId, contacts: Sequence[Contact]) -> None:
        addresses = {contact.place.address for contact in contacts}
        self._sharers: dict[AddressKey | None, list[Customer]] = {}
        for one in customers.by_addresses(db, account_id, addresses):
            self._sharers.setdefault(one.address, []).append(one)
        ids = {share.customer.customer_id for contact in contacts for share in contact.shares}
        ids |= {one.customer_id for sharers in self._sharers.values() for one in sharers}
        self._at: dict[CustomerId, list[Place]] = {one: [] for one in ids}
        for standing in ledger.standings_of(db, account_id, ids):
            if standing.place is not None:
                self._at[standing.customer_id].append(standing.place)
        for entry in ledger.owned_by(db, account_id, ids):
            self._at[entry.customer_id].append(entry.place)
        addresses |= {place.address for places in self._at.values() for place in places}
        self._entries: dict[Place, Entry] = {
            entry.place: entry for entry in ledger.entries_of(db, account_id, addresses)
        }
        self._with_address: dict[AddressKey, list[Place]] = {}
        for place in self._entries:
            self._with_address.setdefault(place.address, []).append(place)

    def departures(self, contact: Contact) -> Sequence[Gate]:
        target, mine = contact.place, {share.customer.customer_id for share in contact.shares}
        own = [place for one in mine for place in self._at[one] if place != target]
        sharers = (one for one in self._sharers.get(target.address, ()) if one.customer_id not in mine)
        places = [
            *own,
            *consent.priors_of_address(target, own, self._with_address, self._entries),
            *consent.priors_of_sharers(target, sharers, {}, lambda one: self._at[one.customer_id], self._entries),
        ]
        left = (one for one in dict.fromkeys(places) if consent.keeps_out(self._entries.get(one), target))
        return [self._gate(place, own) for place in left]

    def _gate(self, place: Place, own: Iterable[Place]) -> Gate:
        known = tuple(one for one, places in self._at.items() if place in places)
        return Gate(place, self._entries.get(place), known=known, others=place not in own)
