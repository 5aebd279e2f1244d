"""Whose customers this worker delivers, whose another one does, and whose nobody does."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.unit.consumer.test_batch import AT, event, stage
from worker.consumer.batch import Batch
from worker.consumer.owned_partitions import OwnedPartitions
from worker.flush.eligibility import Eligibility
from worker.kafka.partitioner import partition_of
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.status.misplaced import misplaced, partition_mismatch
from worker.store import counts, offsets
from worker.store.offsets import TopicSize
from worker.store.run_result import RunResult

ACCOUNT = AccountId("acct-1")
MINE = partition_of(ACCOUNT, 6)
OTHER = (MINE + 1) % 6
ALL = dict.fromkeys(range(6), "worker-2 on 10.0.0.2")


@pytest.fixture
def db(db: Database) -> Database:
    """A database of a worker that found six partitions in both topics."""
    with db.transaction():
        offsets.note_size(db, "t", TopicSize("id", 6, 6))
    return db


def eligibility(db: Database, *owned: int, elsewhere: Mapping[int, str] | None = ALL) -> Eligibility:
    """Of a worker that has these partitions, all read.

    Args:
        elsewhere: the partitions of other workers, as Kafka describes the group; None if it does not.
    """
    owned_partitions = OwnedPartitions(lambda: 0.0)
    owned_partitions.assigned(dict.fromkeys(owned, (0, 0)))
    return Eligibility(db, owned_partitions, "t", "id", lambda account: partition_of(account, 6), lambda: elsewhere)


def test_an_account_in_one_partition_is_its_owners(db: Database) -> None:
    """Delivered by who has it, left to that one by all others: that is how it should be."""
    stage(db, event(0, partition=MINE))
    assert eligibility(db, MINE).why_not(ACCOUNT) is None
    refused = eligibility(db, OTHER).why_not(ACCOUNT)
    assert refused is not None
    assert (refused.end, misplaced(db, "t")) == (RunResult.DONE, [])


@pytest.mark.parametrize(
    ("elsewhere", "told"),
    [({OTHER: "worker-2"}, f"No worker has partition {MINE} now"), (None, "Kafka does not say")],
)
def test_an_account_of_no_known_worker_is_not_done(
    db: Database, elsewhere: Mapping[int, str] | None, told: str
) -> None:
    """Only what Kafka says another worker has is left to it; else a flush would claim that everything was settled."""
    stage(db, event(0, partition=MINE))
    refused = eligibility(db, OTHER, elsewhere=elsewhere).why_not(ACCOUNT)
    assert refused is not None
    assert refused.end is RunResult.INCOMPLETE
    assert told in refused.reason


def test_an_account_whose_events_go_to_an_added_partition_is_delivered_with_that_partition_alone(db: Database) -> None:
    """Another worker reads its newest event there, so this one would deliver an older state over it."""
    stage(db, event(0, partition=MINE))
    with db.transaction():
        offsets.note_size(db, "t", TopicSize("id", 8, 6))
    added = partition_of(ACCOUNT, 8)
    assert added != MINE
    refused = eligibility(db, MINE, elsewhere={added: "worker-2"}).why_not(ACCOUNT)
    assert refused is not None
    assert refused.end is RunResult.FAILED
    assert f"of which {added} are not this worker's" in refused.reason
    assert eligibility(db, MINE, added).why_not(ACCOUNT) is None
    assert [account.account_id for account in misplaced(db, "t")] == [ACCOUNT]


def test_an_account_in_another_partition_than_its_ledger_may_be_nobodys(db: Database) -> None:
    """Who has one of the two knows that nobody has both; who has both delivers it."""
    stage(db, event(0, partition=OTHER))
    for one in (MINE, OTHER):
        refused = eligibility(db, one).why_not(ACCOUNT)
        assert refused is not None
        assert refused.end is RunResult.FAILED
        assert "One worker alone delivers them" in refused.reason
    assert eligibility(db, MINE, OTHER).why_not(ACCOUNT) is None
    refused = eligibility(db, (MINE + 2) % 6).why_not(ACCOUNT)
    assert refused is not None
    assert refused.end is RunResult.DONE
    assert [str(one) for one in misplaced(db, "t")] == [
        f"acct-1 (events in partition {OTHER}; by the contract in {MINE}, with 6 partitions; "
        f"its ledger in {MINE}, with 6)"
    ]


def test_events_in_two_partitions_are_misplaced(db: Database) -> None:
    """Also where one of them is the contract's."""
    stage(db, event(0, partition=OTHER), event(0, partition=MINE))
    (found,) = misplaced(db, "t")
    assert found.partitions == {MINE, OTHER}


def test_added_partitions_misplace_accounts_whose_publisher_obeys(db: Database) -> None:
    """The contract gives the events another partition then, and the ledger stays where it was."""
    with db.transaction():
        offsets.note_size(db, "t", TopicSize("id", 12, 6))
    names = [AccountId(f"acct-{number}") for number in range(40)]
    for name in names:
        with db.transaction():
            offsets.note_accounts(db, "t", "id", [(name, partition_of(name, 12))])
    moved = [name for name in names if partition_of(name, 12) != partition_of(name, 6)]
    found = misplaced(db, "t")
    assert [one.account_id for one in found] == sorted(moved)
    for one in found:
        assert (one.expected, one.counted_by) == (partition_of(one.account_id, 12), 12)
        assert (one.ledger, one.ledger_counted_by) == (partition_of(one.account_id, 6), 6)
    assert 10 < len(moved) < 30
    told = partition_mismatch("t", TopicSize("id", 12, 6))
    assert "t has 12 partitions, and its ledger's topic 6" in str(told)
    assert partition_mismatch("t", TopicSize("id", 6, 6)) is None


def test_each_record_in_another_partition_than_the_contracts_is_counted(db: Database) -> None:
    """By any worker, from the record alone; in its own partition none is."""
    batch = Batch(db, "t", "id", 6)
    batch.add([event(0, partition=MINE), event(0, "cus-2", partition=OTHER), event(1, "cus-2", partition=OTHER)])
    batch.write(AT)
    assert counts.totals(db, "t") == {"misplaced": 2}
    assert counts.in_partition(db, "t", OTHER, "misplaced") == 2


def test_before_a_worker_started_nothing_is_known(db: Database) -> None:
    """A command beside a database that no worker has used asks no broker for it."""
    assert misplaced(db, "another") == []
