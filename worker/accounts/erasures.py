"""Requests to erase a person or an account, which every worker carries out on its own database.

The worker that writes an account's ledger also erases in Kafka. Any other worker erases only its own copy, and rereads
that partition of the ledger from the beginning if it is assigned to it, so as to erase from Kafka what is still there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from worker.accounts.forget import forget_account, forget_person
from worker.accounts.hash_key import ensure_hash_key, hash_key
from worker.accounts.secrets import SecretKey
from worker.changelog.commit import Changelog
from worker.clock import as_text
from worker.model import AccountId, AddressKey
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed
from worker.store import accounts, erasure_requests, known_addresses, offsets
from worker.store.erasure_requests import ANY_ACCOUNT, WHOLE_ACCOUNT, ErasureRequest
from worker.store.forgotten import digest_of

_Result = TypeVar("_Result")


def request_person(db: Database, changelog: Changelog, address: AddressKey, secret: SecretKey, at: datetime) -> str:
    """Asks every worker to erase a person; returns the hash of the address.

    Raises:
        SecretKeyError: the key of the hashes cannot be decrypted.
        KafkaError: Kafka did not accept the request.
    """
    digest = digest_of(ensure_hash_key(db, changelog, secret), AccountId(ANY_ACCOUNT), "address", address)
    changelog.commit(db, lambda: Changed(None, erasure_requests.put(db, ANY_ACCOUNT, digest, as_text(at))))
    return digest


def request_account(db: Database, changelog: Changelog, account_id: AccountId, at: datetime) -> None:
    """Asks every worker to erase an account.

    Raises:
        KafkaError: Kafka did not accept the request.
    """
    changelog.commit(db, lambda: Changed(None, erasure_requests.put(db, account_id, WHOLE_ACCOUNT, as_text(at))))


@dataclass(frozen=True, slots=True)
class OwnCopy:
    """Commits to this database only what another worker erases in Kafka."""

    ledger: str
    partition_of: Callable[[AccountId], int]

    def commit(self, db: Database, write: Callable[[], Changed[_Result]], *, erase: bool = False) -> _Result:
        """Runs a function in one transaction."""
        with db.transaction():
            changed = write()
            if changed.rest is not None:
                changed.rest()
            account_ids = {AccountId(row.key[0]) for row in changed.rows if row.kind not in ("topic", "erasure")}
            offsets.read_again(db, self.ledger, {self.partition_of(account_id) for account_id in account_ids})
        return changed.result

    def failure_of(self, account_id: AccountId) -> None:
        """Returns None: this database can be written."""


def carry_out(
    db: Database, changelog: Changelog, own_copy: OwnCopy, secret: SecretKey, worker: str, at: datetime
) -> Counter[str]:
    """Carries out all requests that this database has not carried out yet, and records them as done.

    Args:
        db: outside of a transaction.
        changelog: commits for accounts whose ledger this worker writes.
        own_copy: commits for other accounts.

    Returns:
        How many rows of each kind were deleted.

    Raises:
        SecretKeyError: the key of the hashes cannot be decrypted.
        KafkaError: Kafka did not accept it; what is done stays done, and the rest is found again.
        DatabaseError: not everything is erased.
    """
    requests, deleted = erasure_requests.to_do(db), Counter[str]()
    if not requests:
        return deleted

    def changelog_of(account_id: AccountId) -> Changelog:
        return changelog if changelog.failure_of(account_id) is None else own_copy

    for address, request in _addresses(db, secret, requests).items():
        skipped = erasure_requests.renewed(db, address, request.requested_at)
        deleted.update(
            forget_person(db, changelog, address, secret=secret, at=at, changelog_of=changelog_of, skipped=skipped)
        )
    for request in requests:
        account_id = AccountId(request.account_id)
        if request.digest == WHOLE_ACCOUNT and not _connected_since(db, account_id, request.requested_at):
            forget_account(db, changelog_of(account_id), account_id)
            deleted["accounts"] += 1
    changelog.commit(db, lambda: Changed(None, erasure_requests.note_done(db, requests, worker, as_text(at))))
    return deleted


def _addresses(db: Database, secret: SecretKey, requests: Iterable[ErasureRequest]) -> dict[AddressKey, ErasureRequest]:
    by_digest = {request.digest: request for request in requests if request.digest}
    key = hash_key(db, secret) if by_digest else None
    if key is None:
        return {}
    requested, seen = dict[AddressKey, ErasureRequest](), set[AddressKey]()
    for page in known_addresses.pages(db):
        for address in page - seen:
            request = by_digest.get(digest_of(key, AccountId(ANY_ACCOUNT), "address", address))
            if request is not None:
                requested[address] = request
        seen = page  # consecutive pages often share addresses; keeping all would take too much memory
    return requested


def _connected_since(db: Database, account_id: AccountId, at: str) -> bool:
    settings = accounts.find(db, account_id)
    return settings is not None and settings.connected_at is not None and as_text(settings.connected_at) > at
