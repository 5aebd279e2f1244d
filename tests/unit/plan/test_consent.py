"""Who may be put at another place."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.unit.plan.build import customer, entry, membership, related, settings
from worker.mailchimp.answers import Member
from worker.plan.consent import AddDecision, KnownPlaces, PriorRead, decide, prior_decision, prior_decision_by_ledger
from worker.plan.identity import is_ours
from worker.plan.steps import PriorMembership
from worker.store.ledger import Intent, LedgerEntry

OLD, NEW_ADDRESS, NEW_LIST = membership(), membership("new@example.com"), membership(list_id="other")
MOMENT = datetime(2026, 11, 22, 10, tzinfo=UTC)


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
        ("transactional", NEW_ADDRESS, "subscribed"),
        ("a status of tomorrow", NEW_ADDRESS, None),
    ],
)
def test_an_opt_out_follows_the_customer(status, destination, expected):
    """Only the subscribed, buyers, the pending and the cleaned with a new address pass, never better than they were."""
    assert prior_decision(OLD, entry(), member(status), destination, "subscribed").status == expected


def test_a_member_that_is_gone_lets_nobody_pass():
    """A member that vanished may have changed its address and left."""
    assert prior_decision(OLD, entry(), None, NEW_ADDRESS, "subscribed").status is None


def test_an_add_that_was_begun_and_never_done_stands_in_nobodys_way():
    """An intent without a member is no departure."""
    assert prior_decision(OLD, entry(state="intended"), None, NEW_ADDRESS, "subscribed").status == "subscribed"


@pytest.mark.parametrize(("before", "expected"), [("subscribed", "subscribed"), ("unsubscribed", None)])
def test_what_this_worker_archived_counts_as_it_was_before(before, expected):
    """A member archived by this worker and untouched since passes as the status before allows."""
    archived = entry(state="archived", status_before=before, last_changed="t1")
    assert prior_decision(OLD, archived, member("archived"), NEW_LIST, "subscribed").status == expected


def test_an_archived_member_that_somebody_touched_is_not_ours():
    """Another last_changed than the kept one says that somebody else archived it; so does a kept one of None."""
    archived = entry(state="archived", status_before="subscribed", last_changed="t1")
    assert is_ours(archived, member("archived"))
    assert not is_ours(archived, member("archived", "t2"))
    unknown = replace(archived, last_changed=None)
    assert not is_ours(unknown, Member("ann@example.com", "archived", None, None))


def test_where_the_old_list_is_gone_the_ledger_tells():
    """On a list that is gone only Mailchimp's last answer counts, and a stranger does not pass."""
    assert prior_decision_by_ledger(OLD, entry(), NEW_LIST, "subscribed").status == "subscribed"
    assert prior_decision_by_ledger(OLD, entry(member_status="unsubscribed"), NEW_LIST, "subscribed").status is None
    assert prior_decision_by_ledger(OLD, None, NEW_LIST, "subscribed").status is None
    assert prior_decision_by_ledger(OLD, entry(state="gone"), NEW_LIST, "subscribed").status is None


def test_a_customer_is_known_where_an_archive_of_its_member_is_in_doubt():
    """Right before an add, departures of that address elsewhere are looked for too."""
    archived = entry(state="archived", status_before="subscribed", intent=Intent("archive", "2026-11-22T10:00:00.000Z"))
    known = KnownPlaces(related([customer()], [archived]), settings(), [archived])
    assert list(known.of(archived.customer_id)) == [archived.membership]


BEGUN = entry(
    email="mid@example.com", state="intended", member_status=None, intent=Intent("add", "2026-11-22T10:00:00.000Z")
)
PENDING = entry(member_status="pending")
RENAME = entry(
    email="mid@example.com",
    state="intended",
    member_status=None,
    intent=Intent("rename", "2026-11-22T10:00:00.000Z", contact_id="c-1", source=OLD),
)


def read(old_entry: LedgerEntry | None, status: str | None, **values: bool) -> PriorRead:
    """A prior membership whose member was read with that status; None for a 404."""
    place = old_entry.membership if old_entry is not None else OLD
    found = None if status is None else Member(place.address, status, "t1", MOMENT, contact_id="c-1")
    return PriorRead(PriorMembership(place, old_entry, **values), found, MOMENT)


def decided(*reads: PriorRead) -> AddDecision:
    """Whether a contact may be added at the new address."""
    return decide(NEW_ADDRESS, "subscribed", reads, lambda: "now")


@pytest.mark.parametrize(
    ("reads", "status"),
    [
        ([], "subscribed"),
        ([read(entry(), "subscribed")], "subscribed"),
        ([read(PENDING, "pending")], "pending"),
        ([read(PENDING, "pending"), read(entry(email="mid@example.com"), "subscribed")], "pending"),
        ([read(entry(), "cleaned")], "subscribed"),
        ([read(entry(), "subscribed", own=False)], "subscribed"),
        ([read(None, None)], "subscribed"),
        ([read(BEGUN, None)], "subscribed"),
        ([read(BEGUN, "subscribed")], "subscribed"),
        ([read(RENAME, "subscribed"), read(entry(), None)], "subscribed"),
        ([read(entry(), None, list_gone=True)], "subscribed"),
        ([read(entry(), "unsubscribed")], None),
        ([read(entry(), "archived")], None),
        ([read(entry(), "pending")], None),
        ([read(entry(member_status="unsubscribed"), "pending")], None),
        ([read(entry(state="gone"), "pending")], None),
        ([read(entry(state="gone"), "pending", own=False)], None),
        ([read(entry(), None)], None),
        ([read(entry(), "unsubscribed", own=False)], None),
        ([read(entry(), "subscribed"), read(entry(email="mid@example.com"), "unsubscribed")], None),
        ([read(RENAME, "subscribed"), read(entry(), "unsubscribed")], None),
        ([read(RENAME, "subscribed"), read(entry(), None, own=False)], None),
        ([read(entry(member_status="unsubscribed"), None, list_gone=True)], None),
        ([read(entry(state="gone"), None, list_gone=True)], None),
    ],
)
def test_a_contact_is_added_only_if_each_prior_membership_allows_it(reads, status):
    """One departure keeps it out, also where it is pending since; one member that was always pending makes it so."""
    decision = decided(*reads)
    assert (decision.status if decision.kept_out_by is None else None) == status


def test_no_prior_membership_is_read_after_one_that_keeps_the_contact_out():
    """Each read is a call, so none is made that decides nothing."""
    reads = iter([read(entry(), "unsubscribed"), read(entry(email="mid@example.com"), "subscribed")])
    decision = decide(NEW_ADDRESS, "subscribed", reads, lambda: "now")
    assert decision.kept_out_by is not None
    assert decision.kept_out_by[0].membership == OLD
    assert len(list(reads)) == 1


def test_what_the_reads_show_is_written():
    """A member that left, vanished or is back has a new entry; an add that was never done has none any more."""
    assert [one.member_status for one in decided(read(entry(), "unsubscribed")).entries] == ["unsubscribed"]
    assert [one.state for one in decided(read(entry(), None)).entries] == ["gone"]
    back = decided(read(entry(member_status="unsubscribed"), "subscribed", own=False))
    assert [one.member_status for one in back.entries] == ["subscribed"]
    assert decided(read(BEGUN, None)).dropped == [BEGUN.membership]


def test_the_member_to_rename_is_the_last_own_one():
    """After a rename whose answer was lost, that member is where the customer is; its former place is dropped."""
    mid = entry(email="mid@example.com")
    decision = decided(read(entry(), "subscribed"), read(mid, "subscribed"), read(entry(), "subscribed", own=False))
    assert decision.old is not None
    assert decision.old.prior.membership == mid.membership
    assert decision.renamed is None
    renamed = decided(read(RENAME, "subscribed"), read(entry(), None))
    assert renamed.renamed is not None
    assert renamed.renamed.prior.membership == RENAME.membership
    assert renamed.dropped == [OLD]
