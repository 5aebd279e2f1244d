"""Commits of the same rows by several threads: Kafka and the database have them in the same order."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from worker.changelog.outcome_records import record_of
from worker.changelog.record_writer import Acknowledged
from worker.changelog.records import key_of, value_of
from worker.changelog.signatures import Signatures
from worker.changelog.table_rows import ChangelogRow
from worker.changelog.writer import ChangelogWriter, RowClaims
from worker.config import Kafka
from worker.model import AccountId, AddressKey, CustomerId, ListId, MembershipKey
from worker.sqlite.database import Database, open_database
from worker.sqlite.rows import Changed, RowKey
from worker.store import accounts, customer_outcomes, ledger
from worker.store.accounts import AccountSettings
from worker.store.customer_outcomes import CustomerOutcome
from worker.store.ledger import LedgerEntry

ACCOUNT = AccountId("acct-1")
AT = "2026-11-22T10:00:00.000Z"


class Log(ChangelogWriter):
    """Writes to lists instead of Kafka, and then calls a hook of the writing thread."""

    def __init__(self) -> None:
        super().__init__(Kafka(), lambda: datetime.now(UTC), lambda: Signatures([b"k"]), publishes_outcomes=True)
        self.ledger: dict[bytes, bytes | None] = {}
        self.told: dict[bytes, bytes | None] = {}
        self.acknowledged: dict[str, Callable[[], None]] = {}

    def write(
        self,
        rows: Sequence[ChangelogRow],
        *,
        outcome_rows: Sequence[ChangelogRow] = (),
        erased: Any = (),
    ) -> list[Acknowledged]:
        """Appends the records as one transaction, of which only the last of each key counts."""
        self.ledger |= {key_of(row): value_of(row, erase=row.row_key in erased) for row in rows}
        self.told |= dict(map(record_of, outcome_rows))
        self.acknowledged.pop(threading.current_thread().name, lambda: None)()
        return []

    @property
    def statuses(self) -> dict[str, str]:
        """The members' statuses by address, as Kafka has them."""
        return {json.loads(key)[3]: json.loads(value)["member_status"] for key, value in self.ledger.items() if value}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a database with one account."""
    file = tmp_path / "worker.db"
    with closing(open_database(file)) as db, db.transaction():
        accounts.save(db, AccountSettings(ACCOUNT))
    return file


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    """A connection to it."""
    with closing(open_database(path)) as opened:
        yield opened


def entry(number: int = 0, status: str = "subscribed") -> LedgerEntry:
    """A member of the list."""
    membership = MembershipKey(ListId("l1"), AddressKey(f"{number}@example.com"))
    return LedgerEntry(membership, CustomerId(f"cus-{number}"), "present", "added", AT, {}, status)


def put(db: Database, *entries: LedgerEntry) -> Changed[None]:
    """Writes entries over those that are there."""
    return Changed(None, ledger.put_entries(db, ACCOUNT, entries))


def changed(db: Database, number: int, **values: Any) -> Changed[None]:
    """Reads an entry and writes it with other values."""
    (before,) = ledger.entries_of(db, ACCOUNT, [entry(number).membership.address])
    return put(db, replace(before, **values))


def statuses(db: Database) -> dict[str, str | None]:
    """The members' statuses by address, as the database has them."""
    rows = db.execute("SELECT address, member_status FROM ledger")
    return {row["address"]: row["member_status"] for row in rows}


def test_a_row_that_is_being_committed_waits_for_the_commit_before(path: Path, db: Database) -> None:
    """A second commit reads what the first one wrote, although the first one is still between Kafka and database."""
    log = Log()
    log.commit(db, lambda: put(db, entry()))
    rehearsed, second_done = threading.Event(), threading.Event()

    def second() -> None:
        with closing(open_database(path)) as own:

            def act() -> Changed[None]:
                rehearsed.set()
                return changed(own, 0, sent_at="seen")

            log.commit(own, act)
        second_done.set()

    thread = threading.Thread(target=second)

    def meanwhile() -> None:
        thread.start()
        assert rehearsed.wait(30)
        assert not second_done.wait(0.1), "it overtook the first commit"

    log.acknowledged[threading.current_thread().name] = meanwhile
    log.commit(db, lambda: put(db, entry(status="unsubscribed")))
    thread.join(30)
    assert statuses(db) == log.statuses == {"0@example.com": "unsubscribed"}


def test_commits_of_other_rows_do_not_wait(path: Path, db: Database) -> None:
    """While one commit waits for Kafka, another thread commits other rows."""
    log = Log()

    def second() -> None:
        with closing(open_database(path)) as own:
            log.commit(own, lambda: put(own, entry(1)))

    def meanwhile() -> None:
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(30)
        assert statuses(db) == {"1@example.com": "subscribed"}

    log.acknowledged[threading.current_thread().name] = meanwhile
    log.commit(db, lambda: put(db, entry(0)))
    assert statuses(db) == log.statuses == {"0@example.com": "subscribed", "1@example.com": "subscribed"}


def test_threads_that_commit_the_same_rows_all_the_time_leave_both_the_same(path: Path, db: Database) -> None:
    """Whichever commit is last, it is last in both; and no read of one thread overwrites what another wrote."""
    log = Log()
    numbers = range(20)
    log.commit(db, lambda: put(db, *map(entry, numbers)))

    def leave() -> None:
        with closing(open_database(path)) as own:
            own.must_end = lambda: False
            for number in numbers:
                log.commit(own, lambda number=number: changed(own, number, member_status="unsubscribed"))  # type: ignore[misc]

    def note(offset: int) -> None:
        with closing(open_database(path)) as own:
            own.must_end = lambda: False
            for number in (*numbers[offset:], *numbers[:offset]):
                log.commit(own, lambda number=number: changed(own, number, sent_at=f"{offset:02}"))  # type: ignore[misc]

    def stage() -> None:
        with closing(open_database(path)) as own:
            own.must_end = lambda: False
            for number in range(50):
                with own.transaction():
                    own.execute("INSERT OR REPLACE INTO read_count VALUES ('customers', 0, 'away', ?)", (number,))

    with ThreadPoolExecutor(5) as pool:
        done = [pool.submit(leave), pool.submit(stage), *(pool.submit(note, offset) for offset in (0, 5, 10))]
    for future in done:
        future.result()
    assert statuses(db) == log.statuses == {f"{number}@example.com": "unsubscribed" for number in numbers}


def test_what_an_abandoned_try_sent_is_erased_from_kafka(db: Database) -> None:
    """Its row was never in the database, so no later erasure would find its address there."""
    log = Log()
    erased = False

    def act() -> Changed[None]:
        return Changed(None, []) if erased else put(db, entry())

    def meanwhile() -> None:
        nonlocal erased
        erased = True
        with db.transaction():
            db.execute("INSERT OR REPLACE INTO read_count VALUES ('customers', 0, 'away', 1)")

    log.acknowledged[threading.current_thread().name] = meanwhile
    log.commit(db, act)
    assert log.ledger == {key_of(ChangelogRow("place", (ACCOUNT, "l1", "0@example.com"), None)): None}


def test_an_outcome_that_an_abandoned_try_sent_is_taken_back(db: Database) -> None:
    """The outcomes topic ends with the committed outcome, although that is the one from before the try."""
    log = Log()
    customer_id = CustomerId("cus-0")
    skipped, added = outcome("skipped"), outcome("added")
    log.commit(db, lambda: told(db, customer_id, skipped))
    taken_back = False

    def meanwhile() -> None:
        nonlocal taken_back
        taken_back = True
        with db.transaction():
            db.execute("INSERT OR REPLACE INTO read_count VALUES ('customers', 0, 'away', 1)")

    log.acknowledged[threading.current_thread().name] = meanwhile
    log.commit(db, lambda: told(db, customer_id, skipped if taken_back else added))
    (record,) = log.told.values()
    assert record is not None
    assert json.loads(record)["data"]["outcome"] == "skipped"


def outcome(name: str) -> CustomerOutcome:
    """What is published about a customer."""
    return CustomerOutcome(
        1, "e", ListId("l1"), None, "subscribed", AT, name, "It was.", "Nothing.", "billmywork", 1, AT
    )


def told(db: Database, customer_id: CustomerId, told_outcome: CustomerOutcome) -> Changed[None]:
    """Writes an outcome."""
    return Changed(None, customer_outcomes.put(db, ACCOUNT, {customer_id: told_outcome}))


def test_two_claims_never_wait_for_each_other() -> None:
    """Who wants more rows releases its own first, so two that want each other's both get them, one after the other."""
    claims = RowClaims()
    rows = [RowKey("customer", (ACCOUNT, str(number))) for number in range(2)]
    both = threading.Barrier(2)

    def want(mine: RowKey) -> None:
        with claims.claim() as claimed:
            claims.replace(claimed, [mine])
            both.wait(30)
            claims.replace(claimed, rows)
            assert claimed == set(rows)

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(want, row) for row in rows]:
            future.result(30)
