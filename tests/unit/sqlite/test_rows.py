"""Dataclasses to rows and back."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime

import pytest

from worker.model import AccountId, AddressKey, CustomerId, ListId, MembershipKey
from worker.sqlite.database import open_database
from worker.sqlite.rows import from_json, json_bytes, json_text
from worker.store import accounts, ledger, receipts
from worker.store.accounts import AccountList, AccountSettings, Pause
from worker.store.ledger import CustomerStatus, Intent, LedgerEntry
from worker.store.receipts import Receipt

ACCOUNT, CUSTOMER, AT = AccountId("acct-1"), CustomerId("cus-1"), datetime(2026, 11, 22, 10, tzinfo=UTC)
PLACE = MembershipKey(ListId("master"), AddressKey("ann@example.com"))


@pytest.mark.parametrize(
    "entry",
    [
        LedgerEntry(PLACE, CUSTOMER, "gone", "found", "a", customer_since="a"),
        LedgerEntry(PLACE, CUSTOMER, "present", "added", "a", {"FNAME": "ä"}, "subscribed", "cleaned", "b", "c1", "d",
                    Intent("rename", "e", source=PLACE), False, "f"),
    ],
    ids=["nothing known", "everything known"],
)  # fmt: skip
def test_an_entry_is_read_as_it_was_written(entry: LedgerEntry) -> None:
    """Each field, known or not."""
    with closing(open_database(":memory:")) as db:
        ledger.put_entries(db, ACCOUNT, [entry])
        assert ledger.entries_of_customer(db, ACCOUNT, CUSTOMER) == [entry]


@pytest.mark.parametrize(
    "status",
    [
        CustomerStatus(CUSTOMER),
        CustomerStatus(CUSTOMER, PLACE, "Fake", PLACE.address, 3, "2026-11-22T10:00:00Z", CustomerId("cus-2")),
    ],
    ids=["nothing known", "everything known"],
)
def test_a_status_is_read_as_it_was_written(status: CustomerStatus) -> None:
    """Each field, known or not, also over another one."""
    with closing(open_database(":memory:")) as db:
        for one in (CustomerStatus(CUSTOMER, PLACE, "Invalid Resource"), status):
            ledger.put_customer_statuses(db, ACCOUNT, [one])
        assert ledger.customer_statuses_of(db, ACCOUNT, [CUSTOMER]) == [status]


@pytest.mark.parametrize("known", [True, False])
def test_settings_are_read_as_they_were_written(known: bool) -> None:
    """Each field of an account and of its list, known or not."""
    pause = Pause("why", AT) if known else None
    one = AccountList(ListId("master"), "Mäster", known, 5, known, AT, AT if known else None, pause)
    wanted = AccountSettings(ACCOUNT, lists=(one,))
    if known:
        wanted = AccountSettings(
            ACCOUNT, True, "-us1", ListId("master"), "pending", AT, AT, pause, (one,), None, AT, {ListId("master"): 7}
        )
    with closing(open_database(":memory:")) as db:
        accounts.save(db, wanted)
        accounts.save(db, wanted)
        assert accounts.find(db, ACCOUNT) == wanted


@pytest.mark.parametrize("known", [True, False])
def test_a_receipt_is_read_as_it_was_written(known: bool) -> None:
    """Each field, known or not; what was sent and answered as JSON."""
    wanted = Receipt(1, "a", ACCOUNT, CUSTOMER, None, 2, None, "t", 0, 7, None, None, "added", "why", "then")
    if known:
        call = "PUT /x", {"FNAME": "Ännchen"}, 200, {"id": "x"}
        wanted = Receipt(
            1,
            "a",
            ACCOUNT,
            CUSTOMER,
            PLACE.address,
            2,
            "e",
            "t",
            0,
            7,
            PLACE.list_id,
            "x",
            "added",
            "why",
            "then",
            *call,
        )
    with closing(open_database(":memory:")) as db:
        receipts.write(db, [wanted])
        assert list(receipts.find(db)) == [wanted]


def test_every_character_is_written_as_json_writes_it() -> None:
    """The key of a record is the same bytes as an earlier release wrote, so that compaction keeps one of them."""
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
    plainly = json.dumps(["place", everything], ensure_ascii=False, separators=(",", ":")).encode()
    assert json_bytes(["place", everything]) == plainly


def test_half_a_surrogate_pair_is_read_where_an_earlier_release_escaped_it() -> None:
    """Such a row can be read as before; and none is written."""
    assert from_json(r'["\ud800"]') == ["\ud800"]
    with pytest.raises(UnicodeEncodeError):
        json_text(["\ud800"])


def test_what_is_no_json_is_no_value() -> None:
    """Text that is no JSON raises ValueError, as ``json`` does."""
    for text in ("", "{", "[1,]"):
        with pytest.raises(ValueError, match=r"Expecting|Illegal"):
            from_json(text)
