"""A withdrawn consent counts, whatever its version is and whatever comes after it; and versions that were too high."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.connected import connected
from tests.unit.consumer.test_batch import ACCOUNT, AT, event, one, stage
from worker.consumer.decode import Record
from worker.consumer.event_order import Known, came_later, withdrawal_counts
from worker.model import AccountId, AddressKey, Customer, CustomerId, CustomerState, Position, newest_first
from worker.sqlite.database import Database, open_database
from worker.store import customers, ignored

ANN = AddressKey("ann@example.com")
TOO_HIGH = 2**62


@pytest.fixture
def db(db: Database) -> Database:
    """An empty staging database."""
    return connected(db)


def withdrawal(offset: int, **members: Any) -> Record:
    """An event by which Ann withdraws consent."""
    return event(offset, email=ANN, marketing_consent=False, **members)


def null(offset: int) -> Record:
    """A null value."""
    return Record(0, offset, b"acct-1/cus-1", None)


def consents(db: Database) -> bool:
    """Whether Ann's consent is there, as staged."""
    return one(db).state.marketing_consent


def told(db: Database) -> tuple[bool, bool, str | None]:
    """Whether Ann is deleted, whether she consents, and her address."""
    return one(db).deleted, consents(db), one(db).address


def delivered(db: Database) -> None:
    """All that is staged was delivered."""
    with db.transaction():
        db.execute("UPDATE customer SET changed = 0")


# --- a deletion after a withdrawal


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("deletion", [null(2), event(2, kind="deleted", version=3, email="other@example.com")])
def test_a_deletion_takes_no_withdrawal_back_that_is_not_delivered(
    db: Database, deletion: Record, together: bool
) -> None:
    """The customer is deleted, and its address still to be unsubscribed, by that deletion."""
    for records in (
        [[withdrawal(1, version=2), deletion, null(3)]]
        if together
        else [[withdrawal(1, version=2)], [deletion, null(3)]]
    ):
        stage(db, *records)
    assert told(db) == (True, False, ANN)
    assert (one(db).changed, one(db).position.offset) == (True, 3)


def test_a_deletion_after_a_delivered_withdrawal_keeps_nothing(db: Database) -> None:
    """It is unsubscribed already, so nothing but the deletion is known."""
    stage(db, withdrawal(1, version=2))
    delivered(db)
    stage(db, null(2))
    assert told(db) == (True, True, None)


@pytest.mark.parametrize("together", [True, False])
def test_consent_that_was_given_again_is_none_to_keep(db: Database, together: bool) -> None:
    """Withdrawn, given again and deleted: nothing is left to be unsubscribed."""
    last = [event(2, version=3, email=ANN), null(3)]
    for records in [[withdrawal(1, version=2), *last]] if together else [[withdrawal(1, version=2)], last]:
        stage(db, *records)
    assert told(db) == (True, True, None)


# --- a withdrawal with a version that is too low


@pytest.mark.parametrize("together", [True, False])
def test_a_withdrawal_counts_though_its_version_is_lower(db: Database, together: bool) -> None:
    """Only consent changes; version and fields stay, and the row names the event that did it."""
    first, second = (
        event(1, version=TOO_HIGH, email=ANN, first_name="Ann"),
        withdrawal(2, version=18, first_name="Anne"),
    )
    for records in [[first, second]] if together else [[first], [second]]:
        stage(db, *records)
        if not together:
            changed = one(db).changed
            delivered(db)
    assert told(db) == (False, False, ANN)
    assert (one(db).version, one(db).state.first_name) == (TOO_HIGH, "Ann")
    assert (one(db).position.offset, one(db).event_id) == (2, "e-0-2")
    if not together:
        assert changed


@pytest.mark.parametrize(
    "late", [event(3, version=17, email=ANN), event(3, version=TOO_HIGH, email=ANN), event(0, version=19, email=ANN)]
)
def test_a_late_event_gives_no_consent_back(db: Database, late: Record) -> None:
    """Not one with a lower version, nor the same high one again, nor one of a lower offset."""
    stage(db, event(1, version=TOO_HIGH, email=ANN), withdrawal(2, version=18), late)
    assert not consents(db)
    stage(db, late)
    assert not consents(db)


def test_a_newer_event_gives_consent_back(db: Database) -> None:
    """One with a version above the highest wins, as always."""
    stage(db, event(1, version=11, email=ANN), withdrawal(2, version=10), event(3, version=12, email=ANN))
    assert consents(db)


def test_a_withdrawal_that_was_read_before_counts_no_more(db: Database) -> None:
    """Read again from the beginning of the log, what was overtaken there stays overtaken."""
    records = withdrawal(1, version=1), event(2, version=2, email=ANN)
    stage(db, *records)
    delivered(db)
    stage(db, *records)
    assert (consents(db), one(db).changed) == (True, False)


def test_a_late_withdrawal_of_a_deleted_customer_counts(db: Database) -> None:
    """Nothing else is known of it any more, so the withdrawal's own address is to be unsubscribed."""
    stage(db, event(1, version=TOO_HIGH, email=ANN), null(2))
    delivered(db)
    stage(db, withdrawal(3, version=18))
    assert told(db) == (True, False, ANN)
    assert one(db).changed


def test_a_withdrawal_twice_changes_nothing(db: Database) -> None:
    """What is withdrawn already costs no flush."""
    stage(db, event(1, version=TOO_HIGH, email=ANN), withdrawal(2, version=18))
    delivered(db)
    stage(db, withdrawal(3, version=18))
    assert not one(db).changed


KNOWN = Known(version=5, topic="t", topic_id="id", partition=0, offset=10, time="2026-11-22T10:00:00Z")


def test_what_came_later_is_told_by_offset_or_by_time() -> None:
    """By the offset within a log; between logs by time; else it is not known, and then a withdrawal counts."""
    assert came_later(KNOWN, KNOWN._replace(offset=11, time="2020-01-01T00:00:00Z"))
    assert not came_later(KNOWN, KNOWN._replace(offset=9, time="2030-01-01T00:00:00Z"))
    other = KNOWN._replace(topic_id="new", offset=0)
    assert [came_later(KNOWN, other._replace(time=time)) for time in (None, KNOWN.time)] == [None, None]
    assert withdrawal_counts(KNOWN, other)
    assert came_later(KNOWN, other._replace(time="2026-11-22T10:00:01Z"))
    assert not withdrawal_counts(KNOWN, other._replace(time="2026-11-22T09:00:00Z"))


# --- versions that are too high


def test_whose_last_event_was_ignored_is_known(db: Database) -> None:
    """With both versions; a repeat is none, and neither is an event that was read late."""
    stage(db, event(5, version=TOO_HIGH, email=ANN), event(6, version=18), event(7, version=17))
    stage(db, event(1, "cus-2", version=2), event(2, "cus-2", version=2), event(0, "cus-2", version=1))
    assert [(one.customer_id, one.address, one.version, one.ignored_version) for one in ignored.stuck(db, 10)] == [
        ("cus-1", ANN, TOO_HIGH, 18)
    ]
    stage(db, event(8, version=19, email=ANN))
    assert ignored.stuck(db, 10)[0].ignored_version == 19
    stage(db, event(9, version=TOO_HIGH + 1))
    assert (ignored.stuck(db, 10), ignored.count(db)) == ([], 0)


def forget(db: Database, address: AddressKey | None = ANN) -> int:
    """An operator has the version forgotten."""
    with db.transaction():
        return ignored.forget_versions(db, ACCOUNT, address).result


@pytest.mark.parametrize("address", [ANN, None])
def test_what_was_ignored_takes_the_place_of_the_version_that_was_too_high(
    db: Database, address: AddressKey | None
) -> None:
    """At once, without another event; and from then on versions count from there."""
    stage(db, event(1, version=TOO_HIGH, email=ANN), event(2, version=18, email="lee@example.com"))
    delivered(db)
    assert forget(db, address) == 1
    row = one(db)
    assert (row.version, row.address, row.position.offset, row.changed) == (18, "lee@example.com", 2, True)
    assert (ignored.count(db), row.revision) == (0, 2)
    stage(db, event(3, version=17, email=ANN), event(4, version=19, email="lou@example.com"))
    assert (one(db).version, one(db).address) == (19, "lou@example.com")


def test_where_nothing_was_ignored_yet_the_next_event_wins(db: Database) -> None:
    """An operator may be quicker than the next event; an unknown address changes nothing."""
    stage(db, event(1, version=TOO_HIGH, email=ANN))
    assert forget(db, AddressKey("who@example.com")) == 0
    assert forget(db) == 1
    assert (one(db).version, one(db).address) == (None, ANN)
    stage(db, event(2, version=18, email="lee@example.com"))
    assert (one(db).version, one(db).address) == (18, "lee@example.com")


def test_forgetting_a_version_gives_no_consent_back_that_was_withdrawn_later(db: Database) -> None:
    """The ignored event with the higher version came before the withdrawal with the lower one."""
    stage(db, event(1, version=TOO_HIGH, email=ANN), event(2, version=19, email=ANN))
    stage(db, withdrawal(3, version=18))
    forget(db)
    assert (one(db).version, consents(db)) == (19, False)


def test_forgetting_a_version_gives_consent_back_that_was_given_later(db: Database) -> None:
    """Withdrawn by version 18 and given again by 19, both below the one that was too high."""
    stage(db, event(1, version=TOO_HIGH, email=ANN), withdrawal(2, version=18), event(3, version=19, email=ANN))
    assert not consents(db)
    forget(db)
    assert (one(db).version, consents(db)) == (19, True)


def test_a_person_who_is_forgotten_leaves_no_ignored_event(db: Database) -> None:
    """What was ignored goes with the customer."""
    stage(db, event(1, version=TOO_HIGH, email=ANN), event(2, version=18, email=ANN))
    with db.transaction():
        customers.delete(db, (ACCOUNT, CustomerId("cus-1")))
    assert ignored.count(db) == 0


# --- however it is cut


changes = st.lists(
    st.tuples(
        st.none() | st.integers(0, 4),
        st.sampled_from(["updated", "deleted", "null"]),
        st.sampled_from([None, True, False]),
        st.integers(0, 1),
    ),
    max_size=8,
)


@given(changes, st.lists(st.integers(0, 8), max_size=4))
@settings(max_examples=200, deadline=None)
def test_how_records_are_cut_into_batches_changes_nothing(
    drawn: list[tuple[int | None, str, bool | None, int]], cuts: list[int]
) -> None:
    """One batch or many: the same states, the same consent, the same that was ignored."""
    records = [
        Record(partition, n, b"acct-1/cus-1", None)
        if kind == "null"
        else event(n, "cus-1", kind, partition, version=version, email=f"{n}@example.com", marketing_consent=consent)
        for n, (version, kind, consent, partition) in enumerate(drawn)
    ]
    edges = sorted({0, *(min(cut, len(records)) for cut in cuts), len(records)})
    outcomes = []
    for parts in ([0, len(records)], edges):
        db = connected(open_database(":memory:"))
        for start, end in pairwise(parts):
            stage(db, *records[start:end])
        found = []
        for table in ("customer", "ignored_event"):
            rows = db.execute(f'SELECT CAST(state AS TEXT), address, deleted, version, "offset" FROM {table}')
            found.append([(json.loads(row[0]) if row[0] else None, *tuple(row)[1:]) for row in rows])
        outcomes.append(found)
        db.close()
    assert outcomes[0] == outcomes[1]


# --- the newest of several customers


def customer(name: str, offset: int, time: str | None = None, partition: int = 0, topic_id: str = "id") -> Customer:
    """A customer with an event."""
    position = Position("t", topic_id, partition, offset)
    return Customer(AccountId("acct-1"), CustomerId(name), CustomerState(), False, None, None, time, position, 1, True)


def order(*those: Customer) -> list[str]:
    """The names, the newest first."""
    return [one.customer_id for one in newest_first(those)]


def test_within_a_log_the_offset_tells_which_customer_is_the_newest() -> None:
    """Whatever the times say."""
    assert order(customer("a", 1, "2030-01-01T00:00:00Z"), customer("b", 2, AT), customer("c", 2)) == ["c", "b", "a"]


def test_between_logs_time_tells_which_customer_is_the_newest() -> None:
    """Offsets of another topic or partition say nothing; moments are compared and not texts; without one comes last."""
    old, new = customer("old", 900, "2026-11-22T10:00:00Z"), customer("new", 1, "2026-11-22T10:30:00Z", topic_id="new")
    east = customer("east", 5, "2026-11-22T12:15:00+02:00", partition=1)
    untimed = customer("untimed", 1000)
    assert order(old, untimed, new, east) == order(east, new, untimed, old) == ["new", "east", "old", "untimed"]
