"""Bare customers: those of earlier releases lose their fields in short steps, and what is left bare is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

from tests.connected import connected
from tests.unit.accounts.build import ACCOUNT, NEIGHBOUR
from tests.unit.store.test_long_operations import holds, stage
from tests.unit.store.test_query_plans import plans
from worker.consumer.owned_partitions import OwnedPartitions
from worker.jobs.retention import strip_unconnected
from worker.sqlite.database import Database, open_database
from worker.store import bare_customers, customers, marking
from worker.store.bare_customers import CONSENTS, WITHDRAWS, Bare, BareAccount

MANY = 2500
HERE = BareAccount(ACCOUNT, "t", "id", 0, 0)


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    """A database with many customers of one account, as an earlier release staged them, and three of another."""
    with closing(open_database(path)) as made:
        stage(made, MANY)
        stage(made, 3, NEIGHBOUR)
        with made.transaction():
            made.execute("UPDATE customer SET state = ?, changed = 1", (b'{"email":"x","marketing_consent":true}',))
            for one in (ACCOUNT, NEIGHBOUR):
                bare_customers.strip_later(made, one)
        yield made


def counts(db: Database) -> dict[tuple[str, int], int]:
    """How many customers there are of each account, bare or not."""
    rows = db.execute("SELECT account_id, bare, count(*) FROM customer GROUP BY account_id, bare")
    return {(row[0], row[1]): row[2] for row in rows}


def test_what_an_earlier_release_staged_loses_its_fields_in_parts(db: Database, path: Path) -> None:
    """No transaction writes all; who is connected keeps them; of the others nothing is in the file any more."""
    connected(db, NEIGHBOUR)
    held, transaction = list[float](), db.transaction

    def noted() -> AbstractContextManager[None]:
        held.append(db.held_seconds)
        return transaction()

    db.transaction = noted  # type: ignore[method-assign]
    assert strip_unconnected(db, OwnedPartitions()) == MANY
    assert len(held) > 5
    assert max(held) < 1
    assert counts(db) == {(ACCOUNT, 1): MANY, (NEIGHBOUR, 0): 3}
    assert b"2000@example.com" not in path.read_bytes() + path.with_name("x.db-wal").read_bytes()
    assert customers.changed_count(db, ACCOUNT) == MANY
    assert bare_customers.to_read(connected(db, ACCOUNT)) == [HERE]
    assert bare_customers.to_strip(db) == []


def test_stripping_that_was_cut_short_goes_on(db: Database) -> None:
    """What is done stays done, and where to read is known for each that was."""
    db.must_end = lambda: True
    assert 0 < strip_unconnected(db, OwnedPartitions()) < MANY
    assert bare_customers.to_strip(db) == [ACCOUNT, NEIGHBOUR]
    db.must_end = None
    strip_unconnected(db, OwnedPartitions())
    assert counts(db) == {(ACCOUNT, 1): MANY, (NEIGHBOUR, 1): 3}
    assert bare_customers.to_strip(db) == []


def test_nothing_is_stripped_before_the_settings_are_read(db: Database) -> None:
    """Whose settings are not here yet may be connected."""
    assert strip_unconnected(db, OwnedPartitions(follows=True)) == 0
    assert counts(db) == {(ACCOUNT, 0): MANY, (NEIGHBOUR, 0): 3}


def test_stripped_customers_keep_consent_and_deletion(db: Database) -> None:
    """A withdrawn consent stays, and a deletion that keeps one is to be read again; any other needs no field."""
    withdrawn = b'{"email":"x","marketing_consent":false}'
    db.execute("UPDATE customer SET state = ? WHERE customer_id IN ('cus-0', 'cus-2')", (withdrawn,))
    db.execute("UPDATE customer SET deleted = 1 WHERE customer_id IN ('cus-1', 'cus-2')")
    bare_customers.strip(db, NEIGHBOUR)
    rows = db.execute(
        "SELECT customer_id, address, state, bare FROM customer WHERE account_id = ? ORDER BY 1", (NEIGHBOUR,)
    )
    assert [tuple(row) for row in rows] == [
        ("cus-0", None, WITHDRAWS, 1),
        ("cus-1", None, None, 0),
        ("cus-2", None, WITHDRAWS, 1),
    ]
    assert bare_customers.strip(db, NEIGHBOUR) == 0
    assert CONSENTS != WITHDRAWS


def test_an_account_that_was_forgotten_once_more_meanwhile_stays_noted(db: Database) -> None:
    """It may have customers with fields again."""
    with db.transaction():
        bare_customers.stripped(db, [ACCOUNT])
    assert ACCOUNT in bare_customers.to_strip(db)


def test_whose_records_are_gone_wait_for_their_next_event(db: Database) -> None:
    """They are counted and no flush is due for them; those that are deleted need nothing more."""
    sizes = holds(db)
    bare_customers.strip(db, ACCOUNT)
    connected(db, ACCOUNT)
    assert bare_customers.of_account(db, ACCOUNT) == Bare(MANY, reading=True)
    db.execute("UPDATE customer SET deleted = 1 WHERE customer_id = 'cus-7' AND account_id = ?", (ACCOUNT,))
    assert bare_customers.end(db, HERE) == MANY - 1
    assert max(sizes) < MANY
    assert customers.changed_count(db, ACCOUNT) == 1
    assert [one.customer_id for one in customers.changed(db, ACCOUNT, None, 10)] == ["cus-7"]
    assert bare_customers.of_account(db, ACCOUNT) == Bare(MANY - 1, reading=False)
    assert bare_customers.to_read(db) == []
    with db.transaction():
        marking.mark_changed(db, ACCOUNT, None)
    marking.mark_the_rest(db)
    assert customers.changed_count(db, ACCOUNT) == 1


def test_nothing_is_noted_where_all_were_filled(db: Database) -> None:
    """Then nothing has to be counted to know that none is bare."""
    bare_customers.strip(db, NEIGHBOUR)
    connected(db, NEIGHBOUR)
    with db.transaction():
        rows = [(f"{n}@example.com", b"{}", "now", NEIGHBOUR, f"cus-{n}") for n in range(3)]
        assert bare_customers.fill(db, rows) == 3
    (noted,) = bare_customers.to_read(db)
    assert bare_customers.end(db, noted) == 0
    assert bare_customers.of_connected(db) == {}


def test_an_account_that_is_forgotten_while_it_is_read_begins_again(db: Database) -> None:
    """What was read before it was forgotten is no longer here, so that its reading does not go on from there."""
    bare_customers.strip(db, ACCOUNT)
    connected(db, ACCOUNT)
    with db.transaction():
        moved = bare_customers.move(db, HERE, 1000)
    assert moved == BareAccount(ACCOUNT, "t", "id", 0, 1000)
    db.execute("DELETE FROM account WHERE account_id = ?", (ACCOUNT,))
    with db.transaction():
        assert bare_customers.move(db, moved, 2000) is None
        bare_customers.note(db, "t", "id", {(ACCOUNT, 0): 5})
    connected(db, ACCOUNT)
    with db.transaction():
        assert bare_customers.move(db, moved, 2000) is None
    assert [one.first_offset for one in bare_customers.to_read(db)] == [5]


def test_bare_customers_are_counted_by_index(db: Database) -> None:
    """An account of a million with a few bare customers is not read for them."""
    found = plans(connected(db, ACCOUNT), lambda: bare_customers.of_account(db, ACCOUNT))
    found += plans(db, lambda: bare_customers.end(db, HERE))
    assert not any(
        plan.endswith("(account_id=?)") and "bare_account" not in plan and "account USING" not in plan for plan in found
    ), found
