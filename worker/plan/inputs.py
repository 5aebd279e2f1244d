"""What a plan depends on beside the customers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from worker.fields.field_hashes import FieldHashes
from worker.fields.merge_values import ListFields
from worker.model import ListId, MembershipKey
from worker.store.accounts import AccountSettings
from worker.store.forgotten import Departed
from worker.store.ledger import LedgerEntry
from worker.store.strangers import AddressHashes


@dataclass(frozen=True, slots=True)
class PlanInputs:
    """What a plan depends on, beside the customers.

    Attributes:
        fields: of each stored list that is not gone.
        hashes: recognise what was sent.
        stored_by_others: lists that other accounts have stored: nothing is written to them.
        not_read: lists whose departures are unknown now, and why: nobody moves off them, or is added to another list.
        read_now: lists whose members were just read, so that departures are known without another read.
        unwritten: entries that are not in the ledger yet, because a plan that is only shown writes nothing.
        strangers: hashes of people who left lists though no customer had their address; None to look nobody up.
        former_addresses: hashes of addresses whose contacts left under others, if they are not written either.
    """

    settings: AccountSettings
    fields: Mapping[ListId, ListFields]
    now: str
    departed: Departed
    hashes: FieldHashes
    stored_by_others: frozenset[ListId] = frozenset()
    not_read: Mapping[ListId, str] = field(default_factory=dict)
    read_now: frozenset[ListId] = frozenset()
    unwritten: Mapping[MembershipKey, LedgerEntry] = field(default_factory=dict)
    strangers: AddressHashes | None = None
    former_addresses: Collection[tuple[ListId, int]] = ()
