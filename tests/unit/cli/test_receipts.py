"""Which receipts are printed, and how."""

from __future__ import annotations

import tracemalloc
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from worker.cli import app
from worker.cli.context import known_account
from worker.cli.output import newest
from worker.cli.receipts import list_receipts, moment_of
from worker.clock import as_text
from worker.errors import NotFound, UsageError
from worker.model import AccountId, AddressKey, CustomerId, ListId
from worker.sqlite.database import Database, open_database
from worker.status.json_data import receipt_data
from worker.store import accounts, dead_letters, receipts
from worker.store.accounts import AccountSettings
from worker.store.dead_letters import DeadLetter
from worker.store.receipts import Receipt

LONDON = ZoneInfo("Europe/London")
ONE = Receipt(
    1, "2026-06-20T09:00:00.000Z", AccountId("acct-1"), CustomerId("ann"), AddressKey("ann@example.com"), 1, "e-1", "t",
    0, 5, ListId("master"), None, "added", "It was added.", "Nothing.",
)  # fmt: skip
OTHER = replace(ONE, run=2, at="2026-06-21T09:00:00.000Z", customer_id=CustomerId("bob"), list_id=ListId("other"))


TIMES = [ONE.at, OTHER.at]
LETTER = DeadLetter("customers", "t", 0, 0, b"acct-1/ann", b"no JSON", (), "It is not JSON.", ONE.at)


@pytest.fixture
def db(db: Database) -> Database:
    """Two receipts of two days, customers and lists, and an account."""
    with db.transaction():
        receipts.write(db, [ONE, OTHER])
        accounts.save(db, AccountSettings(AccountId("acct-1")))
    return db


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ({"since": "2026-06-21T00:00:00.000Z"}, [OTHER]),
        ({"since": ONE.at}, [ONE, OTHER]),
        ({"customer_id": CustomerId("ann")}, [ONE]),
        ({"list_id": ListId("other")}, [OTHER]),
        ({"list_id": ListId("other"), "customer_id": CustomerId("ann")}, []),
    ],
)
def test_receipts_are_chosen_by_time_customer_and_list(db: Database, chosen: dict[str, str], found: list[Receipt]):
    """Each option leaves out the others."""
    assert list(receipts.find(db, **chosen)) == found  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-06-20", "2026-06-19T23:00:00.000Z"),
        ("2026-06-20T10:00", "2026-06-20T09:00:00.000Z"),
        ("2026-06-20T10:00Z", "2026-06-20T10:00:00.000Z"),
    ],
)
def test_a_time_without_a_zone_is_in_the_zone_of_the_daily_flush(text: str, moment: str):
    """A date is the midnight at which it begins there."""
    assert as_text(moment_of(text, LONDON)) == moment


def test_what_is_no_time_is_refused():
    """With an example of what is one."""
    with pytest.raises(UsageError, match="yesterday is not a date or time") as caught:
        moment_of("yesterday", LONDON)
    assert "2026-11-20" in caught.value.advice


def test_names_are_those_of_the_event_contract():
    """So that a program finds the same names in events and receipts."""
    data = receipt_data(ONE)
    assert data.items() >= {"account_id": "acct-1", "customer_id": "ann", "list_id": "master"}.items()
    assert data["email"] == "ann@example.com"
    assert "address" not in data


def test_an_unknown_account_is_refused_with_those_there_are(db: Database):
    """A misspelt account is no account without receipts."""
    assert known_account(db, None) is None
    assert known_account(db, "acct-1") == "acct-1"
    with pytest.raises(NotFound, match="no account acct-9") as caught:
        known_account(db, "acct-9")
    assert caught.value.advice == "Accounts here: acct-1."


@pytest.mark.parametrize(
    "command", [("receipts",), ("receipts", "--csv"), ("receipts", "--json"), ("dead-letters", "list")]
)
@pytest.mark.parametrize("limit", [1, 2])
def test_a_limit_that_leaves_rows_out_is_mentioned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], limit: int
):
    """If there are more than the limit, stderr says so and how to see them; the newest are printed."""
    monkeypatch.setenv("WORKER_CONFIG", "")
    monkeypatch.setenv("WORKER_STAGING__PATH", str(tmp_path / "worker.db"))
    with closing(open_database(tmp_path / "worker.db")) as db, db.transaction():
        receipts.write(db, [ONE, OTHER])
        dead_letters.keep(db, [replace(LETTER, offset=offset, read_at=at) for offset, at in enumerate(TIMES)])
    ended = CliRunner().invoke(app.commands, [*command, "--limit", str(limit)], prog_name="mailchimp-worker")
    assert ended.exit_code == 0
    assert [at for at in TIMES if at in ended.stdout] == TIMES[-limit:]
    more = "Only the newest 1 are shown; there are more. See more: --limit 10\n"
    assert ended.stderr == (more if limit == 1 else "")


def test_memory_does_not_grow_with_the_number_of_receipts(db: Database) -> None:
    """They are read page by page."""
    text = "It was added. " * 50
    with db.transaction():
        receipts.write(db, [replace(ONE, customer_id=CustomerId(str(n)), detail=text) for n in range(10_000)])
    tracemalloc.start()
    try:
        count = sum(1 for _ in receipts.find(db))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 10_002
    assert most < 2_000_000


@pytest.mark.parametrize("form", ["--csv", "--json"])
def test_memory_does_not_grow_with_the_number_of_receipts_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """They are printed row by row, for a spreadsheet and for a program."""
    monkeypatch.setenv("WORKER_CONFIG", "")
    monkeypatch.setenv("WORKER_STAGING__PATH", str(tmp_path / "worker.db"))
    text = "It was added. " * 50
    with closing(open_database(tmp_path / "worker.db")) as db, db.transaction():
        receipts.write(db, [replace(ONE, customer_id=CustomerId(str(n)), detail=text) for n in range(10_000)])
    with (tmp_path / "printed").open("w+") as printed:
        monkeypatch.setattr("sys.stdout", printed)
        tracemalloc.start()
        try:
            list_receipts(None, None, None, None, None, None, None, False, 20_000, form == "--csv", form == "--json")
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        printed.seek(0)
        assert printed.read().count(text) == 10_000
    assert most < 10_000_000


def test_the_newest_are_shown_and_the_rest_is_mentioned(capsys: pytest.CaptureFixture[str]) -> None:
    """Of rows in order, the last ones."""
    assert list(newest(iter("abc"), 3, 2)) == ["b", "c"]
    assert "Only the newest 2 are shown" in capsys.readouterr().err
    assert list(newest(iter("ab"), 2, 2)) == ["a", "b"]
    assert capsys.readouterr().err == ""
