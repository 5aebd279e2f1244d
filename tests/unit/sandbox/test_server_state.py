"""The stand-in as a whole: time, chance, size, threads and what it holds to begin with."""

import threading
from datetime import UTC, datetime

import pytest

from tests.direct_sender import DirectSender
from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import Call
from worker.mailchimp.lists import all_lists
from worker.mailchimp.merge_fields import merge_fields
from worker.mailchimp.user import ROOT
from worker.sandbox.content import ACCOUNTS, seed
from worker.sandbox.faults import Fault
from worker.sandbox.fields import chosen
from worker.sandbox.server_state import StandIn


def now() -> datetime:
    """Returns the same time always."""
    return datetime(2026, 11, 22, 10, tzinfo=UTC)


@pytest.fixture
def seeded() -> StandIn:
    """Returns one with the content to begin with."""
    standin = StandIn(now)
    seed(standin)
    return standin


def held(standin: StandIn) -> dict[str, list[tuple[str, str]]]:
    """Returns each list's members with their status."""
    return {
        one.list_id: [(member.email, member.status) for member in standin.members(one.list_id)]
        for user in standin.users.values()
        for one in user.lists.values()
    }


def test_latency_is_slept_by_the_sleep_that_was_given():
    """The stand-in waits with what it was made with, so that tests wait for nothing."""
    slept: list[float] = []
    standin = StandIn(now, sleep=slept.append)
    DirectSender(standin, "none-us1").send(ROOT)
    standin.latency = 120.0
    DirectSender(standin, "none-us1").send(ROOT)
    assert slept == [120.0]


def test_chance_repeats():
    """With the same seed the same calls meet a fault, with another seed others."""

    def run(seed: int) -> list[int | None]:
        standin = StandIn(now, seed=seed)
        standin.add_key("secret-us1", "owner")
        standin.faults = [Fault("status", chance=0.3)]
        return [DirectSender(standin, "secret-us1").send(ROOT).status for _ in range(200)]

    assert run(1) == run(1) != run(2)
    assert 20 < run(1).count(500) < 100


def test_the_first_fault_that_meets_decides():
    """Faults are asked in their order, and one that met its calls makes way for the next."""
    standin = StandIn(now)
    standin.add_key("secret-us1", "owner")
    standin.faults = [Fault("status", status=503, times=1), Fault("bare", status=403, times=1)]
    answers = [DirectSender(standin, "secret-us1").send(ROOT).status for _ in range(3)]
    assert answers == [503, 403, 200]


def test_threads_share_it():
    """Adds by many threads at once are all there, and none is there twice."""
    standin = StandIn(now)
    standin.add_key("secret-us1", "owner")
    mailing_list = standin.create_list("owner", "l1", "Customers")

    def add(number: int) -> None:
        people = [{"email_address": f"a{n}@example.com", "status": "subscribed"} for n in range(number, number + 50)]
        for one in people:
            DirectSender(standin, "secret-us1").send(Call("POST", "/lists/l1", {}, {"members": [one]}))

    threads = [threading.Thread(target=add, args=(number * 25,)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert mailing_list.count("subscribed") == len(standin.members("l1")) == 225
    assert len(standin.audit.changes) == 225


def test_a_list_is_sorted_once_for_all_its_pages():
    """Reading a large list page by page sorts it once, until something changes."""
    standin = StandIn(now)
    mailing_list = standin.create_list("owner", "l1", "Customers")
    for number in range(100):
        mailing_list.insert(f"a{number}@example.com", "subscribed", {}, "")
    first = mailing_list.ordered("subscribed", "last_changed")
    assert mailing_list.ordered("subscribed", "last_changed") is first
    standin.by_hand("l1", "a0@example.com", "unsubscribe")
    assert [one.email for one in mailing_list.ordered(None, "last_changed")][-1] == "a0@example.com"
    assert len(list(mailing_list.ordered("subscribed", "last_changed"))) == 99


def test_the_content_is_always_the_same(seeded):
    """Seeding twice makes the same lists and members."""
    other = StandIn(now)
    seed(other)
    assert held(seeded) == held(other)


def test_each_account_has_a_key_that_reads_its_lists(seeded):
    """Three accounts have several lists each, by the names and ids that the content tells."""
    assert len(ACCOUNTS) == 3
    for account in ACCOUNTS:
        found = all_lists(DirectSender(seeded, account.api_key))
        assert not isinstance(found, Answer)
        assert {(one.list_id, one.name) for one in found} == {(one.list_id, one.name) for one in account.lists}
        assert len(found) >= 2


def test_the_content_has_every_particular(seeded):
    """There are members of every status, a required field, a list without COMPANY and a US phone."""
    statuses = {status for members in held(seeded).values() for _, status in members}
    assert statuses == {"subscribed", "unsubscribed", "cleaned", "pending", "archived", "transactional"}
    read = [
        found
        for account in ACCOUNTS
        for one in account.lists
        if not isinstance(found := merge_fields(DirectSender(seeded, account.api_key), one.list_id), Answer)
    ]
    assert any(field.required for fields in read for field in fields)
    assert any(field.phone_format == "US" for fields in read for field in fields)
    assert any("COMPANY" not in {field.tag for field in fields} for fields in read)
    assert any(mailing_list.forgotten for user in seeded.users.values() for mailing_list in user.lists.values())


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ({}, {"a": {"b": 1, "c": 2}, "d": [{"e": 3, "f": 4}]}),
        ({"fields": "a.b"}, {"a": {"b": 1}}),
        ({"fields": "d.e, a"}, {"d": [{"e": 3}], "a": {"b": 1, "c": 2}}),
        ({"fields": "none.at.all"}, {}),
        ({"exclude_fields": "a.b,d.f"}, {"a": {"c": 2}, "d": [{"e": 3}]}),
        ({"exclude_fields": "a"}, {"d": [{"e": 3, "f": 4}]}),
        ({"fields": "a", "exclude_fields": "a.c"}, {"a": {"b": 1}}),
    ],
)
def test_parts_of_answers(query, left):
    """Dotted paths choose or leave out parts, within lists too."""
    assert chosen({"a": {"b": 1, "c": 2}, "d": [{"e": 3, "f": 4}]}, query) == left
