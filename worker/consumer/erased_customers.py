"""Keeps events of erased customers from being staged again, unless they are newer than the erasure.

An event is newer if its log had not been read that far, or by the order of events. Only a keyed hash of each erased
customer is known, so customers are looked up by the hash of their id.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial

from worker.consumer.event_order import Known, Verdict, came_later, judge
from worker.errors import SecretKeyError
from worker.model import AccountId, Position
from worker.sqlite.database import Database
from worker.store import customers, forgotten
from worker.store.forgotten import Forgotten, digest_of

log = logging.getLogger("worker.consumer")

_Key = tuple[str, str]
HashKey = Callable[[Database], bytes | None]
"""Returns the key of the hashes; None if there is none. Raises SecretKeyError if it cannot be decrypted."""


def no_key(db: Database) -> bytes | None:
    """Returns no key: nobody was ever erased."""
    return None


class ErasedCustomers:
    """Looks up erased customers."""

    def __init__(self, hash_key: HashKey) -> None:
        self._hash_key = hash_key
        self._warned = False

    def among(self, db: Database, keys: Collection[_Key]) -> Mapping[_Key, Forgotten]:
        """Returns which of these customers, by account and id, were erased; none if the key cannot be decrypted.

        Nothing is delivered then either, and they are deleted before the next flush that has the key.
        """
        having = forgotten.having_customers(db, {account_id for account_id, _ in keys})
        key = self._key(db) if having else None
        if key is None:
            return {}
        digests = {
            (account_id, digest_of(key, AccountId(account_id), "customer", customer_id)): (account_id, customer_id)
            for account_id, customer_id in keys
            if account_id in having
        }
        return {digests[digest]: erased for digest, erased in forgotten.find(db, digests).items()}

    def among_keys(self, db: Database, keys: Collection[str]) -> Mapping[bytes, Forgotten]:
        """Returns the same for customers given as account_id/customer_id, in UTF-8. Quick if nobody was erased."""
        if not forgotten.any_hashes(db):
            return {}
        people = [(account_id, customer_id) for account_id, _, customer_id in (key.partition("/") for key in keys)]
        return {"/".join(ids).encode(): erased for ids, erased in self.among(db, people).items()}

    def drop_staged(self, db: Database) -> int:
        """Deletes staged customers who were erased, and of whom nothing newer was read; returns how many.

        They are staged if the log was read before the hash of the erased person, as with a rebuilt database, or by
        another worker than the one that erased them. Uses many transactions.

        Args:
            db: outside of a transaction.
        """
        dropped = 0
        for account_id in sorted(forgotten.accounts_with_customers(db)):
            key = self._key(db)
            if key is None:
                break
            hashes = forgotten.hashes_of_customers(db, account_id)
            # Once all are compared, only customers staged at the very time of an erasure can be left.
            only_changed = forgotten.compared_with(db, account_id) == hashes
            stale = self._not_newer(db, account_id, customers.staged_of(db, account_id, only_changed=only_changed))
            dropped += db.in_parts(stale, partial(_drop, db, account_id))
            if not only_changed and not db.is_ending:
                with db.transaction():
                    forgotten.note_compared(db, account_id, hashes)
        return dropped

    def _not_newer(
        self, db: Database, account_id: AccountId, pages: Iterator[Sequence[customers.Staged]]
    ) -> Iterator[tuple[str, str, int]]:
        for page in pages:
            erased = self.among(db, [(account_id, customer.customer_id) for customer in page])
            for customer in page:
                entry = erased.get((account_id, customer.customer_id))
                if entry is not None and not is_newer(entry, Known(*customer.known), withdraws=customer.withdrawn):
                    yield account_id, customer.customer_id, customer.revision

    def _key(self, db: Database) -> bytes | None:
        try:
            return self._hash_key(db)
        except SecretKeyError as error:
            if not self._warned:
                facts = {"reason": error.message}
                log.warning("events of erased persons cannot be recognised: %s", error.advice, extra=facts)
            self._warned = True
            return None


def _drop(db: Database, account_id: AccountId, part: Sequence[tuple[str, str, int]]) -> int:
    if dropped := forgotten.delete_staged(db, part):
        forgotten.note_erasure(db, account_id)  # a flush of the account may have read them
    return dropped


def is_newer(erased: Forgotten, new: Known, *, withdraws: bool) -> bool:
    """Returns whether an event is newer than the erasure of its customer.

    Args:
        withdraws: whether it withdraws consent, which counts if it was published later, whatever its version.
    """
    assert erased.read_to is not None, "only erased customers are looked up"
    at, version = erased.read_to.position or Position("", "", -1, -1), erased.read_to.version
    known = Known(version, *at.log, at.offset, erased.forgotten_at)
    if at.log == (new.topic, new.topic_id, new.partition) and new.offset <= at.offset:
        return False
    if version is None:
        # Any version would be above none, so only the order of the log or the time decides.
        new = new._replace(version=None)
    return judge(known, new) is Verdict.NEWER or (withdraws and came_later(known, new) is True)
