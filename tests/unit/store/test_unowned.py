"""Partitions of other workers: since when, dropped part by part, and back at any moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.accounts.build import ACCOUNT, NEIGHBOUR
from tests.unit.accounts.test_forget import customer_status, entry, receipt
from tests.unit.store.test_long_operations import holds, stage
from worker.model import AccountId
from worker.sqlite.database import Database, open_database
from worker.store import ledger, offsets, receipts, unowned
from worker.store.unowned import BACK, DROPPING, KEPT, PartitionBack, Unowned

MANY = 2500
THIS = Unowned(0, ("t", "id"), ("t.ledger", "l"))
NOON, LATER, LAST = "2026-11-22T12:00:00.000Z", "2026-11-23T12:00:00.000Z", "2026-11-24T12:00:00.000Z"


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    """A database with many customers of one account, whose partition is 0, and three of another, in partition 1."""
    with closing(open_database(path)) as made:
        stage(made, MANY)
        stage(made, 3, NEIGHBOUR)
        with made.transaction():
            made.execute("UPDATE customer SET partition = 1 WHERE account_id = ?", (NEIGHBOUR,))
            for number, account in enumerate((ACCOUNT, NEIGHBOUR)):
                offsets.note_accounts(made, "t", "id", [(account, number)])
                for topic, topic_id in (THIS.topic, THIS.ledger):
                    offsets.move_on(made, topic, topic_id, number, 17, NOON)
            ledger.put_entries(made, ACCOUNT, [entry(n, f"{n}@example.com") for n in range(MANY)])
            ledger.put_customer_statuses(made, ACCOUNT, [customer_status(n, f"{n}@example.com") for n in range(MANY)])
            receipts.write(made, [receipt(n, f"{n}@example.com") for n in range(MANY)])
            unowned.note(made, ("t", "t.ledger"), {1}, NOON)
        yield made


def partition_of(account_id: AccountId) -> int:
    """The partition of an account's ledger."""
    return 0 if account_id == ACCOUNT else 1


def begin(db: Database) -> bool:
    """Begins to drop, a day later."""
    with db.transaction():
        return unowned.begin(db, THIS, LATER)


def state(db: Database) -> int | None:
    """The partition's."""
    return unowned._state(db, 0)


def left(db: Database) -> dict[str, int]:
    """How many rows of the account there are."""
    tables = ("customer", "ledger", "standing", "receipt")
    count = "SELECT count(*) FROM {} WHERE account_id = ?"
    return {table: db.execute(count.format(table), (ACCOUNT,)).fetchone()[0] for table in tables}


def test_very_many_rows_are_dropped_in_parts(db: Database) -> None:
    """No transaction removes all of them, and nothing of the partition is left; the other one's rows stay."""
    assert begin(db)
    assert offsets.next_of(db, *THIS.topic, 0) is None
    sizes = holds(db)
    assert unowned.drop_accounts(db, THIS, partition_of) == 3 * MANY
    assert unowned.drop_events(db, THIS) == MANY
    assert len(sizes) > 8
    assert max(sizes) <= 1000
    with db.transaction():
        unowned.end(db, THIS)
    assert set(left(db).values()) == {0}
    assert state(db) is None
    assert db.execute("SELECT count(*) FROM customer").fetchone()[0] == 3
    assert offsets.next_of(db, *THIS.topic, 1) == 17


def test_a_dropping_that_was_cut_short_goes_on(db: Database) -> None:
    """As when the worker ends in the midst of it: the partition stays due, whatever the time."""
    assert begin(db)
    db.must_end = lambda: True
    unowned.drop_accounts(db, THIS, partition_of)
    assert 0 < left(db)["ledger"] < MANY
    db.must_end = None
    assert unowned.due(db, NOON[:10]) == [0]
    assert begin(db)
    unowned.drop_accounts(db, THIS, partition_of)
    unowned.drop_events(db, THIS)
    assert set(left(db).values()) == {0}


def test_a_partition_is_due_after_the_time_and_not_while_it_is_owned(db: Database) -> None:
    """The time counts from when it was first another worker's, and again once this worker had it or read its ledger."""
    assert unowned.due(db, "2026-11-22T11:59:59.000Z") == []
    assert unowned.due(db, LATER) == [0]
    unowned.ledger_back(db, *THIS.ledger, 0, LAST)
    assert unowned.due(db, LATER) == []
    assert not begin(db)
    with db.transaction():
        unowned.note(db, ("t", "t.ledger"), {0, 1}, LAST)
        unowned.note(db, ("t", "t.ledger"), {1}, LAST)
    assert unowned.due(db, LATER) == []
    assert unowned.due(db, LAST) == [0]


def test_a_partition_that_comes_back_stops_its_dropping(db: Database, path: Path) -> None:
    """Events first: nothing is removed any more, and events and ledger are read from their beginnings."""
    assert begin(db)
    with closing(open_database(path)) as other:
        unowned.events_back(other, 0, LAST)
    with pytest.raises(PartitionBack):
        unowned.drop_accounts(db, THIS, partition_of)
    with db.transaction(), pytest.raises(PartitionBack):
        unowned.end(db, THIS)
    assert left(db)["ledger"] == MANY
    assert state(db) == BACK
    assert not begin(db)
    unowned.ledger_back(db, *THIS.ledger, 0, LAST)
    assert state(db) is None
    assert offsets.next_of(db, *THIS.topic, 0) is None
    assert offsets.next_of(db, *THIS.ledger, 0) == 0


def test_a_command_that_reads_the_ledger_stops_the_dropping(db: Database) -> None:
    """Ledger alone: it is read from its beginning, and all is dropped a day later."""
    assert begin(db)
    unowned.ledger_back(db, *THIS.ledger, 0, LAST)
    with pytest.raises(PartitionBack):
        unowned.drop_events(db, THIS)
    assert state(db) == KEPT
    assert offsets.next_of(db, *THIS.ledger, 0) == 0
    unowned.events_back(db, 0, LAST)
    assert state(db) is None


def test_a_partition_that_was_lost_again_before_its_ledger_was_read_is_dropped_later(db: Database) -> None:
    """A day after it came back: what is here of it is still not whole."""
    assert begin(db)
    unowned.events_back(db, 0, LATER)
    assert not unowned.due(db, NOON)
    assert unowned.due(db, LATER) == [0]
    assert begin(db)
    assert state(db) == DROPPING
