"""Which contact a member is, and what an unanswered write did to it, as its contact id and Mailchimp's times tell."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.plan.build import entry
from worker.mailchimp.answers import Member
from worker.plan.identity import as_read, new_intent, same_membership, was_done
from worker.store.ledger import Intent

AT = "2026-11-22T10:00:00.000Z"


def member(status: str, contact_id: str | None = "c1") -> Member:
    """A member of that status."""
    return Member("ann@example.com", status, "2026-11-22T10:00:00+00:00", None, contact_id)


def unsubscribing(contact_id: str | None = "c1"):
    """The entry of a subscribed member that was about to be unsubscribed."""
    intent = Intent("unsubscribe", AT, contact_id=contact_id, status="subscribed")
    return replace(entry(), contact_id=contact_id, member_status="subscribed", intent=intent)


@pytest.mark.parametrize(
    ("status", "done"),
    [("unsubscribed", True), ("subscribed", False), ("pending", False), ("cleaned", False), ("archived", False)],
)
def test_an_unsubscribing_was_done_where_the_member_is_unsubscribed(status, done):
    """Any other status says that it was not, or that somebody acted since."""
    assert was_done(unsubscribing(), member(status)) is done


@pytest.mark.parametrize(("contact_id", "done"), [("c1", True), ("c2", False), (None, True)])
def test_an_unsubscribing_was_not_done_to_another_contact(contact_id, done):
    """Who joined and left by herself since is not the one who was unsubscribed; an answer without an id may be."""
    assert was_done(unsubscribing(), member("unsubscribed", contact_id)) is done


@pytest.mark.parametrize("status", ["unsubscribed", "subscribed"])
def test_a_look_at_the_member_ends_the_doubt(status):
    """Done or not, the ledger says what the member is by now, still as its own, and nothing is intended any more."""
    now = as_read(unsubscribing(), member(status), None)
    assert (now.intent, now.state, now.member_status, now.origin) == (None, "present", status, "added")


def test_a_member_that_left_and_is_back_joined_by_herself_whatever_its_times_say():
    """Mailchimp's times are whole seconds: she may have joined in the second of the read that found her archived."""
    seen = entry(member_status="archived", contact_id="c1", seen_at="2026-11-22T09:00:00.000Z")
    back = Member("ann@example.com", "subscribed", None, None, "c1", datetime(2026, 11, 22, 9, tzinfo=UTC))
    assert not same_membership(seen, back)
    assert same_membership(replace(seen, member_status="subscribed"), back)


@pytest.mark.parametrize(
    ("sent_as", "opted_in_after", "ours"),
    [
        ("subscribed", 0, True),
        ("subscribed", 16, False),
        ("subscribed", None, True),
        ("pending", 16, True),
        (None, 16, True),
    ],
)
def test_who_was_added_as_subscribed_and_opted_in_later_came_back_by_herself(sent_as, opted_in_after, ours):
    """The answer was lost, she left and joined again: only who was added as pending opts in later by confirming."""
    at = datetime(2026, 11, 22, 10, tzinfo=UTC)
    added = replace(entry(), state="intended", intent=new_intent("add", at, status=sent_as))
    opted_in = at + timedelta(minutes=opted_in_after) if opted_in_after is not None else None
    assert was_done(added, Member("ann@example.com", "unsubscribed", None, at, "c1", opted_in)) is ours


def test_an_add_that_was_tried_as_pending_and_as_subscribed_may_be_either():
    """The account turned double opt-in off between two tries; nothing tells which of them was carried out."""
    at = datetime(2026, 11, 22, 10, tzinfo=UTC)
    first = new_intent("add", at, status="pending")
    assert new_intent("add", at, before=first, status="pending").status == "pending"
    assert new_intent("add", at, before=first, status="subscribed").status is None
