"""The key for hashes of erased persons and of strangers who left: random, one per installation.

It is created when first needed, and kept beside the settings in Kafka, encrypted with the operator's secret key. So the
hashes survive a change of the secret key.
"""

from __future__ import annotations

import secrets

from worker.accounts.secrets import SecretKey, derived
from worker.changelog.commit import Changelog
from worker.errors import SecretKeyError
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed
from worker.store import forgotten
from worker.store.forgotten import Departed
from worker.store.strangers import HASHES, AddressHashes


def departed_of(db: Database, account_id: AccountId, secret: SecretKey) -> Departed:
    """Returns the hashes of those whom an account may not add again though their ledger entries were erased.

    Raises:
        SecretKeyError: somebody was erased, and the key of the hashes is lost or cannot be decrypted.
    """
    digests = forgotten.departed_digests(db, account_id)
    # Even if nobody had left: without the key, an erased person who is staged again cannot be recognised.
    needed = digests or forgotten.having_customers(db, [account_id])
    key = hash_key(db, secret) if needed else None
    if needed and key is None:
        raise SecretKeyError(
            "The key of the hashes of erased persons, which keep them from being added again, is lost.",
            "Restore a copy of the database, or of the topic with the settings.",
        )
    return Departed(account_id, key, digests)


def hash_key(db: Database, secret: SecretKey) -> bytes | None:
    """Returns the key of the hashes; None before it is first needed.

    Raises:
        SecretKeyError: it cannot be decrypted.
    """
    sealed = forgotten.encrypted_key(db)
    return None if sealed is None else secret.open_hash_key(sealed)


def address_hashes(db: Database, account_id: AccountId, secret: SecretKey) -> AddressHashes:
    """Returns what hashes addresses of strangers who left an account's lists.

    Without a key, it uses one that made none of the hashes: nobody who left is known, so the lists are read again.
    """
    key = hash_key(db, secret) if _opens(db, secret) else None
    return AddressHashes(account_id, secret.derived(HASHES) if key is None else derived(key, HASHES))


def ensure_hash_key(db: Database, changelog: Changelog, secret: SecretKey) -> bytes:
    """Returns the key of the hashes, created if there is none. Call it outside of a transaction.

    Raises:
        SecretKeyError: it cannot be decrypted.
    """
    create_hash_key(db, changelog, secret)
    key = hash_key(db, secret)
    assert key is not None, "it was just made"
    return key


def create_hash_key(db: Database, changelog: Changelog, secret: SecretKey) -> None:
    """Creates the key of the hashes if there is none. Call it outside of a transaction."""
    new = secrets.token_bytes(forgotten.KEY_BYTES)
    sealed = secret.seal_hash_key(new)

    def write() -> Changed[None]:
        # If nobody was erased, one that cannot be decrypted can be replaced: the lists are read again.
        replaceable = forgotten.encrypted_key(db) is None or forgotten.is_empty(db)
        return Changed(None, forgotten.set_encrypted_key(db, sealed) if replaceable else [])

    if forgotten.encrypted_key(db) is None or (forgotten.is_empty(db) and not _opens(db, secret)):
        changelog.commit(db, write)


def _opens(db: Database, secret: SecretKey) -> bool:
    try:
        hash_key(db, secret)
    except SecretKeyError:
        return False
    return True
