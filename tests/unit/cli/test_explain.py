"""What `explain` says of a member now."""

import pytest

from worker.cli import explain as command
from worker.model import AccountId, AddressKey, CustomerId, ListId, MembershipKey
from worker.status.explanation import Explanation
from worker.store.ledger import LedgerEntry

AT = "2026-11-22T10:00:00.000Z"


@pytest.mark.parametrize(
    ("before", "after"), [("subscribed", "archived"), ("unsubscribed", "archived"), ("pending", "unsubscribed")]
)
def test_explain_names_what_the_worker_did_to_a_member_that_it_took_off(before: str, after: str) -> None:
    """A pending member is unsubscribed, because Mailchimp refuses to archive it."""
    membership = MembershipKey(ListId("master"), AddressKey("ann@example.com"))
    entry = LedgerEntry(membership, CustomerId("ann"), "archived", "added", AT, {}, after, before)
    explanation = Explanation(AccountId("acct-1"), CustomerId("ann"), None, None, None, (), [entry], None, "")
    assert f": last seen {after} by this worker at {AT}" in command._member(explanation, entry)
