"""What stays of an erased person: keyed hashes, and the key that they are made with."""

from base64 import b64encode
from contextlib import closing
from dataclasses import replace

import pytest

from tests.checked_changelog import CHANGELOG
from tests.unit.accounts.build import ACCOUNT, AT, OTHER_SECRET, SECRET, connect, everything, stage
from worker.accounts import api_keys, forget
from worker.accounts.hash_key import departed_of, hash_key
from worker.changelog import table_rows
from worker.changelog.records import changelog_row_of, key_of, value_of
from worker.errors import SecretKeyError
from worker.model import AddressKey, CustomerId, ListId, MembershipKey
from worker.sqlite.database import open_database
from worker.store import forgotten, ledger
from worker.store.forgotten import digest_of
from worker.store.ledger import CustomerStatus, LedgerEntry

ONE, OLD = AddressKey("1@example.com"), AddressKey("old@example.com")
CUS = CustomerId("cus-1")
MOMENT = "2026-11-20T10:00:00.000Z"


def entry(address=ONE, **values):
    """A member that was added for customer 1."""
    made = LedgerEntry(
        MembershipKey(ListId("one"), address), CUS, "present", "added", MOMENT, member_status="subscribed"
    )
    return replace(made, **values)


def erase(db, entries=(), customer_statuses=(), secret=SECRET):
    """Stages customer 1, with these entries and statuses, and erases everybody with its address."""
    stage(db, 1)
    with db.transaction():
        ledger.put_entries(db, ACCOUNT, list(entries))
        ledger.put_customer_statuses(db, ACCOUNT, list(customer_statuses))
    forget.forget_person(db, CHANGELOG, ONE, secret=secret, at=AT)


@pytest.mark.parametrize(
    "left",
    [
        {"member_status": "unsubscribed"},
        {"member_status": "archived"},
        {"state": "gone"},
        {"state": "archived", "status_before": "unsubscribed"},
    ],
)
def test_all_addresses_of_who_left_stay_as_hashes(db, left):
    """The opt-out is kept for each address by which the person was known, and for the customer; no address is."""
    erase(db, [entry(OLD, **left), entry()], [CustomerStatus(CUS, MembershipKey(ListId("one"), ONE))])
    departed = departed_of(db, ACCOUNT, SECRET)
    assert departed.has_address(ONE)
    assert departed.has_address(OLD)
    assert departed.has_customer(CUS)


def test_of_who_bounced_only_that_address_stays_as_a_hash(db):
    """A bounce concerns the address, and neither the person nor another address."""
    erase(db, [entry(OLD, member_status="cleaned"), entry()], [CustomerStatus(CUS, MembershipKey(ListId("one"), ONE))])
    departed = departed_of(db, ACCOUNT, SECRET)
    assert departed.has_address(OLD)
    assert not departed.has_address(ONE)
    assert not departed.has_customer(CUS)


@pytest.mark.parametrize("title", ["Member In Compliance State", "Forgotten Email Not Subscribed"])
def test_whom_mailchimp_refuses_for_good_stays_out(db, title):
    """A refusal that no operator may take back is not taken back by forgetting the person."""
    erase(db, [], [CustomerStatus(CUS, None, refusal=title)])
    assert departed_of(db, ACCOUNT, SECRET).has_address(ONE)


def test_of_who_had_not_left_no_hash_of_an_address_stays(db):
    """Only the customer's own, with how far its log was read, and it keeps nobody out."""
    erase(db, [entry()], [CustomerStatus(CUS, MembershipKey(ListId("one"), ONE))])
    assert departed_of(db, ACCOUNT, SECRET).digests == frozenset()
    key = hash_key(db, SECRET)
    digest = digest_of(key, ACCOUNT, "customer", CUS)
    assert [*forgotten.find(db, [(ACCOUNT, digest)])] == [(ACCOUNT, digest)]


def test_forgotten_twice_an_opt_out_stays(db):
    """Somebody who left, was erased, came back in an event and is erased again stays out."""
    erase(db, [entry(member_status="unsubscribed")])
    erase(db)
    assert departed_of(db, ACCOUNT, SECRET).has_address(ONE)


def test_a_new_secret_key_opens_the_hashes(db):
    """The key of the hashes is encrypted with the new secret key when API keys are."""
    connect(db)
    erase(db, [entry(member_status="unsubscribed")])
    api_keys.rekey(db, CHANGELOG, SECRET, OTHER_SECRET)
    assert departed_of(db, ACCOUNT, OTHER_SECRET).has_address(ONE)
    with pytest.raises(SecretKeyError, match="encrypted with another secret key"):
        departed_of(db, ACCOUNT, SECRET)


def test_the_key_of_the_hashes_stands_nowhere_as_it_is(db, path, tmp_path):
    """The key of the hashes is random, and kept encrypted; the same secret key makes other hashes elsewhere."""
    erase(db, [entry(member_status="unsubscribed")])
    key = hash_key(db, SECRET)
    assert key.hex() not in str(everything(path))
    assert b64encode(key).decode() not in str(everything(path))
    with closing(open_database(tmp_path / "other.db")) as other:
        erase(other, [entry(member_status="unsubscribed")])
        assert hash_key(other, SECRET) != key


def test_a_wrong_secret_key_erases_nothing(db, path):
    """Without the key no hash could be made, so the opt-out would be lost: it says what to do instead."""
    erase(db, [entry(member_status="unsubscribed")])
    before = everything(path)
    stage(db, 2)
    with pytest.raises(SecretKeyError, match="another secret key") as caught:
        forget.forget_person(db, CHANGELOG, AddressKey("2@example.com"), secret=OTHER_SECRET, at=AT)
    assert "account rekey" in caught.value.advice
    assert everything(path)["forgotten"] == before["forgotten"]
    assert len(everything(path)["customer"]) == 1


def test_hashes_and_their_key_go_through_kafka(db):
    """Written as records and read by another worker, they gate there too, and carry no address."""
    erase(db, [entry(member_status="unsubscribed")])
    rows = [one for one in table_rows.all_rows(db) if one.kind in ("forgotten", "topic")]
    records = [(key_of(one), value_of(one, erase=False)) for one in rows]
    assert not any(b"example.com" in key + value or b"cus-1" in key + value for key, value in records)
    assert [one.key for one in rows if one.kind == "topic"] == [("hash_key", "")]
    other = open_database(":memory:")
    with other.transaction():
        table_rows.apply(other, [changelog_row_of(*record) for record in records])
    assert departed_of(other, ACCOUNT, SECRET).has_address(ONE)


def test_an_entry_that_another_customer_is_known_by_stays(db):
    """A place of the erased person where somebody else is known keeps its entry, under that customer."""
    stage(db, 1, 2)
    shared = MembershipKey(ListId("one"), AddressKey("shared@example.com"))
    with db.transaction():
        ledger.put_entries(db, ACCOUNT, [entry(shared.address, member_status="unsubscribed")])
        ledger.put_customer_statuses(db, ACCOUNT, [CustomerStatus(CustomerId("cus-2"), shared)])
    forget.forget_person(db, CHANGELOG, ONE, secret=SECRET, at=AT)
    (found,) = ledger.entries_of(db, ACCOUNT, [shared.address])
    assert (found.customer_id, found.member_status) == ("cus-2", "unsubscribed")


def test_a_found_member_that_is_handed_over_is_its_new_customers_from_then_on(db):
    """Neither the names that agreed nor the days of the erased customer make it the other one's."""
    stage(db, 1, 2)
    shared = MembershipKey(ListId("one"), AddressKey("shared@example.com"))
    found = entry(shared.address, origin="found", names_agreed=True, customer_since="2026-01-01T00:00:00.000Z")
    with db.transaction():
        ledger.put_entries(db, ACCOUNT, [found])
        ledger.put_customer_statuses(db, ACCOUNT, [CustomerStatus(CustomerId("cus-2"), shared)])
    forget.forget_person(db, CHANGELOG, ONE, secret=SECRET, at=AT)
    (left,) = ledger.entries_of(db, ACCOUNT, [shared.address])
    assert (left.customer_id, left.names_agreed, left.customer_since) == ("cus-2", None, MOMENT)


def test_a_forgotten_account_has_no_hashes(db, path):
    """Its ledger is gone, and the hashes with it."""
    connect(db)
    erase(db, [entry(member_status="unsubscribed")])
    forget.forget_account(db, CHANGELOG, ACCOUNT)
    assert everything(path)["forgotten"] == []
