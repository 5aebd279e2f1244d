"""Which receipts are printed, and how."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from worker.cli.context import known_account
from worker.cli.receipts import moment_of
from worker.clock import as_text
from worker.errors import NotFound, UsageError
from worker.model import AccountId, AddressKey, CustomerId, ListId
from worker.sqlite.database import Database, open_database
from worker.status.json_data import receipt_data
from worker.store import accounts, receipts
from worker.store.accounts import AccountSettings
from worker.store.receipts import Receipt

LONDON = ZoneInfo("Europe/London")
ONE = Receipt(
    1, "2026-06-20T09:00:00.000Z", AccountId("acct-1"), CustomerId("ann"), AddressKey("ann@example.com"), 1, "e-1", "t",
    0, 5, ListId("master"), None, "added", "It was added.", "Nothing.",
)  # fmt: skip
OTHER = replace(ONE, run=2, at="2026-06-21T09:00:00.000Z", customer_id=CustomerId("bob"), list_id=ListId("other"))


@pytest.fixture
def db() -> Iterator[Database]:
    """Two receipts of two days, customers and lists, and an account."""
    made = open_database(":memory:")
    with made.transaction():
        receipts.write(made, [ONE, OTHER])
        accounts.save(made, AccountSettings(AccountId("acct-1")))
    yield made
    made.close()


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
