"""What `explain` says of a member now."""

import pytest

from worker.cli import explain as command
from worker.model import AccountId, AddressKey, Customer, CustomerId, CustomerState, ListId, MembershipKey, Position
from worker.status.explanation import Explanation, NextKind, NextStep
from worker.store.customer_outcomes import CustomerOutcome
from worker.store.ledger import LedgerEntry
from worker.store.receipts import Receipt

AT = "2026-11-22T10:00:00.000Z"
LATER = "2026-11-23T10:00:00.000Z"
NOTHING = NextStep(NextKind.AS_SAID, "Nothing.")


@pytest.mark.parametrize(
    ("before", "after"), [("subscribed", "archived"), ("unsubscribed", "archived"), ("pending", "unsubscribed")]
)
def test_explain_names_what_the_worker_did_to_a_member_that_it_took_off(before: str, after: str) -> None:
    """A pending member is unsubscribed, because Mailchimp refuses to archive it."""
    membership = MembershipKey(ListId("master"), AddressKey("ann@example.com"))
    entry = LedgerEntry(membership, CustomerId("ann"), "archived", "added", AT, {}, after, before)
    explanation = Explanation(AccountId("acct-1"), CustomerId("ann"), None, None, None, (), [entry], None, NOTHING)
    assert f": last seen {after} by this worker at {AT}" in command._member(explanation, entry)


def receipt_of(event_id: str, partition: int, offset: int) -> Receipt:
    """Returns the receipt of an event from one record."""
    return Receipt(
        run=1, at=AT, account_id=AccountId("acct-1"), customer_id=CustomerId("ann"), address=AddressKey("ann@x.org"),
        revision=1, event_id=event_id, topic="t", partition=partition, offset=offset, list_id=ListId("master"),
        list_reason=None, outcome="added", detail="Added.", next="Nothing.",
    )  # fmt: skip


def test_explain_names_the_event_of_each_receipt(capsys: pytest.CaptureFixture[str]) -> None:
    """Also if records of a customer have the same offset in two partitions, as after partitions were added."""
    account_id, who = AccountId("acct-1"), CustomerId("ann")
    newest = Customer(
        account_id, who, CustomerState(), deleted=False, version=2, event_id="e-2", event_time=None,
        position=Position("t", "id", 1, 3), revision=2, changed=True,
    )  # fmt: skip
    history = [receipt_of("e-1", partition=0, offset=3)]
    explanation = Explanation(account_id, who, newest, None, None, history, [], None, NOTHING)
    command._print_explanation(explanation, None)
    printed = capsys.readouterr().out
    assert printed.index("e-1, read from t, partition 0, offset 3") < printed.index("Added.")
    assert printed.index("Added.") < printed.index("e-2, read from t, partition 1, offset 3")


def last_known(event_id: str, run: int | None, *, receipts: bool) -> str:
    """Returns what is said of an outcome that is newer than the receipt of event e-1, if there is one."""
    who, membership = CustomerId("ann"), MembershipKey(ListId("master"), AddressKey("ann@example.com"))
    receipt = receipt_of("e-1", partition=0, offset=3)
    news = CustomerOutcome(
        version=2, event_id=event_id, list_id=membership.list_id, list_reason=None, member_status="subscribed",
        since=LATER, outcome="updated", reason="Fields changed.", next="Nothing.", caused_by="billmywork", run=run,
        at=LATER,
    )  # fmt: skip
    history = [receipt] if receipts else []
    explanation = Explanation(AccountId("acct-1"), who, None, None, None, history, [], news, NOTHING)
    assert explanation.newer_outcome == news
    return command._last_known(explanation, news)


@pytest.mark.parametrize(("event_id", "receipts"), [("e-1", False), ("e-2", False), ("e-2", True)])
def test_explain_says_why_an_outcome_may_have_no_receipt(event_id: str, receipts: bool) -> None:
    """Kafka may have the outcome of a worker that was killed before it stored the receipt: no database was lost."""
    said = last_known(event_id, 2, receipts=receipts)
    assert "no receipt" in said
    assert "killed before it stored" in said


@pytest.mark.parametrize(("event_id", "run"), [("e-1", 2), ("e-1", None), ("e-2", None)])
def test_explain_misses_no_receipt_of_what_was_read_since(event_id: str, run: int | None) -> None:
    """A reading of the list, or a step for another customer, writes no receipt for this one."""
    assert last_known(event_id, run, receipts=True).startswith("Last outcome (since the last receipt): subscribed")
