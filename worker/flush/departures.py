"""Reads who left an account's lists since they were read last, so that a list that is replaced takes no opt-out along.

Each list is read page by page, those that changed first come first, and each page goes on from the last one's time. A
flush writes each page with how far the reading is; a plan only keeps what it would write.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import get_args

from worker.clock import Clock, as_moment, as_text
from worker.consumer.event_order import newest_first
from worker.flush import calls
from worker.flush.answers import UNREADABLE, AnswerClass, ClassifiedAnswer, classify
from worker.flush.customer_outcome import write_after_reading
from worker.flush.identity import departed
from worker.mailchimp.call import Answer, Sender
from worker.mailchimp.member import Member, member_of, total_items
from worker.model import AccountId, AddressKey, CustomerId, ListId, MembershipKey, address_key
from worker.store import customers, departure_reading, ledger, lists
from worker.store.accounts import AccountSettings
from worker.store.changed_rows import Rows
from worker.store.database import Database
from worker.store.departure_reading import DepartedStatus, Reading
from worker.store.ledger import LedgerEntry

STATUSES: tuple[DepartedStatus, ...] = get_args(DepartedStatus)
"""In the order in which they are read."""
OVERLAP = timedelta(minutes=10)
"""How long before the beginning of the last reading the next one begins: Mailchimp's own servers may lag."""
SECOND = timedelta(seconds=1)
SECOND_LOOK = 1.0
"""Seconds to wait before a list is asked for, when a read of its members answered 404."""
MOST_RESTARTS = 3
"""Times that one page is begun again because members before it changed meanwhile."""

_SHIFTED = ClassifiedAnswer(AnswerClass.LATER, "its members changed while they were read")


@dataclass(frozen=True, slots=True)
class Page:
    """Members that left a list, as Mailchimp listed them.

    Attributes:
        date: Mailchimp's time of the answer; None where it gave none.
        began_at: the same of the first page of this reading, as text.
        then: where the reading goes on; None where the list is read to its end.
    """

    list_id: ListId
    members: Sequence[Member]
    date: datetime | None
    began_at: str | None
    then: Reading | None


Keep = Callable[[Page], None]
"""Takes a page before the next one is read."""


def read_list(
    sender: Sender,
    list_id: ListId,
    start: Reading,
    base: str | None,
    keep: Keep,
    wait: Callable[[float], object],
) -> ClassifiedAnswer | None:
    """Reads who left one list.

    Args:
        sender: sends the reads.
        list_id: the list.
        start: where to begin or go on.
        base: the time from which members of each status are read, as text; None for all.
        keep: takes each page.
        wait: waits so many seconds.

    Returns:
        None where it was read to its end; else what prevented it: NOT_THERE only where the list surely is gone.
    """
    for one in pages(sender, list_id, start, base):
        if isinstance(one, Page):
            keep(one)
        elif one.kind is AnswerClass.NOT_THERE:
            wait(SECOND_LOOK)
            again = classify(sender.send(calls.read_list(list_id)))
            return again if again.kind is not AnswerClass.DONE else replace(one, kind=AnswerClass.LATER)
        else:
            return one
    return None


def pages(sender: Sender, list_id: ListId, start: Reading, base: str | None) -> Iterator[Page | ClassifiedAnswer]:
    """Gives the members that left a list page by page; the last one may be what prevented it."""
    reading, position, fresh = start, _Position(), start.began_at is None
    while True:
        call = calls.departures(list_id, reading.status, reading.since, position.offset)
        answer = sender.send(call)
        found = _members(answer)
        if isinstance(found, ClassifiedAnswer):
            yield found
            return
        members, total = found
        if fresh:
            fresh = False
            reading = replace(reading, began_at=as_text(answer.date) if answer.date is not None else None)
        if position.shifted(members):
            if position.restarts >= MOST_RESTARTS:
                yield _SHIFTED
                return
            position = _Position(restarts=position.restarts + 1)
            continue
        if position.offset + len(members) >= total:
            then = _next_status(reading, base)
            position = _Position()
        else:
            last = members[-1].changed if len(members) > 1 else None
            if last is None:
                yield UNREADABLE
                return
            then, position = _further(reading, position, last, members)
        yield Page(list_id, members, answer.date, reading.began_at, then)
        if then is None:
            return
        reading = then


@dataclass(frozen=True, slots=True)
class _Position:
    """Where a page begins among the members since a time.

    Attributes:
        last: the address of the last member of the page before, with which this one must begin.
    """

    offset: int = 0
    last: AddressKey | None = None
    restarts: int = 0

    def shifted(self, members: Sequence[Member]) -> bool:
        """Tells whether members before this page changed meanwhile, so that others may have been passed over."""
        return self.last is not None and (not members or address_key(members[0].address) != self.last)


def _further(
    reading: Reading, position: _Position, last: datetime, members: Sequence[Member]
) -> tuple[Reading, _Position]:
    # From a second before the last one: others may share its second, and Mailchimp may mean "later than".
    since = last - SECOND
    if reading.since is None or since > as_moment(reading.since):
        return replace(reading, since=as_text(since)), _Position()
    # More in one second than a page holds.
    return reading, _Position(position.offset + len(members) - 1, address_key(members[-1].address), position.restarts)


def _next_status(reading: Reading, base: str | None) -> Reading | None:
    rest = STATUSES[STATUSES.index(reading.status) + 1 :]
    return replace(reading, status=rest[0], since=base) if rest else None


def _members(answer: Answer) -> tuple[Sequence[Member], int] | ClassifiedAnswer:
    if not answer.ok:
        return classify(answer)
    told, total = (answer.body or {}).get("members"), total_items(answer)
    if not isinstance(told, list) or total is None:
        return UNREADABLE
    members = [member_of(one) if isinstance(one, dict) else None for one in told]
    found = [one for one in members if one is not None and address_key(one.address) is not None]
    return (found, total) if len(found) == len(told) else UNREADABLE


# What the ledger learns of a page

_NOTHING: Mapping[MembershipKey, LedgerEntry] = MappingProxyType({})


def learnt(
    db: Database,
    account_id: AccountId,
    page: Page,
    at: str,
    *,
    strangers: bool,
    known: Mapping[MembershipKey, LedgerEntry] = _NOTHING,
) -> list[LedgerEntry]:
    """Returns the entries that a page changes, and those of customers whose address left where nobody was known.

    Args:
        db: the staging database.
        account_id: the account.
        page: what was read.
        at: the time now.
        strangers: whether addresses of customers are noted that the ledger does not know on the list.
        known: what was learnt already and is not written.
    """
    members = members_of(page)
    addresses = [membership.address for membership in members]
    entries = {one.membership: one for one in ledger.entries_of(db, account_id, addresses) if one.membership in members}
    entries |= {membership: known[membership] for membership in members if membership in known}
    found = [
        changed
        for membership, entry in entries.items()
        if (changed := entry_of_departure(entry, members[membership], page.date, at)) is not None
    ]
    rest = {membership: one for membership, one in members.items() if membership not in entries}
    if not rest or not strangers:
        return found
    date = as_text(page.date) if page.date is not None else None
    owners = _owners(db, account_id, rest)
    return found + [
        entry_of_stranger(membership, owners[membership], rest[membership], date, at)
        for membership in rest
        if membership in owners
    ]


def members_of(page: Page) -> dict[MembershipKey, Member]:
    """Returns the members of a page by their memberships."""
    return {
        MembershipKey(page.list_id, key): one for one in page.members if (key := address_key(one.address)) is not None
    }


def entry_of_departure(entry: LedgerEntry, member: Member, date: datetime | None, at: str) -> LedgerEntry | None:
    """Returns what the ledger should say of a member that left its list, or None where it says so already.

    Args:
        entry: what it says.
        member: as it was read: unsubscribed, cleaned or archived.
        date: Mailchimp's time of the answer.
        at: the time now, by this machine's clock.
    """
    # A write in doubt is found out by a read of that member alone; who is gone left already. But who is at the
    # place of an add in doubt has left by now, and may be deleted before that read.
    add = entry.state == "intended" and entry.intent is not None and entry.intent.kind == "add"
    if entry.state == "gone" or (not add and (entry.intent is not None or entry.state == "intended")):
        return None
    if entry.state == "archived" and member.status == "archived" and entry.last_changed is None:
        return None  # it is not known whose archive it is, so it counts as one who left already
    now = departed(entry, member, date)
    if now is None or replace(now, seen_at=entry.seen_at) == entry:
        return None
    return replace(now, sent_at=at)


def entry_of_stranger(
    membership: MembershipKey, customer_id: CustomerId, member: Member, date_text: str | None, at: str
) -> LedgerEntry:
    """Returns the entry for a customer's address that left a list where this worker knew nobody with it."""
    return LedgerEntry(
        membership=membership,
        customer_id=customer_id,
        state="present",
        origin="found",
        sent_at=at,
        member_status=member.status,
        contact_id=member.contact_id,
        seen_at=date_text,
    )


def _owners(
    db: Database, account_id: AccountId, memberships: Collection[MembershipKey]
) -> dict[MembershipKey, CustomerId]:
    # Only customers: a list may have thousands of strangers.
    addresses = {membership.address: membership for membership in memberships}
    owners = {
        one.membership: one.customer_id
        for one in ledger.settled_at(db, account_id, addresses)
        if one.membership is not None and one.membership in memberships
    }
    for customer in reversed(newest_first(customers.by_addresses(db, account_id, addresses))):
        if customer.address is not None and not customer.deleted:
            owners[addresses[customer.address]] = customer.customer_id
    return owners


# All lists that must be read


def start_of(db: Database, settings: AccountSettings, list_id: ListId) -> tuple[Reading, str | None]:
    """Returns where the reading of a list begins or goes on, and the time from which its departures are not known."""
    on_list = settings.list_of(list_id)
    read_at = on_list.departures_read_at if on_list is not None else None
    base = as_text(read_at - OVERLAP) if read_at is not None and read_at > _FIRST else None
    return departure_reading.find(db, settings.account_id, list_id) or Reading(STATUSES[0], base), base


def read_at(settings: AccountSettings) -> dict[ListId, str]:
    """Returns when the last whole reading of each list's departures began, as text."""
    known = (one for one in settings.lists if not one.departures_lost)
    return {one.list_id: as_text(one.departures_read_at) for one in known if one.departures_read_at}


_FIRST = datetime.min.replace(tzinfo=UTC) + OVERLAP


@dataclass(slots=True)
class Departures:
    """The readings of one account in one flush, or in one plan.

    Attributes:
        keep: takes each page.
        done: lists that were read, or that could not be.
        refused: what prevented it, of these.
    """

    db: Database
    sender: Sender
    keep: Keep
    wait: Callable[[float], object]
    done: set[ListId] = field(default_factory=set)
    refused: dict[ListId, ClassifiedAnswer] = field(default_factory=dict)

    def read(self, settings: AccountSettings, wanted: Collection[ListId]) -> dict[ListId, ClassifiedAnswer]:
        """Reads who left lists that were not read yet; returns what prevented which.

        Once Mailchimp says "later", or accepts no call of the account, no other list is tried.
        """
        refused: dict[ListId, ClassifiedAnswer] = {}
        classified: ClassifiedAnswer | None = None
        for list_id in sorted(set(wanted) - self.done):
            if classified is None or classified.kind not in (AnswerClass.LATER, AnswerClass.ACCOUNT_STOPPED):
                start, base = start_of(self.db, settings, list_id)
                classified = read_list(self.sender, list_id, start, base, self.keep, self.wait)
            if classified is not None:
                refused[list_id] = classified
            self.done.add(list_id)
        self.refused |= refused
        return refused

    def not_read(self) -> dict[ListId, str]:
        """Returns the lists of which nothing is known now, though they may be there, and why."""
        return {
            list_id: classified.title
            for list_id, classified in self.refused.items()
            if classified.kind not in (AnswerClass.NOT_THERE, AnswerClass.ACCOUNT_STOPPED)
        }

    def notices(self) -> list[str]:
        """Returns a sentence for each list that could not be read."""
        return [
            f"Who left list {list_id} could not be read: {why}. Nobody moves off it in this flush; the next one reads "
            "it again."
            for list_id, why in sorted(self.not_read().items())
        ]


def keep_page(
    db: Database, account_id: AccountId, clock: Clock, write: Callable[[Callable[[Database], Rows]], None], page: Page
) -> None:
    """Writes a page that was read, unless it is one of few members and changes nothing: that is soon read again.

    Args:
        db: for reads.
        account_id: the account.
        clock: returns the time.
        write: carries out a function in a transaction, with the database to write; it returns which rows it wrote.
        page: what was read.
    """
    at = as_text(clock())
    # A list of another account by now: its strangers are that one's.
    strangers = page.list_id not in lists.stored_by_others(db, account_id)
    trivial = page.then is not None and len(page.members) < calls.PAGE
    if not trivial or learnt(db, account_id, page, at, strangers=strangers):
        write(lambda own: write_page(own, account_id, page, at, strangers=strangers))


def write_page(db: Database, account_id: AccountId, page: Page, at: str, *, strangers: bool) -> Rows:
    """Writes what a page says and how far the reading is. Belongs in a transaction."""
    entries = learnt(db, account_id, page, at, strangers=strangers)
    rows = ledger.put_entries(db, account_id, entries)
    rows += write_after_reading(db, account_id, entries, members_of(page), at)
    if page.then is None:
        return rows + departure_reading.end(db, account_id, page.list_id, page.began_at)
    departure_reading.put(db, account_id, page.list_id, page.then)
    return rows
