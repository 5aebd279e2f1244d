"""Erases an account or one person from the database and Kafka. Mailchimp is not changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from worker.accounts.hash_key import address_hashes, ensure_hash_key
from worker.accounts.secrets import SecretKey
from worker.changelog.commit import Changelog, commit_in_parts
from worker.clock import as_text
from worker.errors import DatabaseError
from worker.model import AccountId, AddressKey, Customer, CustomerId, MembershipKey, Position
from worker.sqlite import free_space
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed, Rows
from worker.store import (
    accounts,
    bare_customers,
    customers,
    dead_letters,
    forgotten,
    held_counts,
    ignored,
    ledger,
    ledger_erasure,
    marking,
    offsets,
    readings,
    receipts,
    runs,
    settings_notes,
    strangers,
    update_intents,
)
from worker.store.forgotten import Forgotten, HashKind, ReadTo, digest_of
from worker.store.ledger import LASTING_REFUSALS, CustomerStatus, has_left, is_bounce

Progress = Callable[[str, int, int | None], None]
"""Called repeatedly with what is done, how much of it, and the total if it is known."""


def no_progress(step: str, done: int, total: int | None) -> None:
    """Ignores progress."""


@dataclass(frozen=True, slots=True)
class Erasing:
    """Erases the person who has an address, but keeps keyed hashes: they preserve an opt-out, and keep old events away.

    An opt-out belongs to the address and to the customers known by it. So of a person who had left, hashes of all
    addresses and of the customer are kept. Of anybody else only the hash of the customer is kept, with the position up
    to which the log had been read.
    """

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
        bounced = {entry.membership.address for entry in entries if is_bounce(entry)}
        left = (
            any(has_left(entry) and not is_bounce(entry) for entry in entries)
            or (staged is not None and not staged.state.marketing_consent)
            or (customer_status.refusal is not None and customer_status.refusal in LASTING_REFUSALS)
            or self._left_before(account_id, customer_id, addresses_known)
        )
        read_to, version = self._read_to(account_id, staged)
        if version is None:
            version = ledger_erasure.version_of(self.db, account_id, customer_id)
        own = self._hash(account_id, "customer", customer_id, left=left)
        return [
            replace(own, read_to=ReadTo(read_to, version)),
            *(
                self._hash(account_id, "address", address, left=True)
                for address in addresses_known
                if left or address in bounced
            ),
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

    def _hash(self, account_id: AccountId, kind: HashKind, value: str, *, left: bool) -> Forgotten:
        return Forgotten(account_id, digest_of(self.key, account_id, kind, value), self.at, left)


def forget_account(db: Database, changelog: Changelog, account_id: AccountId, progress: Progress = no_progress) -> None:
    """Removes an account's API key, settings, lists, ledger, customer statuses, receipts and parts of runs.

    Uses many transactions, the settings first, so that nothing is delivered from half a ledger. If interrupted, call it
    again. The customers stay staged and changed, but without their fields, which are read from the log again if the
    account is connected again.

    Raises:
        DatabaseError: not everything is removed; or it is, but its bytes may still be in the file.
    """

    def forget_settings() -> Changed[None]:
        forgotten.note_erasure(db, account_id, whole=True)
        bare_customers.strip_later(db, account_id)
        rows = accounts.delete(db, account_id) + forgotten.delete_account(db, account_id)
        rows += settings_notes.delete_account(db, account_id)
        runs.delete_account(db, account_id)
        held_counts.delete_account(db, account_id)
        update_intents.clear(db, account_id)
        readings.delete(db, account_id)
        return Changed(None, [*rows, *marking.mark_changed(db, account_id, None).rows])

    changelog.commit(db, forget_settings, erase=True)
    commit_in_parts(
        changelog,
        db,
        ledger_erasure.rows_of_account(db, account_id),
        lambda rows: ledger_erasure.delete(db, rows),
        erase=True,
        progress=lambda count: progress("ledger", count, None),
    )
    strangers.delete_account(db, account_id)
    receipts.delete_account(db, account_id)
    marking.mark_the_rest(db, lambda count: progress("customers", count, None))
    bare_customers.strip(db, account_id)
    _leave_no_trace(db, progress)
    with db.transaction():
        bare_customers.stripped(db, [account_id])


def forget_person(
    db: Database,
    changelog: Changelog,
    address: AddressKey,
    *,
    secret: SecretKey,
    at: datetime,
    progress: Progress = no_progress,
    changelog_of: Callable[[AccountId], Changelog] | None = None,
    skipped: Collection[AccountId] = (),
) -> dict[str, int]:
    """Erases a person: everybody who has an address now, or, if nobody has it, everybody who ever had it.

    Keyed hashes of the person are kept, see :class:`Erasing`. Other customers lose only the
    address. Each customer has its own transaction, so that an interrupted call can be repeated.

    Args:
        db: outside of a transaction.
        changelog_of: commits what is erased of an account; None for `changelog`.
        skipped: accounts to skip.

    Returns:
        How many rows of each kind were deleted.

    Raises:
        SecretKeyError: the key of the hashes cannot be decrypted; nothing was erased.
        DatabaseError: not everything is erased; or it is, but its bytes may still be in the file.
    """
    letters = dead_letters.mentioning(db, address)
    people, same_address = known_at(db, address)
    deleted = Counter({"receipts": 0, "places": 0, "customers": 0})
    to_erase = [person for person in people if person[0] not in skipped]
    key = ensure_hash_key(db, changelog, secret) if to_erase else b""
    for account_id in sorted({account_id for account_id, _ in to_erase}):
        erasing = Erasing(db, changelog_of(account_id) if changelog_of else changelog, address, key, as_text(at))
        # Others first: once nobody has the address, they would count as the person themselves.
        erasing.erase_from_customers(
            account_id, [customer_id for other_account, customer_id in same_address if other_account == account_id]
        )
        for person in to_erase:
            if person[0] == account_id:
                erased = erasing.changelog.commit(db, partial(_erase, db, erasing, person), erase=True)
                deleted.update(erased)
        if forgotten.erasures_of(db, account_id):
            # A flush that began meanwhile may have written the address again.
            erasing.erase_from_texts(account_id)
    for account_id in strangers.account_ids(db):
        if account_id not in skipped:
            with db.transaction():
                strangers.forget(db, address_hashes(db, account_id, secret), address)
    deleted["dead letters"] = dead_letters.drop_all(db, letters)
    _leave_no_trace(db, progress)
    return dict(deleted)


def rows_of(db: Database, address: AddressKey, people: Sequence[tuple[AccountId, CustomerId]]) -> dict[str, int]:
    """Returns how many rows of each kind exist for people and an address.

    Args:
        people: who has the address, or had it if nobody has it now: see :func:`known_at`.
    """
    entries = set[tuple[AccountId, MembershipKey]]()
    counts = Counter(
        {"receipts": 0, "places": 0, "customers": 0, "dead letters": len(dead_letters.mentioning(db, address))}
    )
    for account_id, customer_id in people:
        own_entries = ledger.entries_of_customer(db, account_id, customer_id)
        entries |= {
            (account_id, entry.membership) for entry in (*own_entries, *ledger.entries_of(db, account_id, [address]))
        }
        counts["receipts"] += sum(1 for _ in receipts.find(db, account_id=account_id, customer_id=customer_id))
        counts["places"] += len(ledger.customer_statuses_of(db, account_id, [customer_id]))
        counts["customers"] += len(customers.by_ids(db, account_id, [customer_id]))
    counts["places"] += len(entries)
    return dict(counts)


def _erase(db: Database, erasing: Erasing, person: tuple[AccountId, CustomerId]) -> Changed[dict[str, int]]:
    forgotten.note_erasure(db, person[0])
    rows = erasing.keep_hashes(*person)
    rows += ledger_erasure.former_places(db, person, erasing.address)
    entries = ledger_erasure.delete_customer(db, person, erasing.address)
    deleted = {
        "receipts": receipts.delete_customer(db, person),
        "places": entries.result,
        "customers": customers.delete(db, person),
    }
    return Changed(deleted, [*rows, *entries.rows])


def known_at(
    db: Database, address: AddressKey
) -> tuple[list[tuple[AccountId, CustomerId]], list[tuple[AccountId, CustomerId]]]:
    """Returns who has an address in each account, and who else had it once.

    In an account where nobody has it, those who had it count as the person.
    """
    now = {(customer.account_id, customer.customer_id) for customer in customers.find_by_address(db, address, None)}
    ever = {(receipt.account_id, receipt.customer_id) for receipt in receipts.find(db, address=address)}
    ever |= set(ledger_erasure.customers_at(db, address))  # receipts expire
    accounts_now = {account_id for account_id, _ in now}
    people = now | {person for person in ever if person[0] not in accounts_now}
    return sorted(people), sorted(ever - people)


def people_at(db: Database, address: AddressKey) -> list[tuple[AccountId, CustomerId]]:
    """Returns who has or ever had an address, in all accounts."""
    people, same_address = known_at(db, address)
    return sorted({*people, *same_address})


def _leave_no_trace(db: Database, progress: Progress) -> None:
    # SQLite overwrites what it deletes, but cells that it moved earlier to make room in a page leave copies.
    try:
        free_space.erase(db, lambda done, total: progress("pages", done, total))
    except DatabaseError as error:
        raise DatabaseError(
            f"All of it is removed, but its bytes may still be in the file: {error.message}",
            f"{error.advice} Then mailchimp-worker forget EMAIL, with this or any address, overwrites them.",
        ) from error
