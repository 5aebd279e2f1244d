"""What a page of members changes in the ledger: statuses, contact ids, and addresses changed by people."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from worker.clock import Clock, as_text, text_or_none
from worker.flush.departures import reopen
from worker.flush.list_readings import Page
from worker.flush.published_outcome import write_after_reading
from worker.mailchimp.answers import Member
from worker.model import AccountId, CustomerId, ListId, MembershipKey, address_key, newest_first
from worker.plan.consent import places_back
from worker.plan.identity import as_read, awaits_confirmation, entry_if_left, is_unconfirmed
from worker.sqlite.database import Database
from worker.sqlite.rows import Rows
from worker.store import accounts, customers, ledger, list_members, readings, strangers
from worker.store.ledger import OUT, LedgerEntry, has_left
from worker.store.strangers import AddressHashes, Listed

Moved = Mapping[MembershipKey, MembershipKey]
"""A member's place to the place where the ledger knows its contact: the person may have changed the address."""


@dataclass(frozen=True, slots=True)
class AccountPage:
    """A page of members, read for an account.

    Attributes:
        at: when, by this machine's clock, as text.
        strangers: whether to record departures of addresses that the ledger does not know on the list.
        moved: contacts that the ledger knows at another address.
        unwritten: entries of earlier pages that are not in the ledger, because nothing may be written.
        hashes: keep in mind who left though no customer has the address; None to keep nothing of them.
    """

    account_id: AccountId
    page: Page
    at: str
    strangers: bool = True
    moved: Moved = field(default_factory=dict)
    unwritten: Mapping[MembershipKey, LedgerEntry] = field(default_factory=dict)
    hashes: AddressHashes | None = None


@dataclass(frozen=True, slots=True)
class PageChanges:
    """What a page of members changes in the ledger.

    Attributes:
        entries: changed ones, and those of customers whose address left a list where nobody was known.
        members: by the place of each entry, the member that it describes.
        unknown: members that were on no earlier page and have no entry.
        left_before: places that somebody was known to have left before.
        listed: the members, as they count for the hashes of strangers.
    """

    entries: list[LedgerEntry]
    members: dict[MembershipKey, Member]
    unknown: int
    left_before: frozenset[MembershipKey]
    listed: list[Listed]

    def departures(self) -> list[LedgerEntry]:
        """Returns the entries that show that somebody left, or is back."""
        return [entry for entry in self.entries if has_left(entry) or entry.membership in self.left_before]


def page_changes(db: Database, read: AccountPage) -> PageChanges:
    """Returns what a page changes."""
    account_id, page, at, moved = read.account_id, read.page, read.at, read.moved
    members = members_of(page)
    places = {*members, *moved.values()}
    there = ledger.entries_of(db, account_id, [place.address for place in places])
    entries = {entry.membership: entry for entry in there if entry.membership in places}
    entries |= {place: read.unwritten[place] for place in places if place in read.unwritten}
    back = _back(db, account_id, members, entries)
    changes, about = list[LedgerEntry](), dict[MembershipKey, Member]()
    for place, member in members.items():
        entry, source = entries.get(place), entries.get(moved[place]) if place in moved else None
        changed = (
            entry_of_member(entry, member, page.answered_at, at, back=place in back) if entry is not None else None
        )
        renamed = entry_of_renamed(source, entry, member, page.answered_at, at) if source is not None else None
        for change in (changed, renamed):
            if change is not None:
                changes.append(change)
                about[change.membership] = member
    left = [place for place, member in members.items() if place not in entries and member.status in OUT]
    owners = _owners(db, account_id, left) if read.strangers else {}
    # The ledger knows the person at the former address, and an opt-out belongs to the new one.
    owners = {place: entries[moved[place]].customer_id for place in left if moved.get(place) in entries} | owners
    seen_at = text_or_none(page.answered_at)
    for place, customer_id in owners.items():
        member = about[place] = members[place]
        changes.append(
            LedgerEntry(
                place,
                customer_id,
                "present",
                "found",
                at,
                member_status=member.status,
                contact_id=member.contact_id,
                seen_at=seen_at,
            )
        )
    met = {*entries, *owners, *moved}
    unknown = sum(_place(page.list_id, member) not in met for member in page.new)
    left_before = frozenset(place for place in about if has_left(entries.get(place)))
    after = entries | {entry.membership: entry for entry in changes}
    return PageChanges(changes, about, unknown, left_before, list(_listed(members, after, met)))


def _listed(
    members: Mapping[MembershipKey, Member],
    entries: Mapping[MembershipKey, LedgerEntry],
    known: Collection[MembershipKey],
) -> Iterator[Listed]:
    for place, member in members.items():
        entry = entries.get(place)
        left = has_left(entry) if entry is not None and entry.state != "intended" else member.status in OUT
        yield Listed(place.address, member.contact_id, member.status == "subscribed", left, place in known)


def _place(list_id: ListId, member: Member) -> MembershipKey | None:
    key = address_key(member.address)
    return MembershipKey(list_id, key) if key is not None else None


def members_of(page: Page) -> dict[MembershipKey, Member]:
    """Returns the members of a page by membership."""
    return {place: member for member in page.members if (place := _place(page.list_id, member)) is not None}


def _back(
    db: Database,
    account_id: AccountId,
    members: Mapping[MembershipKey, Member],
    entries: Mapping[MembershipKey, LedgerEntry],
) -> set[MembershipKey | None]:
    # Members that this worker archived and that are back, where a customer is still known.
    again = [
        place
        for place, member in members.items()
        if place in entries and entries[place].state == "archived" and member.status not in OUT
    ]
    if not again:
        return set()
    return {status.membership for status in ledger.settled_at(db, account_id, {place.address for place in again})}


def entry_of_member(
    entry: LedgerEntry, member: Member, answered_at: datetime | None, at: str, *, back: bool = False
) -> LedgerEntry | None:
    """Returns the new entry of a listed member; None if it is unchanged.

    Args:
        back: whether a customer is known at the place of a member that this worker archived, so that a return counts.
            Elsewhere nobody is affected, and an archive stays one, unless a form waits there: somebody may have left.
    """
    if member.status in OUT:
        return entry_of_departure(entry, member, answered_at, at)
    if entry.intent is not None or entry.state == "intended":
        return None  # doubts are resolved by reading that member alone
    if entry.state == "archived" and not back and not is_unconfirmed(entry, member):
        return None
    return _unless_said(as_read(entry, member, answered_at), entry, at)


def entry_of_departure(entry: LedgerEntry, member: Member, answered_at: datetime | None, at: str) -> LedgerEntry | None:
    """Returns the new entry of a member that left its list; None if it is unchanged.

    Args:
        member: unsubscribed, cleaned or archived.
    """
    if entry.state == "gone" and member.status == "cleaned":
        # A later member's bounce says less than the earlier departure.
        if not awaits_confirmation(entry):
            return None
        seen_at = as_text(answered_at) if answered_at is not None else entry.seen_at
        return _unless_said(replace(entry, member_status=member.status, seen_at=seen_at), entry, at)
    # A write in doubt is resolved by reading that member alone. But the member at the place of an add in doubt has left
    # by now, and may be deleted before that read.
    add = entry.state == "intended" and entry.intent is not None and entry.intent.kind == "add"
    if not add and (entry.intent is not None or entry.state == "intended"):
        return None
    if entry.state == "archived" and member.status == "archived" and entry.last_changed is None:
        return None  # it is unknown who archived it, so it counts as a departure already
    now = entry_if_left(entry, member, answered_at)
    return None if now is None else _unless_said(now, entry, at)


def _unless_said(now: LedgerEntry, entry: LedgerEntry, at: str) -> LedgerEntry | None:
    return None if replace(now, seen_at=entry.seen_at) == entry else replace(now, sent_at=at)


def entry_of_renamed(
    entry: LedgerEntry, there: LedgerEntry | None, member: Member, answered_at: datetime | None, at: str
) -> LedgerEntry | None:
    """Returns the new entry of a place whose member has another address, given by the person.

    Args:
        there: the entry of the new address.
        member: as it was listed, at the new address.

    Returns:
        None if it is unchanged, or if this worker may have changed the address.
    """
    ours = there is not None and (there.intent is not None or there.origin == "added")
    if ours or entry.contact_id != member.contact_id or entry.intent is not None:
        return None
    if entry.state not in ("present", "gone"):
        return None
    seen_at = as_text(answered_at) if answered_at is not None else entry.seen_at
    now = replace(
        entry, state="gone", member_status=member.status, address_now=address_key(member.address), seen_at=seen_at
    )
    return _unless_said(now, entry, at)


def _owners(
    db: Database, account_id: AccountId, memberships: Collection[MembershipKey]
) -> dict[MembershipKey, CustomerId]:
    # Only customers: a list may have thousands of strangers.
    addresses = {membership.address: membership for membership in memberships}
    if not addresses:
        return {}
    owners = {
        status.membership: status.customer_id
        for status in ledger.settled_at(db, account_id, addresses)
        if status.membership is not None and status.membership in memberships
    }
    for customer in reversed(newest_first(customers.by_addresses(db, account_id, addresses))):
        if customer.address is not None and not customer.deleted:
            owners[addresses[customer.address]] = customer.customer_id
    return owners


# Contacts whose address the person changed


@dataclass(slots=True)
class KnownContacts:
    """The contacts that the ledger knows on a list: eight bytes each, loaded when the first member has changed."""

    db: Database
    account_id: AccountId
    _list_id: ListId | None = None
    _hashes: array[int] = field(default_factory=lambda: array("q"))

    def moved(self, page: Page) -> dict[MembershipKey, MembershipKey]:
        """Returns members of a page whose contact the ledger knows at another address, and where."""
        members = {place: member for place, member in members_of(page).items() if member.contact_id is not None}
        if not members:
            return {}
        self._load(page.list_id)
        here = ledger.entries_of(self.db, self.account_id, [place.address for place in members])
        own = {entry.membership: entry.contact_id for entry in here}
        wanted = {
            member.contact_id: place
            for place, member in members.items()
            if member.contact_id is not None and self._count(member.contact_id) > (own.get(place) == member.contact_id)
        }
        if not wanted:
            return {}
        entries = ledger.entries_of_contacts(self.db, self.account_id, page.list_id, wanted)
        return {
            wanted[entry.contact_id]: entry.membership
            for entry in entries
            if entry.contact_id is not None and wanted[entry.contact_id] != entry.membership
        }

    def _load(self, list_id: ListId) -> None:
        if list_id != self._list_id:
            known: Iterable[str] = list_members.contact_ids(self.db, self.account_id, list_id)
            self._hashes = array("q", sorted(array("q", map(hash, known))))
            self._list_id = list_id

    def _count(self, contact_id: str) -> int:
        wanted = hash(contact_id)
        return bisect_right(self._hashes, wanted) - bisect_left(self._hashes, wanted)


# Writing it


@dataclass(slots=True)
class PageWriter:
    """Writes the pages of one account, and how far each reading is.

    Attributes:
        db: for reads.
        reopened: customers who are changed now, because a departure that kept them out has ended.
        hashes: of people who left though no customer has their address.
        write: runs a function in a transaction with the database to write; it returns the rows that it wrote.
    """

    db: Database
    account_id: AccountId
    clock: Clock
    hashes: AddressHashes
    write: Callable[[Callable[[Database], Rows]], None]
    reopened: set[CustomerId] = field(default_factory=set)
    contacts: KnownContacts = field(init=False)

    def __post_init__(self) -> None:
        self.contacts = KnownContacts(self.db, self.account_id)

    def write_page(self, page: Page) -> None:
        """Writes a page, unless it has nobody new and its progress need not be stored."""
        if page.trivial and not page.new:
            return
        at, account_id = as_text(self.clock()), self.account_id
        # If the list belongs to another account now, so do those who leave it from now on.
        ours = page.list_id not in accounts.stored_by_others(self.db, account_id)
        read = AccountPage(account_id, page, at, ours, self.contacts.moved(page), hashes=self.hashes)
        if page.trivial and not page.reading.whole:
            result = page_changes(self.db, read)
            if not (result.entries or any(member.is_stranger_who_left for member in result.listed)):
                return
        self.write(lambda own: write_page(own, read, self.reopened))


def write_page(db: Database, read: AccountPage, reopened: set[CustomerId] | None = None) -> Rows:
    """Writes what a page reveals and how far the reading is, in the caller's transaction.

    Args:
        reopened: gets the customers who are changed now, because a departure that kept them out has ended.
    """
    account_id, page, at, result = read.account_id, read.page, read.at, page_changes(db, read)
    rows: Rows = []
    if ended := ledger.departures_at(db, account_id, places_back(result.entries)):
        back = reopen(db, account_id, ended)
        rows += back.rows
        if reopened is not None:
            reopened |= back.result
    rows += ledger.put_entries(db, account_id, result.entries)
    rows += write_after_reading(db, account_id, result.entries, result.members, at)
    reading, then = page.reading, page.then
    if read.hashes is not None:
        _keep_strangers(db, read.hashes, read, result)
    if reading.whole:
        counts = readings.PageCounts(len(page.new), page.total, len(result.entries), result.unknown)
        readings.put_page(db, account_id, page.list_id, reading, then, counts, at)
    elif then is not None:
        readings.put_departures(db, account_id, page.list_id, then)
    return rows if then is not None else rows + readings.end(db, account_id, page.list_id, reading)


def _keep_strangers(db: Database, hashes: AddressHashes, read: AccountPage, result: PageChanges) -> None:
    page, reading = read.page, read.page.reading
    if not read.strangers:
        return
    strangers.put(db, hashes, page.list_id, result.listed)
    if page.then is None and reading.began_at is not None:
        complete = {"departures": reading.strangers, "contacts": reading.contacts}
        strangers.complete(db, hashes, page.list_id, reading.began_at, **complete)
