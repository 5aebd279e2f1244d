"""Which customers `explain` shows for an address."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from unittest.mock import Mock

import pytest

from worker.mailchimp.answers import Answer
from worker.model import AccountId, AddressKey, Customer, CustomerId, CustomerState, ListId, MembershipKey, Position
from worker.sqlite.database import Database
from worker.status.explanation import (
    Explanation,
    event_name,
    explanations_of,
    letters_naming,
    read_live_member,
    what_is_next,
)
from worker.store import customer_outcomes, dead_letters, ledger, receipts
from worker.store.accounts import AccountList, AccountSettings
from worker.store.customer_outcomes import CustomerOutcome
from worker.store.dead_letters import DeadLetter
from worker.store.ledger import CustomerStatus, LedgerEntry
from worker.store.receipts import Receipt

ACCOUNT, OTHER = AccountId("acct-1"), AccountId("acct-2")
ANN = AddressKey("ann@example.com")
DUE = datetime(2026, 11, 22, 10, tzinfo=UTC)
AT = "2026-11-22T10:00:00.000Z"


@pytest.fixture
def db(db: Database) -> Database:
    """A database that was recreated: it has the ledger from Kafka, no receipt, and no event of these customers."""
    with db.transaction():
        ledger.put_entries(db, ACCOUNT, [entry("cus-1", ANN, status="unsubscribed")])
        ledger.put_customer_statuses(
            db, OTHER, [CustomerStatus(CustomerId("cus-2"), MembershipKey(ListId("master"), ANN))]
        )
        ledger.put_customer_statuses(db, OTHER, [CustomerStatus(CustomerId("cus-3"), None, "Invalid Resource", ANN)])
    return db


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
    assert one.next_step().sentence == "Nothing: the worker no longer knows this customer."


def test_an_explanation_shows_all_memberships_of_the_customer(db: Database) -> None:
    """Also those under other addresses, which no receipt tells of any more."""
    with db.transaction():
        ledger.put_entries(db, ACCOUNT, [entry("cus-1", AddressKey("lee@example.com"), status="subscribed")])
    (one,) = explanations_of(db, ANN, ACCOUNT, DUE)
    assert [each.membership.address for each in one.entries] == [ANN, "lee@example.com"]


def test_who_is_known_nowhere_has_no_explanation(db: Database) -> None:
    """Nothing is made up of an address that neither events, receipts nor the ledger have."""
    assert explanations_of(db, AddressKey("bob@example.com"), None, DUE) == []


@pytest.mark.parametrize(
    ("event_id", "deletion", "event_time", "name"),
    [
        ("e-1", False, AT, "Event e-1"),
        ("e-1", True, AT, "Event e-1"),
        (None, False, AT, "An event without an id"),
        (None, True, AT, "A deletion event without an id"),
        (
            None,
            True,
            None,
            "A deletion without an event (a null value, or missing from the log when it was read again)",
        ),
    ],
)
def test_what_brought_a_revision_is_named_for_what_it_is(
    event_id: str | None, deletion: bool, event_time: str | None, name: str
) -> None:
    """An event without an id is no null value."""
    assert event_name(event_id, deletion=deletion, event_time=event_time) == name


@pytest.mark.parametrize(
    ("answer", "status", "problem"),
    [
        (Answer(200, {"email_address": ANN, "status": "cleaned", "last_changed": AT}), "cleaned", None),
        (Answer(404, {"title": "Resource Not Found"}), None, None),
        (Answer(401, {"title": "API Key Invalid"}), None, "API Key Invalid"),
        (Answer(None, failure="timeout"), None, "no useful answer (timeout)"),
        (Answer(200, {}), None, "no useful answer (200)"),
    ],
)
def test_what_mailchimp_says_now(answer: Answer, status: str | None, problem: str | None) -> None:
    """A member's status, that there is none, or why Mailchimp does not say."""
    found = read_live_member(Mock(**{"send.return_value": answer}), MembershipKey(ListId("master"), ANN))
    assert (found.status, found.problem) == (status, problem)


def test_the_membership_to_ask_for_is_the_last_one(db: Database) -> None:
    """Where the customer was settled last, else the newest entry of the ledger."""
    (one, settled, refused) = explanations_of(db, ANN, None, DUE)
    assert one.membership == settled.membership == MembershipKey(ListId("master"), ANN)
    assert refused.membership is None or refused.membership.address == ANN


def test_dead_letters_that_name_an_address_are_part_of_its_story(db: Database) -> None:
    """In any case of letters; those of others are not shown. They can be chosen by account and reason too."""
    with db.transaction():
        for offset, (key, value) in enumerate(((b"acct-1/x", b'{"email": "ANN@example.com"'), (b"acct-2/y", b"other"))):
            dead_letters.keep(db, [DeadLetter("t", "", 0, offset, key, value, (), "it is not JSON", AT)])
    assert [one.key for one in letters_naming(db, ANN)] == [b"acct-1/x"]
    assert dead_letters.matching(db, None, ACCOUNT) == [1]
    assert dead_letters.matching(db, "not JSON", None) == [1, 2]
    assert dead_letters.matching(db, "no address", None) == []


# What a lost database gets back


OUTCOME = CustomerOutcome(
    version=3, event_id="e-3", list_id=ListId("master"), list_reason=None, member_status="unsubscribed", since=AT,
    outcome="left", reason="The person unsubscribed from the list.", next="Only the person can join again.",
    caused_by="person", run=7, at=AT,
)  # fmt: skip


def receipt(at: str) -> Receipt:
    """A receipt of the customer of the outcome."""
    return Receipt(
        run=8, at=at, account_id=ACCOUNT, customer_id=CustomerId("cus-1"), address=ANN, revision=1, event_id="e-3",
        topic="t", partition=0, offset=3, list_id=ListId("master"), list_reason=None, outcome="updated",
        detail="Updated.", next="Nothing until the customer changes.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("receipts_at", "news"),
    [(None, True), ("2026-11-21T10:00:00.000Z", True), ("2026-11-23T10:00:00.000Z", False)],
    ids=["no receipt", "an older receipt", "a newer receipt"],
)
def test_the_last_outcome_is_news_where_no_receipt_tells_it(db: Database, receipts_at: str | None, news: bool) -> None:
    """After a lost database it is all that is left; after a reading it is newer than any receipt."""
    with db.transaction():
        customer_outcomes.put(db, ACCOUNT, {CustomerId("cus-1"): OUTCOME})
        receipts.write(db, [receipt(receipts_at)] if receipts_at else [])
    (one,) = explanations_of(db, ANN, ACCOUNT, DUE)
    assert one.outcome == OUTCOME
    assert (one.newer_outcome is not None) == news


def test_receipts_are_complete_since_the_database_was_made(db: Database) -> None:
    """Or since they were dropped for their age, where that is later."""
    made = receipts.complete_since(db, datetime.now(UTC), 400, "t")
    assert datetime.now(UTC) - made < timedelta(minutes=5)
    later = datetime.now(UTC) + timedelta(days=500)
    assert receipts.complete_since(db, later, 400, "t") == later - timedelta(days=400)


@pytest.mark.parametrize(
    ("email", "next_step"),
    [
        ("old@example.com", "Tried again by the first flush after 2026-11-25T10:00:00.000Z."),
        ("new@example.com", "Sent by the next flush, due at 2026-11-22T10:00:00.000Z."),
    ],
)
def test_a_refusal_of_an_address_delays_that_address_alone(email: str, next_step: str) -> None:
    """Once the customer has another address, the next flush sends it, as the plan does."""
    master = AccountList(ListId("master"), "Master", True, 1, False, DUE)
    settings = AccountSettings(ACCOUNT, True, "-us1", ListId("master"), lists=(master,))
    customer = Customer(
        ACCOUNT, CustomerId("ann"), CustomerState(email=email), False, 2, "e2", None, Position("t", "i", 0, 2), 2, True
    )
    refusal = CustomerStatus(
        CustomerId("ann"), None, "HTTP 400", AddressKey("old@example.com"), 1, AT.replace("22", "25")
    )
    assert what_is_next(customer, settings, refusal, [], DUE).sentence == next_step
