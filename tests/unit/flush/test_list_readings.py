"""Reading who left a list: page by page, from where the last page ended, and what the ledger learns of it."""

from __future__ import annotations

import gc
import tracemalloc
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from tests.unit.flush import build
from worker.clock import as_moment, as_text
from worker.flush.answers import AnswerClass
from worker.flush.identity import same_membership
from worker.flush.learning import KnownContacts, entry_of_departure, entry_of_member, learnt, write_page
from worker.flush.list_readings import ListReadings, start_of
from worker.flush.member_pages import Page, pages, read_list
from worker.mailchimp.call import Answer, Call
from worker.mailchimp.member import Member
from worker.model import AccountId
from worker.store import accounts, departure_reading, ledger, member_reading
from worker.store.accounts import AccountSettings
from worker.store.database import Database, open_database
from worker.store.departure_reading import Reading
from worker.store.intent import Intent
from worker.store.ledger import LedgerEntry

ACCOUNT = AccountId("acct-1")
START = datetime(2026, 11, 1, tzinfo=UTC)
DATE = datetime(2026, 11, 22, 10, tzinfo=UTC)
FIRST = Reading("unsubscribed", None)


@dataclass
class Lists:
    """Answers reads of members as Mailchimp does.

    Attributes:
        left: status to the members that have it: address and second of the last change, in that order.
        later_than: whether "since" leaves out the second itself, which the description does not tell.
        before: called before each answer.
    """

    left: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    later_than: bool = False
    before: Callable[[Lists], None] = lambda lists: None
    calls: list[Call] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def send(self, call: Call) -> Answer:
        """Answers one read."""
        self.calls.append(call)
        self.before(self)
        if self.answers:
            return self.answers.pop(0)
        since = call.query.get("since_last_changed")
        least = (as_moment(since) - START).total_seconds() + self.later_than if since else 0
        left = self.left.get(call.query.get("status", "all"), [])
        first = bisect_left(left, least, key=lambda one: one[1])
        offset = first + int(call.query.get("offset", 0))
        told = [
            _told(one, call.query.get("status", "subscribed"))
            for one in islice(left, offset, offset + int(call.query["count"]))
        ]
        return Answer(200, {"members": told, "total_items": len(left) - first}, date=DATE)


def _told(one: tuple[str, int], status: str) -> dict[str, Any]:
    changed = (START + timedelta(seconds=one[1])).isoformat()
    return {"email_address": one[0], "status": status, "last_changed": changed, "contact_id": f"c-{one[0]}"}


def addresses(found: Sequence[Page]) -> list[str]:
    """All addresses of some pages."""
    return [member.address for page in found for member in page.members]


def read(lists: Lists, start: Reading = FIRST) -> list[Page]:
    """Reads the master list to its end."""
    found: list[Page] = []
    assert read_list(lists, build.MASTER, start, start.since, found.append, lambda seconds: None) is None
    return found


@pytest.fixture
def db() -> Iterator[Database]:
    """A database with one account."""
    made = open_database(":memory:")
    with made.transaction():
        accounts.save(made, build.settings())
    yield made
    made.close()


def chosen(db: Database) -> AccountSettings:
    """The account's settings."""
    found = accounts.find(db, ACCOUNT)
    assert found is not None
    return found


# Pages


@pytest.mark.parametrize("later_than", [False, True])
def test_many_pages_with_seconds_that_many_share_give_everybody(later_than: bool):
    """Everybody who left is read, even if more members changed in one second than a page holds."""
    seconds = [0] * 700 + [1] * 700 + [5] * 2600 + list(range(6, 906)) + [906] * 999
    lists = Lists({"unsubscribed": [(f"a{n}@b.co", second) for n, second in enumerate(seconds)]}, later_than)
    found = read(lists)
    assert set(addresses(found)) == {address for address, _ in lists.left["unsubscribed"]}
    assert max(len(page.members) for page in found) == 1000
    assert len(lists.calls) < 16
    assert found[-1].then is None


def test_each_status_is_read_from_the_same_time():
    """One call tells one status, so there are three for a list on which nobody left."""
    lists = Lists({"archived": [("a@b.co", 5)]})
    start = Reading("unsubscribed", as_text(START))
    found = read(lists, start)
    assert [call.query.get("status", "all") for call in lists.calls] == ["unsubscribed", "cleaned", "archived"]
    assert {call.query["since_last_changed"] for call in lists.calls} == {START.isoformat()}
    assert addresses(found) == ["a@b.co"]
    assert {page.reading.began_at for page in found} == {as_text(DATE)}


def test_nobody_is_passed_over_who_stands_behind_members_that_come_back():
    """Where members of a page before change meanwhile, and all behind them move up, that page is read again."""
    lists = Lists({"unsubscribed": [(f"a{n}@b.co", 5) for n in range(2500)]})

    def some_come_back(one: Lists) -> None:
        if len(one.calls) == 2:
            del one.left["unsubscribed"][:30]

    lists.before = some_come_back
    assert {f"a{n}@b.co" for n in range(30, 2500)} <= set(addresses(read(lists)))


def test_members_that_change_all_the_time_end_the_reading_for_now():
    """A list whose members change before each page is left for the next flush, not read with gaps."""
    lists = Lists({"unsubscribed": [(f"a{n}@b.co", 5) for n in range(2500)]})

    def one_comes_back(one: Lists) -> None:
        if len(one.calls) % 2 == 0:
            one.left["unsubscribed"].pop(0)

    lists.before = one_comes_back
    classified = read_list(lists, build.MASTER, FIRST, None, lambda page: None, lambda seconds: None)
    assert classified is not None
    assert classified.kind is AnswerClass.LATER
    assert len(lists.calls) < 12


@pytest.mark.parametrize(
    ("answers", "kind", "calls"),
    [
        ([Answer(503)], AnswerClass.LATER, 1),
        ([Answer(None, failure="timeout")], AnswerClass.LATER, 1),
        ([Answer(200, {"members": [{"status": "cleaned"}], "total_items": 1}, date=DATE)], AnswerClass.LATER, 1),
        ([Answer(200, {"members": [], "total_items": 3}, date=DATE)], AnswerClass.LATER, 1),
        ([Answer(404)], AnswerClass.LATER, 1),
        ([Answer(404, {"title": "Resource Not Found"}), Answer(200, {"id": "master"})], AnswerClass.LATER, 2),
        ([Answer(404, {"title": "Resource Not Found"}), Answer(503)], AnswerClass.LATER, 2),
        ([Answer(404, {"title": "Resource Not Found"})] * 2, AnswerClass.NOT_THERE, 2),
        ([Answer(401, {"title": "API Key Invalid"})], AnswerClass.ACCOUNT_STOPPED, 1),
    ],
)
def test_a_list_is_gone_only_where_two_answers_say_so(answers: list[Answer], kind: AnswerClass, calls: int):
    """Whatever else comes in place of a page leaves the list for later."""
    lists, waits = Lists(answers=answers), list[float]()
    classified = read_list(lists, build.MASTER, FIRST, None, lambda page: None, waits.append)
    assert classified is not None
    assert (classified.kind, len(lists.calls), len(waits)) == (kind, calls, calls - 1)


def test_a_long_list_of_departures_needs_the_memory_of_a_page():
    """Memory does not grow with the number of those who left."""

    def peak(count: int) -> int:
        lists = Lists({"unsubscribed": [(f"a{n}@b.co", n // 20) for n in range(count)]})
        lists.before = lambda one: one.calls.clear()
        gc.collect()
        tracemalloc.start()
        try:
            seen = sum(isinstance(one, Page) and len(one.members) for one in pages(lists, build.MASTER, FIRST, None))
            assert seen >= count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(20_000) < peak(3_000) * 1.2


# Where a reading begins and ends


def readings(db: Database, lists: Lists, die_after: int | None = None) -> ListReadings:
    """The readings of one flush, which dies after so many pages."""
    kept = 0

    def keep(page: Page) -> None:
        nonlocal kept
        if kept == die_after:
            raise KeyboardInterrupt
        kept += 1
        with db.transaction():
            write_page(db, ACCOUNT, page, build.NOW, strangers=True)

    return ListReadings(db, lists, keep, lambda seconds: None)


def test_a_reading_that_died_goes_on_where_it_was(db: Database):
    """What was written is not read again, and the next reading begins at the time of the first page."""
    lists = Lists({"unsubscribed": [(f"a{n}@b.co", n) for n in range(3500)]})
    with db.transaction():
        ledger.put_entries(db, ACCOUNT, [build.entry(1, "a7@b.co"), build.entry(2, "a3400@b.co")])
    with pytest.raises(KeyboardInterrupt):
        readings(db, lists, die_after=2).read(chosen(db), [build.MASTER])
    assert entry(db, "a7@b.co").member_status == "unsubscribed"
    assert entry(db, "a3400@b.co").member_status == "subscribed"
    assert chosen(db).lists[0].departures_read_at is None
    lists.calls.clear()
    again = readings(db, lists)
    assert again.read(chosen(db), [build.MASTER]) == {}
    assert lists.calls[0].query["since_last_changed"] == (START + timedelta(seconds=1996)).isoformat()
    assert entry(db, "a3400@b.co").member_status == "unsubscribed"
    assert chosen(db).lists[0].departures_read_at == DATE
    assert departure_reading.find(db, ACCOUNT, build.MASTER) is None


def test_the_next_reading_begins_ten_minutes_before_the_last_one(db: Database):
    """Mailchimp's servers may lag a little behind each other."""
    lists = Lists()
    readings(db, lists).read(chosen(db), [build.MASTER])
    lists.calls.clear()
    readings(db, lists).read(chosen(db), [build.MASTER])
    since = (DATE - timedelta(minutes=10)).isoformat()
    assert [call.query["since_last_changed"] for call in lists.calls] == [since] * 3


def test_a_reading_that_another_worker_has_done_since_is_not_gone_on_with(db: Database):
    """What this database remembers of an older reading does not take the time of the last one back."""
    with db.transaction():
        departure_reading.put(db, ACCOUNT, build.MASTER, Reading("archived", None, "2026-11-20T10:00:00.000Z"))
        departure_reading.end(db, ACCOUNT, build.OTHER, None)
        db.execute("UPDATE list SET departures_read_at = '2026-11-21T10:00:00.000Z'")
    reading, base = start_of(db, chosen(db), build.MASTER)
    assert reading == Reading("unsubscribed", "2026-11-21T09:50:00.000Z")
    assert base == reading.since


def test_a_time_that_mailchimp_does_not_tell_is_not_made_up(db: Database):
    """Without a Date header a list is read from the beginning by the next flush too."""
    lists = Lists(answers=[Answer(200, {"members": [], "total_items": 0})] * 3)
    readings(db, lists).read(chosen(db), [build.MASTER])
    assert chosen(db).lists[0].departures_read_at is None


def test_other_lists_are_not_tried_while_mailchimp_says_later(db: Database):
    """One list without an answer stands for all; one that is gone does not."""
    lists = Lists(answers=[Answer(503)])
    found = readings(db, lists)
    found.read(chosen(db), [build.MASTER, build.OTHER])
    assert (len(lists.calls), list(found.not_read())) == (1, ["master", "other"])
    lists = Lists(answers=[Answer(404, {"title": "Resource Not Found"})] * 2)
    found = readings(db, lists)
    assert list(found.read(chosen(db), [build.MASTER, build.OTHER])) == ["master"]
    assert (len(lists.calls), found.not_read()) == (5, {})


# What the ledger learns


def entry(db: Database, email: str) -> LedgerEntry:
    """What the ledger says of a member of the master list."""
    membership = build.membership(email)
    return {one.membership: one for one in ledger.entries_of(db, ACCOUNT, [membership.address])}[membership]


def test_only_what_a_page_changes_is_written_and_strangers_are_not(db: Database):
    """A page of members that the ledger has so already, or that no customer is, writes nothing."""
    known = build.entry(1, "a0@b.co", member_status="unsubscribed", contact_id="c-a0@b.co")
    with db.transaction():
        ledger.put_entries(db, ACCOUNT, [known, build.entry(2, "a1@b.co")])
    lists = Lists({"unsubscribed": [(f"a{n}@b.co", n) for n in range(20)]})
    (page, _, _) = read(lists)
    found = learnt(db, ACCOUNT, page, build.NOW, strangers=True).entries
    assert [(one.membership.address, one.member_status) for one in found] == [("a1@b.co", "unsubscribed")]


def member(status: str, changed: str = "2026-11-22T09:00:00+00:00") -> Member:
    """A member that left."""
    return Member("ann@example.com", status, changed, None, "c1")


ARCHIVED = build.entry(
    state="archived", member_status="archived", status_before="subscribed", contact_id="c1",
    last_changed="2026-11-20T09:00:00+00:00",
)  # fmt: skip


ADD = Intent("add", "2026-11-22T08:00:00.000Z")


@pytest.mark.parametrize(
    ("known", "told", "expected"),
    [
        (build.entry(), member("unsubscribed"), ("present", "unsubscribed")),
        (build.entry(), member("archived"), ("present", "archived")),
        (build.entry(state="gone"), member("unsubscribed"), ("present", "unsubscribed")),
        (build.entry(state="gone"), member("cleaned"), None),
        (build.entry(state="intended"), member("unsubscribed"), None),
        (build.entry(state="intended", intent=ADD), member("unsubscribed"), ("present", "unsubscribed")),
        (build.entry(state="intended", intent=replace(ADD, kind="rename")), member("unsubscribed"), None),
        (ARCHIVED, member("archived", "2026-11-20T09:00:00+00:00"), None),
        (ARCHIVED, member("archived"), ("present", "archived")),
        (ARCHIVED, member("unsubscribed"), ("present", "unsubscribed")),
        (replace(ARCHIVED, last_changed=None, status_before="unsubscribed"), member("archived"), None),
    ],
    ids=[
        "left",
        "by others",
        "gone, there again, and left",
        "gone, and a bounce",
        "intended",
        "add in doubt",
        "rename in doubt",
        "ours",
        "by others since",
        "left since",
        "whose, nobody can tell",
    ],
)
def test_what_a_departure_makes_of_an_entry(known: LedgerEntry, told: Member, expected: tuple[str, str] | None):
    """An archive of this worker's own is none; one that somebody else made after it is."""
    found = entry_of_departure(known, told, DATE, build.NOW)
    assert (found and (found.state, found.member_status)) == expected
    assert found is None or ledger.has_left(found)


BACK = replace(ARCHIVED, state="archived")


@pytest.mark.parametrize(
    ("known", "told", "back", "expected"),
    [
        (build.entry(), member("subscribed"), False, ("present", "subscribed", "added")),
        (build.entry(contact_id="c1"), member("subscribed"), False, None),
        (build.entry(contact_id="c2"), member("subscribed"), False, ("present", "subscribed", "found")),
        (build.entry(member_status="pending"), member("subscribed"), False, ("present", "subscribed", "added")),
        (build.entry(member_status="unsubscribed"), member("subscribed"), False, ("present", "subscribed", "found")),
        (build.entry(state="gone"), member("pending"), False, ("present", "pending", "found")),
        (build.entry(state="intended", intent=ADD), member("subscribed"), False, None),
        (build.entry(intent=replace(ADD, kind="archive")), member("subscribed"), False, None),
        (BACK, member("subscribed"), False, None),
        (BACK, member("subscribed"), True, ("present", "subscribed", "found")),
    ],
    ids=[
        "which contact it is",
        "nothing new",
        "another contact",
        "confirmed",
        "joined again",
        "there again",
        "add in doubt",
        "archive in doubt",
        "back, and nobody is known there",
        "back, where a customer is known",
    ],
)
def test_what_a_member_that_is_there_makes_of_an_entry(
    known: LedgerEntry, told: Member, back: bool, expected: tuple[str, str, str] | None
):
    """Its status and its contact id; who joined by herself counts as found, not as added by this worker."""
    found = entry_of_member(known, told, DATE, build.NOW, back=back)
    assert (found and (found.state, found.member_status, found.origin)) == expected


# An address that the person changed


def renamed(db: Database, entries: list[LedgerEntry], status: str = "subscribed") -> list[LedgerEntry]:
    """What the ledger learns of a page with the contact of a@b.co at the address new@b.co."""
    with db.transaction():
        ledger.put_entries(db, ACCOUNT, entries)
    (page, _) = read(Lists({"all": [("new@b.co", 5)]}), Reading("all", None, whole=True))
    told = replace(page.members[0], contact_id="c-a@b.co", status=status)
    page = replace(page, members=[told], new=[told])
    moved = KnownContacts(db, ACCOUNT).moved(page)
    return learnt(db, ACCOUNT, page, build.NOW, strangers=True, moved=moved).entries


def test_a_member_with_another_address_is_known_by_its_contact_id(db: Database):
    """Its old place is gone, with the new address and the status there: nobody is added again under the old one."""
    (old,) = renamed(db, [build.entry(1, "a@b.co", contact_id="c-a@b.co"), build.entry(2, "c@b.co", contact_id="c2")])
    assert (old.membership.address, old.state, old.address_now, old.member_status) == (
        "a@b.co",
        "gone",
        "new@b.co",
        "subscribed",
    )
    assert ledger.has_left(old)
    assert renamed(db, [old]) == []
    (left,) = renamed(db, [old], "unsubscribed")
    assert left.member_status == "unsubscribed"


@pytest.mark.parametrize(
    "there",
    [
        build.entry(1, "new@b.co", contact_id="c-a@b.co"),
        build.entry(1, "new@b.co", state="intended", intent=Intent("rename", DATE.isoformat())),
    ],
    ids=["done", "in doubt"],
)
def test_a_rename_by_this_worker_is_not_the_persons(db: Database, there: LedgerEntry):
    """Where this worker gave the member its new address, or may have, the old place is left to the step that did."""
    assert renamed(db, [build.entry(1, "a@b.co", contact_id="c-a@b.co"), there]) == []


def test_the_contacts_of_a_list_take_eight_bytes_each(db: Database):
    """A reading of a list with a million members stays small."""
    with db.transaction():
        ledger.put_entries(db, ACCOUNT, [build.entry(n, f"a{n}@b.co", contact_id=f"{n:032x}") for n in range(20_000)])
    (page, _) = read(Lists({"all": [("new@b.co", 5)]}), Reading("all", None, whole=True))
    contacts = KnownContacts(db, ACCOUNT)
    tracemalloc.start()
    try:
        assert contacts.moved(page) == {}
        assert tracemalloc.get_traced_memory()[0] < 20_000 * 20
    finally:
        tracemalloc.stop()


# All members


def test_a_quiet_day_costs_two_reads_a_list(db: Database):
    """All but the archived by one call, the archived by another, both since the last reading but for some minutes."""
    lists = Lists({"all": [(f"a{n}@b.co", n) for n in range(1500)], "archived": [("x@b.co", 9)]})
    readings(db, lists).read(chosen(db), [build.MASTER], whole=True)
    (found,) = member_reading.readings(db)
    assert (found.ended, found.members, found.total, found.unknown) == (True, 1501, 1501, 1501)
    lists.calls.clear()
    lists.left.clear()
    readings(db, lists).read(chosen(db), [build.MASTER], whole=True)
    since = (DATE - timedelta(minutes=10)).isoformat()
    assert [call.query.get("status") for call in lists.calls] == [None, "archived"]
    assert [call.query["since_last_changed"] for call in lists.calls] == [since] * 2
    lists.calls.clear()
    readings(db, lists).read(chosen(db), [build.MASTER])
    assert len(lists.calls) == 2, "a list that was read whole once is never read by three calls again"


def test_the_first_reading_of_all_members_goes_on_where_it_was(db: Database):
    """What was written is not read again, and what was counted is not counted again."""
    lists = Lists({"all": [(f"a{n}@b.co", n) for n in range(3500)]})
    with pytest.raises(KeyboardInterrupt):
        readings(db, lists, die_after=2).read(chosen(db), [build.MASTER], whole=True)
    (found,) = member_reading.readings(db)
    assert (found.ended, found.members, found.total) == (False, 1998, 3500)
    lists.calls.clear()
    readings(db, lists).read(chosen(db), [build.MASTER], whole=True)
    assert lists.calls[0].query["since_last_changed"] == (START + timedelta(seconds=1996)).isoformat()
    assert chosen(db).lists[0].members_read_at == chosen(db).lists[0].departures_read_at == DATE
    (found,) = member_reading.readings(db)
    assert found.ended
    assert 3500 <= found.members <= 3503


def test_where_it_must_only_be_known_who_left_a_first_reading_is_not_of_all(db: Database):
    """A plan or a flush by command reads no million of subscribed members to learn who left."""
    lists = Lists()
    readings(db, lists).read(chosen(db), [build.MASTER])
    assert [call.query.get("status") for call in lists.calls] == ["unsubscribed", "cleaned", "archived"]


def test_who_has_no_address_is_passed_over(db: Database):
    """A contact of text messages alone has an empty one."""
    told = {"email_address": "", "status": "subscribed", "last_changed": START.isoformat(), "contact_id": "c9"}
    lists = Lists(answers=[Answer(200, {"members": [told], "total_items": 1}, date=DATE)])
    assert readings(db, lists).read(chosen(db), [build.MASTER], whole=True) == {}


def test_a_member_that_left_and_is_back_joined_by_herself_whatever_its_times_tell():
    """Mailchimp tells whole seconds: she may have joined in the second of the read that found her archived."""
    seen = build.entry(member_status="archived", contact_id="c1", seen_at="2026-11-22T09:00:00.000Z")
    back = Member("ann@example.com", "subscribed", None, None, "c1", datetime(2026, 11, 22, 9, tzinfo=UTC))
    assert not same_membership(seen, back)
    assert same_membership(replace(seen, member_status="subscribed"), back)


def test_a_member_that_left_and_is_back_joined_by_herself_whatever_its_times_say():
    """Mailchimp's times are whole seconds: she may have joined in the second of the read that found her archived."""
    seen = build.entry(member_status="archived", contact_id="c1", seen_at="2026-11-22T09:00:00.000Z")
    back = Member("ann@example.com", "subscribed", None, None, "c1", datetime(2026, 11, 22, 9, tzinfo=UTC))
    assert not same_membership(seen, back)
    assert same_membership(replace(seen, member_status="subscribed"), back)
