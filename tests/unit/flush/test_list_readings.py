"""Reads the members of a list page by page, each page from where the last one ended."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Sequence
from datetime import timedelta

import pytest

from tests.unit.flush.mailchimp_lists import ACCOUNT, DATE, FIRST, START, Lists, entry, read
from tests.unit.plan import build
from worker.clock import as_text
from worker.flush.list_readings import Depth, ListReadings, Page, pages, read_fields, read_list
from worker.flush.member_pages import AccountPage, write_page
from worker.flush.members_to_read import MembersToRead, members_to_read
from worker.mailchimp.answers import Answer, AnswerClass
from worker.mailchimp.calls import Call
from worker.model import ListId
from worker.sqlite.database import Database
from worker.store import accounts, ledger, strangers
from worker.store import readings as stored
from worker.store.accounts import AccountSettings
from worker.store.readings import Reading
from worker.store.strangers import AddressHashes

HASHES = AddressHashes(ACCOUNT, b"k" * 32)
MISSING = Answer(404, {"title": "Resource Not Found"})
NO_FIELDS = Answer(200, {"merge_fields": [], "total_items": 0})


def addresses(found: Sequence[Page]) -> list[str]:
    """All addresses of some pages."""
    return [member.address for page in found for member in page.members]


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


@pytest.mark.parametrize("most_total", [0, 900, 1000])
def test_a_full_page_is_not_the_last_even_if_the_total_says_so(most_total: int):
    """A total that is too small passes over nobody."""
    lists = Lists({"unsubscribed": [(f"a{n}@b.co", n // 2) for n in range(2500)]}, most_total=most_total)
    assert len(set(addresses(read(lists)))) == 2500


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
    classified = read_list(lists, MembersToRead(build.MASTER, FIRST, None), lambda page: None, lambda seconds: None)
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
    classified = read_list(lists, MembersToRead(build.MASTER, FIRST, None), lambda page: None, waits.append)
    assert classified is not None
    assert (classified.kind, len(lists.calls), len(waits)) == (kind, calls, calls - 1)


@pytest.mark.parametrize(
    ("second", "kind"), [(MISSING, AnswerClass.NOT_THERE), (Answer(503), AnswerClass.LATER), (NO_FIELDS, None)]
)
def test_a_list_whose_fields_cannot_be_read_is_gone_only_where_two_answers_say_so(
    db: Database, second: Answer, kind: AnswerClass | None
):
    """The fields are asked for again a moment later."""
    answers = {build.MASTER: [MISSING, second], build.OTHER: [NO_FIELDS]}
    waits = list[float]()

    class Sender:
        def send(self, call: Call) -> Answer:
            return answers[ListId(call.path.split("/")[2])].pop(0)

    found = read_fields(Sender(), chosen(db), waits.append)
    assert (len(waits), answers) == (1, {build.MASTER: [], build.OTHER: []})
    assert [classified.kind for classified in found.refused.values()] == [kind] * (kind is not None)
    assert set(found.by_list) == {build.OTHER} | ({build.MASTER} if kind is None else set())


def test_a_long_list_of_departures_needs_the_memory_of_a_page():
    """Memory does not grow with the number of those who left."""

    def peak(count: int) -> int:
        lists = Lists({"unsubscribed": [(f"a{n}@b.co", n // 20) for n in range(count)]})
        lists.before = lambda one: one.calls.clear()
        gc.collect()
        tracemalloc.start()
        try:
            found = pages(lists, MembersToRead(build.MASTER, FIRST, None))
            seen = sum(isinstance(one, Page) and len(one.members) for one in found)
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
            write_page(db, AccountPage(ACCOUNT, page, build.NOW, hashes=HASHES))

    return ListReadings(db, HASHES, lists, keep, lambda seconds: None)


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
    assert stored.find(db, ACCOUNT, build.MASTER, whole=False) is None


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
        stored.put_departures(db, ACCOUNT, build.MASTER, Reading("archived", None, "2026-11-20T10:00:00.000Z"))
        stored.end(db, ACCOUNT, build.OTHER, Reading("archived", None))
        db.execute("UPDATE list SET departures_read_at = '2026-11-21T10:00:00.000Z'")
    [wanted] = members_to_read(db, chosen(db), build.MASTER, HASHES)
    # The other worker's hashes of strangers are not here.
    assert wanted.start == Reading("unsubscribed", None, strangers=True)
    with db.transaction():
        strangers.put(db, HASHES, build.MASTER, [])
        strangers.complete(db, HASHES, build.MASTER, "2026-11-21T10:00:00.000Z", departures=True, contacts=False)
    [wanted] = members_to_read(db, chosen(db), build.MASTER, HASHES)
    assert wanted.start == Reading("unsubscribed", "2026-11-21T09:50:00.000Z", strangers=True)
    assert wanted.base == wanted.start.since


def test_a_time_that_mailchimp_does_not_tell_is_not_made_up(db: Database):
    """Without a Date header a list is read from the beginning by the next flush too."""
    lists = Lists(answers=[Answer(200, {"members": [], "total_items": 0})] * 3)
    readings(db, lists).read(chosen(db), [build.MASTER])
    assert chosen(db).lists[0].departures_read_at is None


def test_other_lists_are_not_tried_once_mailchimp_said_later_for_two(db: Database):
    """One list without an answer does not end the reading of all, and one that is gone does not count."""
    lists = Lists(answers=[Answer(503)] * 2)
    found = readings(db, lists)
    found.read(chosen(db), [build.MASTER, build.OTHER, ListId("spare")])
    assert (len(lists.calls), list(found.not_read())) == (2, ["master", "other", "spare"])
    assert found.not_read()[ListId("spare")] == "not tried after master and other"
    lists = Lists(answers=[Answer(503)])
    found = readings(db, lists)
    found.read(chosen(db), [build.MASTER, build.OTHER])
    assert list(found.not_read()) == ["master"]
    lists = Lists(answers=[Answer(404, {"title": "Resource Not Found"})] * 2)
    found = readings(db, lists)
    assert list(found.read(chosen(db), [build.MASTER, build.OTHER])) == ["master"]
    assert (len(lists.calls), found.not_read()) == (5, {})


# All members


def test_a_quiet_day_costs_two_reads_a_list(db: Database):
    """All but the archived by one call, the archived by another, both since the last reading but for some minutes."""
    lists = Lists({"all": [(f"a{n}@b.co", n) for n in range(1500)], "archived": [("x@b.co", 9)]})
    readings(db, lists).read(chosen(db), [build.MASTER], Depth.ALL_MEMBERS)
    (found,) = stored.of_members(db)
    assert (found.ended, found.members, found.total, found.unknown) == (True, 1501, 1501, 1501)
    lists.calls.clear()
    lists.left.clear()
    readings(db, lists).read(chosen(db), [build.MASTER], Depth.ALL_MEMBERS)
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
        readings(db, lists, die_after=2).read(chosen(db), [build.MASTER], Depth.ALL_MEMBERS)
    (found,) = stored.of_members(db)
    assert (found.ended, found.members, found.total) == (False, 1998, 3500)
    lists.calls.clear()
    readings(db, lists).read(chosen(db), [build.MASTER], Depth.ALL_MEMBERS)
    assert lists.calls[0].query["since_last_changed"] == (START + timedelta(seconds=1996)).isoformat()
    assert chosen(db).lists[0].members_read_at == chosen(db).lists[0].departures_read_at == DATE
    (found,) = stored.of_members(db)
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
    assert readings(db, lists).read(chosen(db), [build.MASTER], Depth.ALL_MEMBERS) == {}
