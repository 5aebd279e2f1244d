"""Counts over all accounts."""

from __future__ import annotations

import itertools
import os
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from worker.accounts.settings import missing
from worker.model import AccountId, ListId
from worker.sqlite.database import Database, open_database
from worker.status.account_state import AccountFacts, state_of
from worker.store import accounts, customers, held_counts, marking, runs, totals, waiting
from worker.store.accounts import AccountList, AccountSettings, Pause
from worker.store.held_counts import HeldCount

AT = datetime(2026, 11, 22, 10, tzinfo=UTC)
NEXT = "2026-11-23T10:00:00.000Z"


def stage(db: Database, *staged: tuple[str, str]) -> None:
    """Stages customers of one account, each with a time of day."""
    rows = [("a", who, None, None, 0, None, None, None, "t", "id", 0, 1, f"2026-11-22T{at}Z") for who, at in staged]
    with db.transaction():
        customers.stage(db, rows)


def test_an_account_is_ready_just_where_nothing_is_missing(db: Database) -> None:
    """For every combination of what it may lack; in the order in which status looks."""
    expected: dict[str, int] = dict.fromkeys(totals.ACCOUNT_STATES, 0)
    choices = itertools.product([True, False], [None, "hint"], [None, "master", "other"], [True, False], [True, False])
    for number, (enabled, hint, master, stored, paused) in enumerate(choices):
        who = AccountId(f"acct-{number}")
        own = AccountList(ListId(f"master-{number}"), "Master", stored, 0, False, AT)
        settings = AccountSettings(
            who,
            enabled=enabled,
            key_hint=hint,
            master_list=ListId(f"{master}-{number}") if master else None,
            pause=Pause("why", AT) if paused else None,
            lists=(own, replace(own, list_id=ListId(f"other-{number}"), stored=True, gone_at=AT)),
        )
        with db.transaction():
            accounts.save(db, settings)
        known = state_of(AccountFacts(settings), AT).state
        expected["ready" if not missing(settings) else known.replace(" ", "_")] += 1
    assert totals.accounts_by_state(db) == expected
    assert min(expected.values()) > 0


def test_lists_are_counted_where_they_are_stored(db: Database) -> None:
    """Those that a refresh only found are nobody's concern."""
    made = [AccountList(ListId(f"l{n}"), "List", n > 0, 0, False, AT) for n in range(4)]
    with db.transaction():
        accounts.save(db, AccountSettings(AccountId("a"), lists=tuple(made)))
        accounts.mark_list_gone(db, AccountId("a"), ListId("l1"), AT)
        accounts.pause_list(db, AccountId("a"), ListId("l2"), Pause("why", AT))
    assert totals.lists_by_state(db) == {"ready": 1, "paused": 1, "gone": 1}


def test_what_the_brake_holds_is_added_up(db: Database) -> None:
    """Over accounts and lists, each kind for itself."""
    with db.transaction():
        for who in ("a", "b"):
            kept = [HeldCount(ListId("l1"), "departures", 20), HeldCount(ListId("l2"), "departures", 3)]
            held_counts.show(db, AccountId(who), kept, "now")
    assert totals.held(db) == {"departures": 46, "moves": 0}


def test_a_flush_of_one_account_or_one_that_failed_is_no_success(db: Database) -> None:
    """Neither is one that is not over, or a second try; one after which somebody must look went through."""
    assert totals.last_flushes(db) == (None, None)
    with db.transaction():
        for number, (trigger, account, ended) in enumerate(
            [
                ("daily", None, "done"),
                ("command", None, "done"),
                ("command", "a", "done"),
                ("retry", None, "done"),
                ("daily", None, "held"),
                ("daily", None, "failed"),
                ("daily", None, "stopped"),
            ]
        ):
            run = runs.start(db, "then", trigger, account)  # type: ignore[arg-type]
            runs.end(db, run, f"2026-11-2{number}", ended)  # type: ignore[arg-type]
        runs.start(db, "then", "daily", None)
    assert totals.last_flushes(db) == ("2026-11-21", "2026-11-24")


@pytest.mark.parametrize("page", [1, 2, 3, 100])
def test_the_oldest_change_that_waits_is_found_page_by_page(db: Database, page: int) -> None:
    """Whatever the size of a page: in the end it is the oldest of all, and one that is settled is forgotten again."""
    oldest = totals.OldestWaiting(page)

    def after_all_pages() -> str | None:
        for _ in range(10):
            found = oldest.look(db, NEXT)
        return found

    assert after_all_pages() is None
    stage(db, ("one", "12:00"), ("two", "09:00"), ("three", "11:00"))
    assert waiting.count(db, NEXT) == 3
    assert after_all_pages() == "2026-11-22T09:00Z"
    with db.transaction():
        customers.settle(db, AccountId("a"), [("two", 1)])  # type: ignore[list-item]
    assert after_all_pages() == "2026-11-22T11:00Z"


def test_a_customer_that_is_looked_at_again_waits_since_then(db: Database) -> None:
    """Its event may be years old."""
    stage(db, ("one", "12:00"))
    with db.transaction():
        customers.settle(db, AccountId("a"), [("one", 1)])  # type: ignore[list-item]
        marking.mark_changed(db, AccountId("a"), None)
    found = totals.OldestWaiting().look(db, NEXT)
    assert found is not None
    assert abs((datetime.fromisoformat(found) - datetime.now(UTC)).total_seconds()) < 600


def test_a_database_is_writable_also_while_somebody_writes(tmp_path) -> None:
    """A lock is no fault of the disk; a file that may not be written is."""
    path = tmp_path / "x.db"
    with closing(open_database(path)) as one, closing(open_database(path)) as other:
        one.must_end = lambda: True
        assert totals.why_not_writable(one) is None
        with other.transaction():
            assert totals.why_not_writable(one) is None
        one.execute("PRAGMA query_only = ON")
        assert "readonly" in (totals.why_not_writable(one) or "")


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"f_bavail": 3, "f_frsize": 4096}, "is full: 12 KiB are free"), ({"f_flag": os.ST_RDONLY}, "is read-only")],
)
def test_a_database_on_a_full_or_read_only_disk_is_not_writable(tmp_path, monkeypatch, changes, why) -> None:
    """Whatever room its write-ahead log has for a small write: the next batch does not fit."""
    with closing(open_database(tmp_path / "x.db")) as db:
        assert totals.why_not_writable(db) is None
        disk = {"f_bavail": 1 << 30, "f_frsize": 4096, "f_flag": 0} | changes
        monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(**disk))
        assert why in (totals.why_not_writable(db) or "")
