"""Erases an account or one person from the database and Kafka. Mailchimp is not changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial

from worker.accounts.erased_persons import Erasing
from worker.accounts.hash_key import ensure_hash_key
from worker.accounts.secrets import SecretKey
from worker.changelog.commit import Changelog, commit_in_parts
from worker.clock import as_text
from worker.errors import DatabaseError
from worker.model import AccountId, AddressKey, CustomerId, MembershipKey
from worker.sqlite import free_space
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed
from worker.store import (
    accounts,
    bare_customers,
    customers,
    dead_letters,
    forgotten,
    held_counts,
    ledger,
    ledger_erasure,
    marking,
    readings,
    receipts,
    runs,
    settings_notes,
    update_intents,
)

Progress = Callable[[str, int, int | None], None]
"""Called repeatedly with what is done, how much of it, and the total if it is known."""


def no_progress(step: str, done: int, total: int | None) -> None:
    """Ignores progress."""


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

    Keyed hashes of the person are kept, see :mod:`worker.accounts.erased_persons`. Other customers lose only the
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
