"""What the ledger learns of the members of a page: who left, who is there, and whose address the person changed."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest

from tests.unit.flush.mailchimp_lists import ACCOUNT, DATE, Lists, read
from tests.unit.plan import build
from worker.flush.member_pages import AccountPage, KnownContacts, entry_of_departure, entry_of_member, page_changes
from worker.mailchimp.answers import Member
from worker.sqlite.database import Database
from worker.store import ledger
from worker.store.ledger import Intent, LedgerEntry
from worker.store.readings import Reading


def test_only_what_a_page_changes_is_written_and_strangers_are_not(db: Database):
    """A page of members that the ledger has so already, or that no customer is, writes nothing."""
    known = build.entry(1, "a0@b.co", member_status="unsubscribed", contact_id="c-a0@b.co")
    with db.transaction():
        ledger.put_entries(db, ACCOUNT, [known, build.entry(2, "a1@b.co")])
    lists = Lists({"unsubscribed": [(f"a{n}@b.co", n) for n in range(20)]})
    (page, _, _) = read(lists)
    found = page_changes(db, AccountPage(ACCOUNT, page, build.NOW)).entries
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
        (build.entry(state="gone"), member("subscribed"), False, ("present", "subscribed", "found")),
        (build.entry(state="gone"), member("pending"), False, ("gone", "pending", "found")),
        (build.entry(member_status="unsubscribed"), member("pending"), False, ("gone", "pending", "found")),
        (build.entry(member_status="subscribed"), member("pending"), False, ("gone", "pending", "found")),
        (build.entry(member_status="pending", contact_id="c1"), member("pending"), False, None),
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
        "a form after it was gone",
        "a form after it left",
        "a form after it left unseen",
        "still to be confirmed",
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
    return page_changes(db, AccountPage(ACCOUNT, page, build.NOW, moved=moved)).entries


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
    left, there = renamed(db, [old], "unsubscribed")
    assert (left.membership.address, left.member_status) == ("a@b.co", "unsubscribed")
    assert (there.membership.address, there.member_status) == ("new@b.co", "unsubscribed")


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
