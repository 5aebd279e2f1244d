"""Which customers `explain` shows for an address."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from worker.explain import Explanation, explanations_of
from worker.model import AccountId, AddressKey, CustomerId, ListId, MembershipKey
from worker.store import ledger
from worker.store.database import Database, open_database
from worker.store.ledger import CustomerStatus, LedgerEntry

ACCOUNT, OTHER = AccountId("acct-1"), AccountId("acct-2")
ANN = AddressKey("ann@example.com")
DUE = datetime(2026, 11, 22, 10, tzinfo=UTC)
AT = "2026-11-22T10:00:00.000Z"


@pytest.fixture
def db() -> Iterator[Database]:
    """A database that was recreated: it has the ledger from Kafka, no receipt, and no event of these customers."""
    made = open_database(":memory:")
    with made.transaction():
        ledger.put_entries(made, ACCOUNT, [entry("cus-1", ANN, status="unsubscribed")])
        ledger.put_customer_statuses(
            made, OTHER, [CustomerStatus(CustomerId("cus-2"), MembershipKey(ListId("master"), ANN))]
        )
        ledger.put_customer_statuses(made, OTHER, [CustomerStatus(CustomerId("cus-3"), None, "Invalid Resource", ANN)])
    yield made
    made.close()


def entry(customer_id: str, address: AddressKey, status: str) -> LedgerEntry:
    """What the ledger says of a member of the list ``master``."""
    membership = MembershipKey(ListId("master"), address)
    return LedgerEntry(membership, CustomerId(customer_id), "present", "added", AT, member_status=status)


def people(found: list[Explanation]) -> list[tuple[str, str]]:
    """Whose explanations they are."""
    return [(one.account_id, one.customer_id) for one in found]


def test_whom_only_the_ledger_knows_has_an_explanation(db: Database) -> None:
    """By an entry, a place or a refusal, in all accounts or in one."""
    assert people(explanations_of(db, ANN, None, DUE)) == [(ACCOUNT, "cus-1"), (OTHER, "cus-2"), (OTHER, "cus-3")]
    (one,) = explanations_of(db, ANN, ACCOUNT, DUE)
    assert (one.customer, list(one.receipts)) == (None, [])
    assert [(each.membership.address, each.member_status) for each in one.entries] == [(ANN, "unsubscribed")]
    assert one.next == "Nothing: the worker no longer knows this customer."


def test_an_explanation_shows_all_memberships_of_the_customer(db: Database) -> None:
    """Also those under other addresses, which no receipt tells of any more."""
    with db.transaction():
        ledger.put_entries(db, ACCOUNT, [entry("cus-1", AddressKey("lee@example.com"), status="subscribed")])
    (one,) = explanations_of(db, ANN, ACCOUNT, DUE)
    assert [each.membership.address for each in one.entries] == [ANN, "lee@example.com"]


def test_who_is_known_nowhere_has_no_explanation(db: Database) -> None:
    """Nothing is made up of an address that neither events, receipts nor the ledger have."""
    assert explanations_of(db, AddressKey("bob@example.com"), None, DUE) == []
