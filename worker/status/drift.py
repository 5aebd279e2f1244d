"""How a list in Mailchimp differs from the ledger: edited fields, statuses, missing members.

Reads all members page by page. Memory holds eight bytes per member, and some examples.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from worker.fields.field_hashes import NOT_SURE, FieldHashes
from worker.flush.list_readings import Page
from worker.flush.member_pages import AccountPage, KnownContacts, members_of, page_changes
from worker.mailchimp.answers import Member
from worker.model import AccountId, AddressKey, CustomerId, ListId, MembershipKey
from worker.sqlite.database import Database
from worker.store import customers, ledger, list_members
from worker.store.ledger import LedgerEntry

EXAMPLES = 1000
"""This many of each kind are named; the others are only counted."""


@dataclass(frozen=True, slots=True)
class Edited:
    """A member whose fields somebody edited after this worker sent them.

    Attributes:
        tags: merge tags, in their order.
    """

    address: AddressKey
    customer_id: CustomerId
    tags: tuple[str, ...]


@dataclass(slots=True)
class Drift:
    """The differences of one list.

    Attributes:
        members: in Mailchimp, including archived ones.
        unknown: members without a ledger entry.
        appeared: unknown members with the address of a customer.
        edited: members with edited fields; `examples` names some.
        statuses: members whose status or address the ledger did not know.
        vanished: members in the ledger that Mailchimp does not list; `missing` names some.
    """

    list_id: ListId
    members: int = 0
    unknown: int = 0
    appeared: int = 0
    edited: int = 0
    statuses: int = 0
    vanished: int = 0
    examples: list[Edited] = field(default_factory=list)
    missing: list[AddressKey] = field(default_factory=list)

    @property
    def any(self) -> bool:
        """Whether there is any difference worth a look."""
        return bool(self.edited or self.statuses or self.vanished or self.appeared)


@dataclass(slots=True)
class Comparison:
    """Compares one list with the ledger."""

    db: Database
    account_id: AccountId
    hashes: FieldHashes
    at: str
    drift: Drift
    contacts: KnownContacts = field(init=False)
    _seen: array[int] = field(default_factory=lambda: array("q"))

    def __post_init__(self) -> None:
        self.contacts = KnownContacts(self.db, self.account_id)

    def take(self, page: Page, *, strangers: bool) -> tuple[AccountPage, list[Edited]]:
        """Compares a page.

        Args:
            strangers: whether to record departures of customers' addresses that the ledger does not know.

        Returns:
            The page with what to write of it, and whose fields were edited.
        """
        members, drift = members_of(page), self.drift
        self._seen.extend(hash(place.address) for place in members)
        read = AccountPage(self.account_id, page, self.at, strangers, self.contacts.moved(page))
        result = page_changes(self.db, read)
        entries = {
            entry.membership: entry
            for entry in ledger.entries_of(self.db, self.account_id, [place.address for place in members])
            if entry.membership in members
        }
        edited = [edit for place, entry in entries.items() if (edit := self._edited(entry, members[place])) is not None]
        drift.members += len(page.new)
        drift.unknown += result.unknown
        drift.statuses += sum(_shows_another_status(entry, entries.get(entry.membership)) for entry in result.entries)
        drift.appeared += self._appeared(place for place in members if place not in entries)
        drift.edited += len(edited)
        drift.examples += edited[: EXAMPLES - len(drift.examples)]
        return read, edited

    def _edited(self, entry: LedgerEntry, member: Member) -> Edited | None:
        if entry.state != "present" or entry.intent is not None:
            return None
        tags = tuple(
            tag for tag, sent in entry.fields.items() if not _is_as_sent(self.hashes, sent, tag, member.fields.get(tag))
        )
        return Edited(entry.membership.address, entry.customer_id, tags) if tags else None

    def _appeared(self, places: Iterator[MembershipKey]) -> int:
        addresses = {place.address for place in places}
        known = customers.by_addresses(self.db, self.account_id, addresses) if addresses else ()
        return len({customer.address for customer in known if not customer.deleted})

    def end(self) -> Drift:
        """Returns the differences after all pages, including missing members."""
        self._seen = array("q", sorted(self._seen))
        for address in list_members.present_on(self.db, self.account_id, self.drift.list_id):
            wanted = hash(address)
            at = bisect_left(self._seen, wanted)
            if at == len(self._seen) or self._seen[at] != wanted:
                self.drift.vanished += 1
                self.drift.missing += [address] if len(self.drift.missing) < EXAMPLES else []
        return self.drift


def _shows_another_status(now: LedgerEntry, before: LedgerEntry | None) -> bool:
    return before is None or (now.state, now.member_status, now.address_now) != (
        before.state,
        before.member_status,
        before.address_now,
    )


def _is_as_sent(hashes: FieldHashes, sent: str, tag: str, value: Any) -> bool:
    if sent == NOT_SURE:
        return True  # the next flush sends it again
    # Mailchimp adds parts to an address that were not sent, and returns a number as one.
    forms = [value, str(value)]
    if isinstance(value, Mapping):
        filled = {name: part for name, part in value.items() if part}
        forms = [value, filled, {name: part for name, part in filled.items() if name != "country"}]
    return any(hashes.are_of(sent, tag, form) for form in forms)


def without(entries: Collection[LedgerEntry], edited: Collection[Edited]) -> list[LedgerEntry]:
    """Returns entries as if edited fields had never been sent, so that the next flush sends them again."""
    tags = {edit.address: edit.tags for edit in edited}
    return [
        replace(
            entry, fields={tag: sent for tag, sent in entry.fields.items() if tag not in tags[entry.membership.address]}
        )
        for entry in entries
        if entry.membership.address in tags
    ]
