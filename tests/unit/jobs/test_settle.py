"""Customers that another worker delivered do not wait for the next flush after a take-over."""

import pytest

from tests.staged import stage_batch
from tests.unit.consumer.test_batch import event
from worker.consumer.owned_partitions import OwnedPartitions
from worker.jobs.finish_staging import Settle
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.store import accounts, customers, marking, offsets
from worker.store import waiting as waits
from worker.store.accounts import AccountSettings

ACCOUNT, TOPIC, ID, AT = AccountId("acct-1"), "customers", "id", "2026-11-20T10:00:00.000Z"


@pytest.fixture
def db(db: Database) -> Database:
    """A new owner's database: two customers are staged, and their status says that the first two events are settled."""
    with db.transaction():
        accounts.save(db, AccountSettings(ACCOUNT, True, "c3d4"))
    stage_batch(db, TOPIC, ID, [event(0, "cus-1"), event(1, "cus-2")], AT)
    with db.transaction():
        found = customers.changed(db, ACCOUNT, None, 10)
        customers.settle(db, ACCOUNT, [(customer.customer_id, customer.revision) for customer in found])
        db.execute("UPDATE customer SET changed = 1")
    return db


def take_over(partitions: OwnedPartitions) -> None:
    """Partition 0 is assigned, and its events are read."""
    partitions.assigned({0: (0, 2)})
    partitions.read_to(0, 2, at_end=True)


def waiting(db: Database) -> list[str]:
    """Who needs a flush."""
    return [customer.customer_id for customer in customers.changed(db, ACCOUNT, None, 10)]


def read_ledger(partitions: OwnedPartitions) -> None:
    """Ledger and settings are read."""
    partitions.settings_read()
    for partition, assignment in partitions.wait_for_ledger(0).items():
        partitions.ledger_read(partition, assignment)


def test_customers_are_settled_once_the_ledger_of_a_taken_partition_is_read(db: Database) -> None:
    """Not before, since only the ledger tells which event was settled; a newer event stays waiting."""
    stage_batch(db, TOPIC, ID, [event(2, "cus-2", email="new@example.com")], AT)
    partitions = OwnedPartitions(follows=True)
    job = Settle(partitions)
    take_over(partitions)
    job.step(db)
    assert waiting(db) == ["cus-1", "cus-2"]
    read_ledger(partitions)
    job.step(db)
    assert waiting(db) == ["cus-2"]


def test_it_is_known_who_waits_once_customers_of_a_taken_partition_are_compared(db: Database) -> None:
    """Until then each staged customer seems to be changed, and is counted by nobody."""
    stage_batch(db, TOPIC, ID, [event(2, "cus-2", email="new@example.com")], AT)
    partitions = OwnedPartitions(follows=True)
    job = Settle(partitions)
    take_over(partitions)
    with db.transaction():
        offsets.note_taken(db, TOPIC, [(0, AT)])
    job.step(db)
    known = waits.by_account(db, AT)[ACCOUNT]
    assert (known.compared, known.count, waits.count(db, AT)) == (False, 0, 0)
    read_ledger(partitions)
    job.step(db)
    known = waits.by_account(db, AT)[ACCOUNT]
    assert (known.compared, known.count, waits.count(db, AT)) == (True, 1, 1)


def test_each_assignment_is_compared_once_and_a_resync_is_not_undone(db: Database) -> None:
    """A partition that was given back is compared again; a customer that is marked again stays waiting."""
    partitions = OwnedPartitions(follows=True)
    job = Settle(partitions)
    for _ in range(2):
        take_over(partitions)
        read_ledger(partitions)
        with db.transaction():
            db.execute("UPDATE customer SET changed = 1")
        job.step(db)
        assert waiting(db) == []
        with db.transaction():
            db.execute("UPDATE customer SET changed = 1")
        job.step(db)
        assert len(waiting(db)) == 2, "compared twice"
        partitions.removed([0])
    take_over(partitions)
    read_ledger(partitions)
    with db.transaction():
        marking.mark_changed(db, ACCOUNT, None)
    job.step(db)
    assert len(waiting(db)) == 2
