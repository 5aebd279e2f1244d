"""Which problem an owner sees, in which order, with which button."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from worker.clock import as_text
from worker.model import AccountId, ListId
from worker.status.account_state import AccountFacts
from worker.store.accounts import AccountList, AccountSettings, Pause
from worker.store.held_counts import HeldCount
from worker.store.run_result import RunResult
from worker.store.runs import AccountRun, LeftOut
from worker.store.waiting import Waiting
from worker.web.pages.problems import ProblemContext, problems_of, set_up
from worker.web.pages.your_data import not_sent

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
WHO = AccountId("acct-1")
CONTEXT = ProblemContext(None, 5, "today at 10:00")


def a_list(list_id: str, **changes: Any) -> AccountList:
    """A stored list."""
    return replace(AccountList(ListId(list_id), list_id.title(), True, 3, False, NOW), **changes)


READY = AccountSettings(
    WHO,
    enabled=True,
    key_hint="c3d4-us1",
    master_list=ListId("all"),
    connected_at=NOW,
    refreshed_at=NOW,
    lists=(a_list("all"), a_list("care")),
)
DONE = AccountRun(WHO, {"added": 3}, 3, 3)


def facts(settings: AccountSettings = READY, waiting: int = 0, **changes: Any) -> AccountFacts:
    """What is stored of an account after a good sync."""
    return AccountFacts(**{"settings": settings, "run": 7, "part": DONE, "waits": Waiting(waiting)} | changes)


def part(ended: RunResult, **counts: int) -> AccountRun:
    """A last sync that left somebody."""
    return replace(DONE, ended=ended, to_do=5, counts=counts)


HELD = (HeldCount(ListId("all"), "departures", 40, as_text(NOW - timedelta(minutes=5))),)
OLD = (replace(HELD[0], shown_at=as_text(NOW - timedelta(hours=3))),)
CASES = {
    "no key": (facts(AccountSettings(WHO)), ["no_key"], "#connection"),
    "key refused": (facts(replace(READY, pause=Pause("API Key Invalid", NOW))), ["key_refused"], "#connection"),
    "other account": (
        facts(replace(READY, lists=(a_list("all", gone_at=NOW), a_list("care", gone_at=NOW)))),
        ["other_account"],
        "#connection",
    ),
    "lists not read": (facts(replace(READY, refreshed_at=None, lists=())), ["lists_not_read"], "/refresh"),
    "no list in Mailchimp": (facts(replace(READY, lists=(), master_list=None)), ["no_list"], "/refresh"),
    "no list stored": (
        facts(replace(READY, lists=(a_list("all", stored=False),), master_list=None)),
        ["no_stored_list"],
        "#lists",
    ),
    "no master list": (facts(replace(READY, master_list=None)), ["no_master_list"], "#lists"),
    "master list gone": (
        facts(replace(READY, lists=(a_list("all", gone_at=NOW), a_list("care")))),
        ["master_list_gone"],
        "#lists",
    ),
    "not enabled": (facts(replace(READY, enabled=False)), ["not_enabled"], "#enable"),
    "list gone": (facts(replace(READY, lists=(a_list("all"), a_list("care", gone_at=NOW)))), ["list_gone"], "#lists"),
    "list gone, and its customers wait": (
        facts(
            replace(READY, lists=(a_list("all"), a_list("care", gone_at=NOW))),
            waiting=2,
            part=part(RunResult.HELD, held=2),
        ),
        ["list_gone"],
        "#lists",
    ),
    "list paused": (
        facts(replace(READY, lists=(a_list("all"), a_list("care", pause=Pause("no", NOW))))),
        ["list_paused"],
        "/resume",
    ),
    "held": (facts(waiting=40, held_counts=HELD, part=part(RunResult.HELD, held=40)), ["held"], "/held"),
    "held long ago": (facts(waiting=40, held_counts=OLD, part=part(RunResult.HELD, held=40)), ["held"], "/sync"),
    "Mailchimp lets nobody in": (
        facts(replace(READY, pause=Pause("Mailchimp accepts no calls for it: User Disabled.", NOW))),
        ["not_let_in"],
        "/resume",
    ),
    "held otherwise": (
        facts(waiting=2, part=part(RunResult.HELD, held=2)),
        ["held_otherwise"],
        "/people?run=7&outcome=held",
    ),
    "incomplete": (facts(waiting=2, part=part(RunResult.INCOMPLETE, later=2)), ["incomplete"], "/sync"),
    "people refused": (facts(part=part(RunResult.DONE, refused=2)), ["refused"], "/people?run=7&group=refused"),
    "first sync to come": (facts(run=None, part=None), ["first_sync"], "/sync"),
    "nothing": (facts(), [], None),
}


@pytest.mark.parametrize("name", CASES)
def test_each_problem_has_its_text_and_one_button(name: str) -> None:
    """What the issue of an account is, and where its button leads."""
    given, codes, to = CASES[name]
    found = problems_of(given, CONTEXT, NOW)
    assert [one.code for one in found] == codes
    assert [one.button.to for one in found] == ([to] if to is not None else [])
    assert all(one.title and one.text.endswith(".") for one in found)


def test_problems_come_before_steps_and_notes() -> None:
    """Kafka away is first, also while an account is being set up."""
    context = replace(CONTEXT, away="The connection has been away since today at 09:00.")
    found = problems_of(facts(replace(READY, enabled=False)), context, NOW)
    assert [(one.code, one.level) for one in found] == [("away", "problem"), ("not_enabled", "step")]


def test_an_account_without_customers_is_told_so() -> None:
    """Before the first customer there is nothing to sync."""
    found = problems_of(facts(run=None, part=None), replace(CONTEXT, customers=0), NOW)
    assert [one.code for one in found] == ["no_customer"]


@pytest.mark.parametrize("name", ["held", "held long ago", "held otherwise", "incomplete"])
def test_a_sync_under_way_leaves_no_problem_of_the_last_one(name: str) -> None:
    """While a sync runs, or begins within seconds, the page asks for nothing that this sync may settle."""
    given, codes, _ = CASES[name]
    assert [one.code for one in problems_of(given, CONTEXT, NOW)] == codes
    assert problems_of(replace(given, delivering=True), CONTEXT, NOW) == []
    assert problems_of(given, replace(CONTEXT, sync_requested=True), NOW) == []


def test_set_up_has_four_steps() -> None:
    """Each is done once what it asks for is there."""
    assert [one.done for one in set_up(AccountSettings(WHO))] == [False] * 4
    assert all(one.done for one in set_up(READY))
    assert [one.done for one in set_up(replace(READY, enabled=False, master_list=None))] == [True, True, False, False]


@pytest.mark.parametrize(
    ("field", "reason", "what", "advice"),
    [
        ("COMPANY", "this list has no such field", "your list has no field COMPANY", "Add a field of the type text"),
        ("ADDRESS", "no city, postcode", "it has no town and postcode", "Complete these addresses"),
        ("PHONE", "the list's field takes US telephone numbers only", "US numbers only", "International"),
        ("FNAME", "cut to 255 characters", "was shortened", "Shorten it"),
        ("MYSTERY", "it is odd", "it is odd", "Check it"),
    ],
)
def test_what_is_not_sent_says_what_to_do(field: str, reason: str, what: str, advice: str) -> None:
    """Each field that did not arrive has a reason and a way out, in plain words."""
    found = not_sent(LeftOut(ListId("all"), field, reason, 12, 662), READY)
    assert "12 of 662 people" in found.sentence
    assert what in found.sentence
    assert advice in found.advice
    assert found.list_name == "All"
