"""Reads: the user, lists and members, page by page, by status, by change, in parts."""

import pytest

from tests.contract.raw import PING
from tests.contract.world import LIST, USER, World, contact
from worker.mailchimp import calls
from worker.mailchimp.calls import Call
from worker.mailchimp.lists import all_lists
from worker.mailchimp.paging import read_all
from worker.model import ListId


def emails(answer) -> list[str]:
    """Returns the names before the @ of the members on a page."""
    return [one["email_address"].split("@")[0] for one in answer.body["members"]]


def add(world: World, *names: str) -> None:
    """Adds members of these names."""
    world.post(*(contact(f"{name}@example.com") for name in names))


def test_ping_and_root(world: World):
    """The answer to a good key greets, and names the key's owner."""
    assert world.sender.send(PING).status == 200
    root = world.get("/")
    assert root.body is not None
    assert root.body["account_id"] == USER


def test_lists_come_ten_a_page_unasked(world: World):
    """Without count a page has ten; the worker's own reading finds all, each once, oldest first."""
    for number in range(24):
        world.standin.create_list(USER, f"list{number:02}", f"List {number}")
    page = world.get("/lists")
    assert page.body is not None
    assert (len(page.body["lists"]), page.body["total_items"]) == (10, 25)
    found = all_lists(world.sender)
    assert isinstance(found, tuple)
    assert [one.list_id for one in found] == [LIST, *(f"list{number:02}" for number in range(24))]


def test_a_list_tells_how_many_it_has(world: World):
    """A list's counts follow its members; an unknown list is not found."""
    add(world, "ann", "bob", "cy")
    world.standin.by_hand(LIST, "cy@example.com", "unsubscribe")
    answer = world.get(f"/lists/{LIST}")
    assert answer.body is not None
    stats = answer.body["stats"]
    assert (stats["member_count"], stats["unsubscribe_count"]) == (2, 1)
    for path in ("/lists/nolist", "/lists/nolist/members", "/lists/nolist/merge-fields"):
        assert (world.get(path).status, world.get(path).title) == (404, "Resource Not Found")


def test_lists_are_made_and_deleted(world: World):
    """A list that is deleted and made again under its id is empty."""
    add(world, "ann")
    world.standin.delete_list(LIST)
    assert world.get(f"/lists/{LIST}").status == 404
    world.standin.create_list(USER, LIST, "Again", marketing_permissions=True)
    answer = world.get(f"/lists/{LIST}/members")
    assert answer.body is not None
    assert answer.body["total_items"] == 0


def test_members_by_status(world: World):
    """A status chooses; without one all but the archived come."""
    add(world, "ann", "bob", "cy", "dot")
    for name, act in (("bob", "unsubscribe"), ("cy", "clean"), ("dot", "archive")):
        world.standin.by_hand(LIST, f"{name}@example.com", act)
    path = f"/lists/{LIST}/members"
    assert emails(world.get(path)) == ["ann", "bob", "cy"]
    for status, name in (("subscribed", "ann"), ("unsubscribed", "bob"), ("cleaned", "cy"), ("archived", "dot")):
        answer = world.get(path, status=status)
        assert answer.body is not None
        assert (emails(answer), answer.body["total_items"]) == ([name], 1)


def test_paging_reads_each_member_once(world: World):
    """Pages by count and offset, put together, are the list."""
    names = [f"a{number}" for number in range(25)]
    add(world, *names)
    path = f"/lists/{LIST}/members"
    pages = [emails(world.get(path, count="10", offset=str(offset))) for offset in (0, 10, 20, 30)]
    assert [len(one) for one in pages] == [10, 10, 5, 0]
    assert [name for one in pages for name in one] == names
    assert len(read_all(world.sender, path, "members", {})) == 25
    none = world.get(path, count="0")
    assert none.body is not None
    assert (none.body["members"], none.body["total_items"]) == ([], 25)


@pytest.mark.parametrize(
    "query",
    [
        {"count": "1001"},
        {"count": "-1"},
        {"offset": "-1"},
        {"count": "many"},
        {"status": "gone"},
        {"sort_field": "email_address"},
        {"since_last_changed": "yesterday"},
    ],
)
def test_pages_that_cannot_be_had(world: World, query):
    """A page has a thousand at most; statuses, orders and times that there are not are refused."""
    assert world.unchecked.send(Call("GET", f"/lists/{LIST}/members", query)).status == 400


def test_members_by_their_last_change(world: World):
    """Sorted by last_changed, those changed last come last, or first; and those changed since a time come alone."""
    add(world, "ann", "bob", "cy")
    since = world.known("cy@example.com").last_changed.isoformat()
    world.patch("ann@example.com", merge_fields={"FNAME": "Ann"})
    path, query = f"/lists/{LIST}/members", {"sort_field": "last_changed"}
    assert emails(world.get(path, **query)) == ["bob", "cy", "ann"]
    assert emails(world.get(path, **query, sort_dir="DESC")) == ["ann", "cy", "bob"]
    assert emails(world.get(path, **query, sort_dir="DESC", count="1", offset="1")) == ["cy"]
    changed = world.get(path, since_last_changed=since)
    assert changed.body is not None
    assert (emails(changed), changed.body["total_items"]) == (["ann", "cy"], 2)
    assert emails(world.get(path, before_last_changed=since)) == ["bob", "cy"]


def test_all_members_are_read_by_two_calls(world: World):
    """One without a status leaves out the archived, whom the other lists; each member comes once, as published."""
    acts = {"ann": (), "bob": ("sign up",), "cy": ("unsubscribe",), "di": ("clean",), "ed": ("archive",)}
    for name, done in acts.items():
        world.become(f"{name}@example.com", *done)
    answers = [world.sender.send(calls.members(ListId(LIST), status, None, 0)) for status in ("all", "archived")]
    assert [emails(one) for one in answers] == [["ann", "bob", "cy", "di"], ["ed"]]
    assert all(one.date is not None for one in answers)


def test_members_by_other_times(world: World):
    """Members are sorted by sign-up and by opt-in too."""
    world.post(contact("ann@example.com", "pending"), contact("bob@example.com"))
    world.standin.by_hand(LIST, "ann@example.com", "confirm")
    path = f"/lists/{LIST}/members"
    assert emails(world.get(path, sort_field="timestamp_signup")) == ["ann", "bob"]
    assert emails(world.get(path, sort_field="timestamp_opt")) == ["bob", "ann"]


def test_lists_newest_first(world: World):
    """Lists are sorted by when they were made, either way."""
    world.standin.create_list(USER, "b1", "Second")
    answer = world.get("/lists", sort_field="date_created", sort_dir="DESC")
    assert answer.body is not None
    assert [one["id"] for one in answer.body["lists"]] == ["b1", LIST]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/ping", 405),
        ("PUT", f"/lists/{LIST}", 405),
        ("GET", "/nowhere", 404),
        ("GET", f"/lists/{LIST}/x", 404),
    ],
)
def test_paths_and_methods_that_there_are_not(world: World, method, path, status):
    """An unknown path is answered with 404, and an unknown method with 405."""
    assert world.unchecked.send(Call(method, path)).status == status


def test_a_list_needs_its_particulars(world: World):
    """A list made without what Mailchimp requires is refused, naming each field that lacks."""
    answer = world.unchecked.send(Call("POST", "/lists", {}, {"name": "New"}))
    assert answer.body is not None
    assert (answer.status, len(answer.body["errors"])) == (400, 4)


def test_a_sorted_page_follows_every_change(world: World):
    """Members are sorted again for the next page after a change of any kind."""
    add(world, "ann", "bob", "cy")
    path, query = f"/lists/{LIST}/members", {"sort_field": "last_changed", "status": "subscribed"}
    assert emails(world.get(path, **query)) == ["ann", "bob", "cy"]
    world.patch("ann@example.com", email_address="ann2@example.com")
    assert emails(world.get(path, **query)) == ["bob", "cy", "ann2"]
    world.standin.by_hand(LIST, "bob@example.com", "forget")
    assert emails(world.get(path, **query)) == ["cy", "ann2"]
    world.delete("cy@example.com")
    assert emails(world.get(path, **query)) == ["ann2"]


def test_parts_of_an_answer(world: World):
    """Only the fields that are asked for come, or all but those that are not wanted."""
    add(world, "ann")
    path = f"/lists/{LIST}/members"
    picked = world.get(path, fields="members.email_address,total_items")
    assert picked.body == {"members": [{"email_address": "ann@example.com"}], "total_items": 1}
    rest = world.get(path, exclude_fields="members.merge_fields,list_id")
    assert rest.body is not None
    assert "list_id" not in rest.body
    assert "merge_fields" not in rest.body["members"][0]
    assert rest.body["members"][0]["status"] == "subscribed"


def test_a_refusal_comes_whole(world: World):
    """A problem document is not cut to the fields that were asked for."""
    assert world.get("/lists/nolist", fields="id").title == "Resource Not Found"
