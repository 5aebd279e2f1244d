"""The record of an erased person: keyed hashes that preserve an opt-out, and keep old events from being staged again.

An opt-out belongs to the address and to the customers known by it. So of a person who had left, hashes of all addresses
and of the customer are kept. Of anybody else only the hash of the customer is kept, with the position up to which the
log had been read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from worker.changelog.commit import Changelog, commit_in_parts
from worker.model import AccountId, AddressKey, Customer, CustomerId, Position
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed, Rows
from worker.store import customers, forgotten, ignored, ledger, ledger_erasure, offsets, receipts
from worker.store.forgotten import Forgotten, What, digest_of
from worker.store.ledger import LASTING_REFUSALS, CustomerStatus, has_left


@dataclass(frozen=True, slots=True)
class Erasing:
    """Erases the person who has an address."""

    db: Database
    changelog: Changelog
    address: AddressKey
    key: bytes = field(repr=False)
    at: str

    def erase_from_customers(self, account_id: AccountId, customer_ids: Sequence[CustomerId]) -> None:
        """Removes the address from an account's other customers; those who left under it stay excluded."""

        def write() -> Changed[None]:
            forgotten.note_erasure(self.db, account_id)
            erased = ledger_erasure.erase_address(self.db, account_id, self.address, customer_ids)
            hashes = [self._hash(account_id, "customer", customer_id, left=True) for customer_id in erased.result]
            ignored.drop_address(self.db, account_id, self.address, customer_ids)
            return Changed(None, [*erased.rows, *forgotten.put(self.db, hashes)])

        self.changelog.commit(self.db, write, erase=True)
        self.erase_from_texts(account_id)

    def erase_from_texts(self, account_id: AccountId) -> None:
        """Removes the address from intents and receipts of an account's other customers, in many transactions."""
        commit_in_parts(
            self.changelog,
            self.db,
            ledger_erasure.intents_naming(self.db, account_id, self.address),
            lambda rows: ledger_erasure.erase_from_intents(self.db, self.address, rows),
            erase=True,
        )
        receipts.erase_address(self.db, account_id, self.address)

    def keep_hashes(self, account_id: AccountId, customer_id: CustomerId) -> Rows:
        """Stores the hashes of a customer, in the transaction that removes its rows."""
        staged = next(iter(customers.by_ids(self.db, account_id, [customer_id])), None)
        statuses = ledger.customer_statuses_of(self.db, account_id, [customer_id])
        hashes = self._hashes(account_id, customer_id, staged, next(iter(statuses), CustomerStatus(customer_id)))
        return [*forgotten.put(self.db, hashes), *ledger_erasure.hand_over(self.db, account_id, customer_id, self.at)]

    def _hashes(
        self, account_id: AccountId, customer_id: CustomerId, staged: Customer | None, customer_status: CustomerStatus
    ) -> list[Forgotten]:
        own_entries = ledger.entries_of_customer(self.db, account_id, customer_id)
        addresses = {self.address, customer_status.refused_address}
        addresses |= {entry.membership.address for entry in own_entries}
        addresses |= {entry.address_now for entry in own_entries}
        addresses |= {
            staged.address if staged else None,
            customer_status.membership.address if customer_status.membership else None,
        }
        addresses_known = sorted(address for address in addresses if address is not None)
        entries = [*own_entries, *ledger.entries_of(self.db, account_id, addresses_known)]
        left = (
            any(has_left(entry) for entry in entries)
            or (staged is not None and not staged.state.marketing_consent)
            or (customer_status.refusal is not None and customer_status.refusal in LASTING_REFUSALS)
            or self._left_before(account_id, customer_id, addresses_known)
        )
        read_to, version = self._read_to(account_id, staged)
        if version is None:
            version = ledger_erasure.version_of(self.db, account_id, customer_id)
        own = self._hash(account_id, "customer", customer_id, left=left)
        return [
            replace(own, read_to=read_to, version=version, erased=True),
            *(self._hash(account_id, "address", address, left=True) for address in addresses_known if left),
        ]

    def _left_before(self, account_id: AccountId, customer_id: CustomerId, addresses: Sequence[AddressKey]) -> bool:
        departed = forgotten.Departed(account_id, self.key, forgotten.departed_digests(self.db, account_id))
        return departed.has_customer(customer_id) or any(departed.has_address(address) for address in addresses)

    def _read_to(self, account_id: AccountId, staged: Customer | None) -> tuple[Position | None, int | None]:
        if staged is None:
            return offsets.last_read_of(self.db, account_id), None
        position = staged.position
        next_offset = offsets.next_of(self.db, position.topic, position.topic_id, position.partition) or 0
        return replace(position, offset=max(position.offset, next_offset - 1)), staged.version

    def _hash(self, account_id: AccountId, kind: What, value: str, *, left: bool) -> Forgotten:
        return Forgotten(account_id, digest_of(self.key, account_id, kind, value), self.at, left)
