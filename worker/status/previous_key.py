"""Whether the previous secret key is still needed, and for what."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from worker.accounts.secrets import SecretKey
from worker.kafka.partitioner import partition_of
from worker.sqlite.database import Database
from worker.status.checks import Finding, Level, ok
from worker.store import accounts, forgotten, offsets, rekeying, sent_fields
from worker.text.plural import counted

UNSET = "Unset WORKER_PREVIOUS_SECRET_KEY at every worker."
_REKEY = "Once all workers have both keys: mailchimp-worker account rekey"


@dataclass(frozen=True, slots=True)
class PreviousKey:
    """What the previous secret key is needed for.

    Attributes:
        rekeyed: whether `account rekey` has run since the change.
        api_keys: how many API keys it encrypted, including the key of the hashes of addresses.
        rows: ledger rows of this database whose hashes may be renewed.
        partitions: ledger partitions whose hashes are not all renewed.
        left: rows with hashes that cannot be renewed, because their customers have other values now.
    """

    rekeyed: bool
    api_keys: int
    rows: int
    partitions: int
    left: int

    @property
    def needed(self) -> bool:
        """Whether something is lost without it."""
        return not self.rekeyed or bool(self.api_keys or self.partitions)

    @property
    def words(self) -> str:
        """The same as a sentence."""
        if not self.rekeyed:
            return "still needed: API keys, ledger and settings were not all written again with the new one."
        if self.api_keys:
            return f"still needed: {counted(self.api_keys, 'stored key')} encrypted with it."
        if self.partitions:
            rows = f", here of up to {counted(self.rows, 'ledger row')}" if self.rows else ""
            partitions = counted(self.partitions, "partition")
            return f"still needed: hashes of {partitions} are being renewed by the workers that have both keys{rows}."
        left = (
            f" Hashes of {counted(self.left, 'ledger row')} cannot be renewed: their customers changed since, or are "
            "gone."
        )
        return f"no longer needed.{left if self.left else ''}"

    @property
    def advice(self) -> str | None:
        """What to do; None while the workers do it themselves."""
        if not self.rekeyed or self.api_keys:
            return _REKEY
        return None if self.needed else UNSET


def previous_key(db: Database, secret: SecretKey, topic: str) -> PreviousKey | None:
    """Returns what the previous secret key is needed for; None if none is in force."""
    if secret.previous is None:
        return None
    newest, size = rekeying.newest(db), offsets.size_of(db, topic)
    rekeyed = newest is not None and (newest.key, newest.before) == secret.names
    partitions = size.ledger if size is not None else 0
    renewed = rekeying.renewed(db, newest) if newest is not None and rekeyed else {}
    rows = sent_fields.count_by_account(db)
    return PreviousKey(
        rekeyed,
        _sealed_by(db, secret.previous),
        sum(
            count
            for account_id, count in rows.items()
            if partitions and partition_of(account_id, partitions) not in renewed
        ),
        len(set(range(partitions)) - set(renewed)),
        sum(renewed.values()),
    )


def finding(key: PreviousKey) -> Finding:
    """Returns it as a finding of `check`. It never prevents a delivery."""
    subject = "previous key"
    if key.needed:
        return Finding(subject, Level.ATTENTION, f"It is {key.words}", key.advice, hinders=False)
    return ok(subject, f"It is {key.words} {key.advice}")


def _sealed_by(db: Database, before: SecretKey) -> int:
    sealed_keys = [accounts.encrypted_key(db, account.account_id) for account in accounts.all_accounts(db)]
    hash_key = forgotten.encrypted_key(db)
    sealed_keys.append(base64.b64decode(hash_key) if hash_key is not None else None)
    return sum(key is not None and before.has_sealed(key) for key in sealed_keys)
