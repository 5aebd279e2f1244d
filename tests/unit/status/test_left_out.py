"""How people read which fields were not sent."""

from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime

from worker.fields.merge_values import LeftOutCounts
from worker.model import AccountId, ListId
from worker.sqlite.database import open_database
from worker.status.left_out import sentences
from worker.store import runs
from worker.store.accounts import AccountList, AccountSettings
from worker.store.run_result import RunResult
from worker.store.runs import AccountRun, LeftOut

AT = datetime(2026, 11, 22, 10, tzinfo=UTC)
ONE, TWO = ListId("a1b2c3d4e5"), ListId("f6a7b8c9d0")


def counts(before: LeftOutCounts | None = None) -> LeftOutCounts:
    """Of two lists, added to those before."""
    found = before.copy() if before is not None else LeftOutCounts()
    for _ in range(2):
        found.count(ONE, {"ADDRESS": "no city", "COMPANY": "this list has no such field"})
    found.count(ONE, {"FNAME": "cut to 255 characters"})
    found.count(TWO, {})
    return found


def test_a_line_for_each_list_says_what_was_left_out_and_why():
    """Each field with the contacts that it was left out of; a list without any has no line."""
    settings = AccountSettings(AccountId("acct-1"), lists=(AccountList(ONE, "Customers", True, 5, False, AT),))
    assert sentences(counts(counts()).rows(), settings) == [
        "list Customers (a1b2c3d4e5): ADDRESS not sent for 4 of 6: no city; COMPANY: this list has no such field "
        "(4 of 6); FNAME cut to 255 characters for 2 of 6."
    ]


def test_a_run_keeps_what_it_left_out():
    """It is read as it was written, and programs get it by list, field and reason."""
    found = counts().rows()
    with closing(open_database(":memory:")) as db:
        with db.transaction():
            run = runs.start(db, "2026-11-22T10:00:00Z", "daily", None)
            runs.put_account(db, run, AccountRun(AccountId("acct-1"), {}, 3, 3, RunResult.DONE, left_out=found))
        kept = runs.last_parts(db)[AccountId("acct-1")][1].left_out
    assert kept == found
    assert kept[0] == LeftOut(ONE, "ADDRESS", "no city", 2, 3)
    assert asdict(kept[0]) == {"list_id": ONE, "field": "ADDRESS", "reason": "no city", "contacts": 2, "of": 3}
