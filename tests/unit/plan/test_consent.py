"""Who may be put at another place."""

from dataclasses import replace

import pytest

from tests.unit.plan.build import entry, membership
from worker.mailchimp.member import Member
from worker.plan.consent import KnownPlaces, add_decision, add_decision_by_ledger
from worker.plan.identity import is_ours
from worker.store.ledger import Intent

OLD, NEW_ADDRESS, NEW_LIST = membership(), membership("new@example.com"), membership(list_id="other")


def member(status: str, last_changed: str = "t1") -> Member:
    """A member of that status."""
    return Member("ann@example.com", status, last_changed, None)


@pytest.mark.parametrize(
    ("status", "destination", "expected"),
    [
        ("subscribed", NEW_ADDRESS, "subscribed"),
        ("pending", NEW_ADDRESS, "pending"),
        ("pending", NEW_LIST, "pending"),
        ("cleaned", NEW_ADDRESS, "subscribed"),
        ("cleaned", NEW_LIST, None),
        ("unsubscribed", NEW_ADDRESS, None),
        ("archived", NEW_ADDRESS, None),
        ("transactional", NEW_ADDRESS, None),
        ("a status of tomorrow", NEW_ADDRESS, None),
    ],
)
def test_an_opt_out_follows_the_customer(status, destination, expected):
    """Only the subscribed, the pending and the cleaned with a new address pass, never better than they were."""
    assert add_decision(OLD, entry(), member(status), destination, "subscribed").status == expected


def test_a_member_that_is_gone_lets_nobody_pass():
    """A member that vanished may have changed its address and left."""
    assert add_decision(OLD, entry(), None, NEW_ADDRESS, "subscribed").status is None


def test_an_add_that_was_begun_and_never_done_stands_in_nobodys_way():
    """An intent without a member is no departure."""
    assert add_decision(OLD, entry(state="intended"), None, NEW_ADDRESS, "subscribed").status == "subscribed"


@pytest.mark.parametrize(("before", "expected"), [("subscribed", "subscribed"), ("unsubscribed", None)])
def test_what_this_worker_archived_counts_as_it_was_before(before, expected):
    """A member archived by this worker and untouched since passes as the status before allows."""
    archived = entry(state="archived", status_before=before, last_changed="t1")
    assert add_decision(OLD, archived, member("archived"), NEW_LIST, "subscribed").status == expected


def test_an_archived_member_that_somebody_touched_is_not_ours():
    """Another last_changed than the kept one says that somebody else archived it; so does a kept one of None."""
    archived = entry(state="archived", status_before="subscribed", last_changed="t1")
    assert is_ours(archived, member("archived"))
    assert not is_ours(archived, member("archived", "t2"))
    unknown = replace(archived, last_changed=None)
    assert not is_ours(unknown, Member("ann@example.com", "archived", None, None))


def test_where_the_old_list_is_gone_the_ledger_tells():
    """On a list that is gone only Mailchimp's last answer counts, and a stranger does not pass."""
    assert add_decision_by_ledger(OLD, entry(), NEW_LIST, "subscribed").status == "subscribed"
    assert add_decision_by_ledger(OLD, entry(member_status="unsubscribed"), NEW_LIST, "subscribed").status is None
    assert add_decision_by_ledger(OLD, None, NEW_LIST, "subscribed").status is None
    assert add_decision_by_ledger(OLD, entry(state="gone"), NEW_LIST, "subscribed").status is None


def test_a_customer_is_known_where_an_archive_of_its_member_is_in_doubt():
    """Right before an add, departures of that address elsewhere are looked for too."""
    archived = entry(state="archived", status_before="subscribed", intent=Intent("archive", "2026-11-22T10:00:00.000Z"))
    known = KnownPlaces([], [archived.customer_id], {}, [archived], {archived.membership: archived})
    assert list(known.of(archived.customer_id)) == [archived.membership]
