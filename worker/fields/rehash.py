"""Renews hashes of sent values after a change of the secret key, where the customer still has the value.

Makes no call: the hash itself tells in which form a field took the value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from worker.changelog.commit import Changelog, commit_in_parts
from worker.fields.field_hashes import FieldHashes, Rehashed
from worker.fields.field_mapping import mapping_of
from worker.fields.merge_values import every_value
from worker.model import AccountId, CustomerState, ListId
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed
from worker.store import accounts, customers, sent_fields
from worker.store.accounts import AccountSettings
from worker.store.sent_fields import SentFields


@dataclass(frozen=True, slots=True)
class Rehashing:
    """Renews the hashes of one account.

    Attributes:
        db: outside of a transaction.
        hashes: the account's, by both keys.
        state_if_missing: see :class:`worker.fields.merge_values.ListFields`.
    """

    db: Database
    changelog: Changelog
    hashes: FieldHashes
    state_if_missing: str

    def carry_out(self) -> Counter[str]:
        """Renews all hashes that can be renewed, in many transactions. If interrupted, call it again.

        Returns:
            How many rows were "renewed", and how many are "left" because their customers have other values now.

        Raises:
            KafkaError: not all are renewed.
            DatabaseError: not all are renewed.
        """
        counts = Counter[str]()
        counts["renewed"] = commit_in_parts(self.changelog, self.db, self._renewable(counts), self._write)
        return counts

    def _renewable(self, counts: Counter[str]) -> Iterator[tuple[SentFields, Mapping[str, str]]]:
        # Rows that are done already are not written again.
        for page in sent_fields.pages(self.db, self.hashes.account_id):
            for row, rehashed in self._rehashed(page):
                counts["left"] += rehashed.left
                if rehashed.fields != row.fields:
                    yield row, rehashed.fields

    def _write(self, changed: Sequence[tuple[SentFields, Mapping[str, str]]]) -> Changed[int]:
        # A row that a flush wrote since it was read is left alone, and read again.
        return Changed(len(changed), sent_fields.replace(self.db, self.hashes.account_id, changed))

    def _rehashed(self, rows: Sequence[SentFields]) -> Iterator[tuple[SentFields, Rehashed]]:
        account_id = self.hashes.account_id
        settings = accounts.find(self.db, account_id) or AccountSettings(account_id)
        staged = customers.by_ids(self.db, account_id, {row.customer_id for row in rows})
        states = {customer.customer_id: customer.state for customer in staged}
        for row in rows:
            state = states.get(row.customer_id)
            yield row, self._rehashed_row(row, settings, state)

    def _rehashed_row(self, row: SentFields, settings: AccountSettings, state: CustomerState | None) -> Rehashed:
        mapping = mapping_of(settings.list_of(ListId(row.membership.list_id)))
        return self.hashes.rehashed(
            row.fields,
            lambda tag: every_value(state, mapping.get(tag), self.state_if_missing) if state is not None else (),
        )


def account_ids(db: Database) -> list[AccountId]:
    """Returns the accounts that have hashes."""
    return sorted(sent_fields.count_by_account(db))
