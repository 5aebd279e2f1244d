"""The query that finds who may leave a list chooses lists as the plan does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import pytest

from tests.connected import connected
from tests.unit.consumer.test_batch import event, stage
from tests.unit.plan.build import MASTER, a_list, settings
from worker.model import AddressKey, CustomerId, ListId, MembershipKey
from worker.plan import candidates
from worker.sqlite.database import Database, open_database
from worker.store import customers, ledger

SETTINGS = settings(
    a_list(MASTER),
    a_list("own"),
    a_list("gone", gone_at=datetime(2026, 11, 2, tzinfo=UTC)),
    a_list("seen", stored=False),
)
GIVEN = (None, MASTER, "own", "gone", "seen", "unknown")


@pytest.fixture
def db() -> Iterator[Database]:
    """Returns a database with a changed customer for each list that an event may give."""
    with closing(connected(open_database(":memory:"))) as made:
        stage(
            made,
            *(
                event(number, f"cus-{number}", version=1, email=f"c{number}@example.com", list_id=list_id)
                for number, list_id in enumerate(GIVEN)
            ),
        )
        yield made


def test_new_customers_are_counted_for_the_lists_that_the_plan_chooses(db: Database) -> None:
    """Its own list where that is stored, else the master list."""
    account_id = SETTINGS.account_id
    planned = Counter(SETTINGS.target_list(one, None).list_id for one in customers.changed(db, account_id, None, 100))
    assert candidates.new_by_list(db, SETTINGS) == planned
    assert planned == {MASTER: 5, "own": 1}


@pytest.mark.parametrize("known_on", [MASTER, "own", "seen"])
def test_who_is_known_on_another_list_than_the_plan_chooses_is_found(db: Database, known_on: str) -> None:
    """Nobody else is, as long as the address is the same."""
    account_id = SETTINGS.account_id
    with db.transaction():
        ledger.put_memberships(
            db,
            account_id,
            [
                (CustomerId(f"cus-{number}"), MembershipKey(ListId(known_on), AddressKey(f"c{number}@example.com")))
                for number in range(len(GIVEN))
            ],
        )
    everybody = customers.changed(db, account_id, None, 100)
    assert len(everybody) == len(GIVEN)
    leaving = {one.customer_id for one in everybody if SETTINGS.target_list(one, None).list_id != known_on}
    assert {one.customer_id for one in candidates.may_leave(db, SETTINGS, None, 100, 1_000_000)} == leaving
