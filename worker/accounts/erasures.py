"""Requests to erase a person or an account, which every worker carries out on its own file.

The worker that writes the ledger of an account erases in Kafka too. Another one erases its own copy alone, and reads
that partition of the ledger from its beginning should it get it: what it erased and Kafka still has is erased then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from worker.accounts.forget import forget_account, forget_person
from worker.accounts.hash_key import hash_key, made_hash_key
from worker.accounts.secrets import SecretKey
from worker.changelog.commit import Changelog
from worker.clock import as_text
from worker.model import AccountId, AddressKey
from worker.store import accounts, erasure_requests, known_addresses, offsets
from worker.store.changed_rows import Changed
from worker.store.database import Database
from worker.store.erasure_requests import ANY_ACCOUNT, WHOLE_ACCOUNT, ErasureRequest
from worker.store.forgotten import digest_of

_Result = TypeVar("_Result")


def request_person(db: Database, changelog: Changelog, address: AddressKey, secret: SecretKey, at: datetime) -> str:
    """Asks every worker to erase a person; returns the hash of its address.

    Raises:
        SecretKeyError: the key of the hashes cannot be decrypted.
        KafkaError: Kafka did not take it.
    """
    digest = digest_of(made_hash_key(db, changelog, secret), AccountId(ANY_ACCOUNT), "address", address)
    changelog.commit(db, lambda: Changed(None, erasure_requests.put(db, ANY_ACCOUNT, digest, as_text(at))))
    return digest


def request_account(db: Database, changelog: Changelog, account_id: AccountId, at: datetime) -> None:
    """Asks every worker to erase an account.

    Raises:
        KafkaError: Kafka did not take it.
    """
    changelog.commit(db, lambda: Changed(None, erasure_requests.put(db, account_id, WHOLE_ACCOUNT, as_text(at))))


@dataclass(frozen=True, slots=True)
class OwnCopy:
    """Commits to this database alone what another worker erases in Kafka.

    Attributes:
        ledger: name of the ledger's topic.
        partition_of: returns the partition of an account's ledger.
    """

    ledger: str
    partition_of: Callable[[AccountId], int]

    def commit(self, db: Database, act: Callable[[], Changed[_Result]], *, erase: bool = False) -> _Result:
        """Makes what a function writes one transaction."""
        with db.transaction():
            changed = act()
            if changed.rest is not None:
                changed.rest()
            account_ids = {AccountId(one.key[0]) for one in changed.rows if one.kind not in ("topic", "erasure")}
            offsets.read_again(db, self.ledger, {self.partition_of(one) for one in account_ids})
        return changed.result

    def failure_of(self, account_id: AccountId) -> None:
        """Returns nothing: this database can be written."""


def carry_out(
    db: Database, changelog: Changelog, own_copy: OwnCopy, secret: SecretKey, worker: str, at: datetime
) -> Counter[str]:
    """Carries out all requests that this database has not, and writes that it has.

    Args:
        db: outside of a transaction.
        changelog: commits for accounts whose ledger this worker writes.
        own_copy: commits for the others.

    Returns:
        How many rows of each kind went.

    Raises:
        SecretKeyError: the key of the hashes cannot be decrypted.
        KafkaError: Kafka did not take it; what is done stays done, and the rest is found again.
        DatabaseError: not all is erased.
    """
    requests, gone = erasure_requests.to_do(db), Counter[str]()
    if not requests:
        return gone

    def changelog_of(account_id: AccountId) -> Changelog:
        return changelog if changelog.failure_of(account_id) is None else own_copy

    for address, one in _addresses(db, secret, requests).items():
        spared = erasure_requests.renewed(db, address, one.requested_at)
        gone.update(
            forget_person(db, changelog, address, secret=secret, at=at, changelog_of=changelog_of, spared=spared)
        )
    for one in requests:
        account_id = AccountId(one.account_id)
        if one.digest == WHOLE_ACCOUNT and not _connected_since(db, account_id, one.requested_at):
            forget_account(db, changelog_of(account_id), account_id)
            gone["accounts"] += 1
    changelog.commit(db, lambda: Changed(None, erasure_requests.note_done(db, requests, worker, as_text(at))))
    return gone


def _addresses(db: Database, secret: SecretKey, requests: Iterable[ErasureRequest]) -> dict[AddressKey, ErasureRequest]:
    wanted = {one.digest: one for one in requests if one.digest}
    key = hash_key(db, secret) if wanted else None
    if key is None:
        return {}
    found, seen = dict[AddressKey, ErasureRequest](), set[AddressKey]()
    for page in known_addresses.pages(db):
        for address in page - seen:
            one = wanted.get(digest_of(key, AccountId(ANY_ACCOUNT), "address", address))
            if one is not None:
                found[address] = one
        seen = page  # one page is often like the next; all of them would take too much memory
    return found


def _connected_since(db: Database, account_id: AccountId, at: str) -> bool:
    settings = accounts.find(db, account_id)
    return settings is not None and settings.connected_at is not None and as_text(settings.connected_at) > at
