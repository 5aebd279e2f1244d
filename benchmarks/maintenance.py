"""Runs the longest operations on a database of very many customers, while another process keeps writing.

Each operation is a separate process, so that its peak memory can be measured. Meanwhile this process writes a row every
few milliseconds, as the poll thread does, and measures how long it waits. Kafka is left out: records are dropped.
Prints a table. Exits with 1 if a target is missed. The time in which other processes had all processors does not count
towards a lock. Run it with:
python -m benchmarks.maintenance [--customers N]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import peak_mb
from worker.accounts.forget import forget_account, forget_person
from worker.accounts.secrets import parsed
from worker.changelog.table_rows import ChangelogRow
from worker.changelog.writer import Acknowledged, ChangelogWriter
from worker.clock import as_moment, utc_now
from worker.config import Kafka
from worker.model import AccountId, AddressKey
from worker.sqlite.database import Database, open_database
from worker.store import customers, marking

LARGE, ACCOUNTS = AccountId("acct-00"), 20
LARGE_PART = 0.3
HELD_TARGET, MEMORY_TARGET_MB = 0.1, 100
PAUSE_SECONDS = 0.005
ROWS_AT_ONCE = 100_000
MOMENT = "2026-11-20T10:00:00.000Z"
SECRET = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


@dataclass(frozen=True)
class Measured:
    """The result of one operation.

    Attributes:
        rows: number of rows that it changed.
        held: seconds for which its longest transaction held the write lock.
        held_at_work: the same without the time in which it could run but had no processor, if the system reports that.
        memory_mb: peak memory.
        waited: the longest that the other writer waited, in seconds.
        typical: the 99th percentile of its waits, in seconds.
    """

    rows: int
    seconds: float
    held: float
    held_at_work: float
    memory_mb: float
    waited: float = 0.0
    typical: float = 0.0


_HASH = "v0123456789abcdefghijkl"
_NUMBERS = "WITH RECURSIVE number(n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM number WHERE n + 1 < ?2)"
_ACCOUNT = f"printf('acct-%02d', CASE WHEN n < ?3 THEN 0 ELSE 1 + n % {ACCOUNTS - 1} END)"
_EMAIL = "printf('customer.%08d@example.com', n)"
_ROWS = (
    f"INSERT INTO customer SELECT {_ACCOUNT}, printf('cus-%08d', n), {_EMAIL}, json_object("
    f"'id', printf('cus-%08d', n), 'email', {_EMAIL}, 'first_name', 'Ann', 'last_name', 'Lee', 'company', 'Lee Ltd', "
    "'phone', '+44 113 496 0000'), "
    f"0, 1, NULL, NULL, 't', 'id', 0, n, '{MOMENT}', 1, 0, 0 FROM number",
    "INSERT INTO ledger (account_id, list_id, address, customer_id, state, origin, member_status, fields, sent_at) "
    f"SELECT {_ACCOUNT}, 'a1b2c3d4e5', {_EMAIL}, printf('cus-%08d', n), 'present', 'added', 'subscribed', "
    f"json_object('FNAME', '{_HASH}', 'LNAME', '{_HASH}'), '{MOMENT}' FROM number",
    "INSERT INTO standing (account_id, customer_id, list_id, address, settled) "
    f"SELECT {_ACCOUNT}, printf('cus-%08d', n), 'a1b2c3d4e5', {_EMAIL}, '0 id 0 ' || n FROM number",
    'INSERT INTO receipt (run, at, account_id, customer_id, address, revision, topic, partition, "offset", list_id, '
    f"call, sent, answer_status, outcome, detail, next) SELECT 1, '{MOMENT}', {_ACCOUNT}, printf('cus-%08d', n), "
    f"{_EMAIL}, 1, 't', 0, n, 'a1b2c3d4e5', 'POST /lists/a1b2c3d4e5', json_object('email_address', {_EMAIL}), 200, "
    "'added', 'Added as subscribed.', 'Nothing until the customer changes.' FROM number",
)


def make(path: Path, count: int) -> None:
    """Creates a database of customers that were delivered once, and lets some of their rows grow and move."""
    with closing(open_database(path)) as db:
        for pragma in ("synchronous = OFF", "cache_size = -500000", "secure_delete = OFF"):
            db.execute(f"PRAGMA {pragma}")
        with db.transaction():
            for n in range(ACCOUNTS):
                db.execute("INSERT INTO account (account_id, enabled) VALUES (?, 1)", (f"acct-{n:02}",))
        for first in range(0, count, ROWS_AT_ONCE):
            with db.transaction():
                for rows in _ROWS:
                    db.execute(f"{_NUMBERS} {rows}", (first, min(first + ROWS_AT_ONCE, count), int(count * LARGE_PART)))
        with db.transaction():
            db.execute("UPDATE customer SET state = state || printf('%200s', '') WHERE \"offset\" % 37 = 0")
            db.execute("UPDATE customer SET changed = 1")
        db.empty_log()
    os.sync()  # otherwise the disk is still busy while operations are measured


class NoKafka(ChangelogWriter):
    """Commits like the worker, but writes nothing to Kafka."""

    def write(self, rows: Sequence[ChangelogRow], *, erase: bool = False) -> list[Acknowledged]:
        """Writes nothing."""
        return []


NO_KAFKA = NoKafka(Kafka(), utc_now)


def settle(db: Database) -> int:
    """Settles all customers, which changed and were settled by another worker."""
    return customers.settle_known(db)


def resync(db: Database) -> int:
    """Marks all customers of the large account as changed."""
    with db.transaction():
        marked = marking.mark_changed(db, LARGE, None).result
    return marked + marking.mark_the_rest(db)


def person(db: Database) -> int:
    """Forgets one person, and overwrites what was deleted in the file."""
    address, at = AddressKey("customer.00000777@example.com"), as_moment(MOMENT)
    return sum(forget_person(db, NO_KAFKA, address, secret=parsed(SECRET, "the benchmark"), at=at).values())


def account(db: Database) -> int:
    """Forgets the large account: ledger, customer statuses, receipts."""
    rows = int(db.execute("SELECT count(*) FROM standing WHERE account_id = ?", (LARGE,)).fetchone()[0])
    forget_account(db, NO_KAFKA, LARGE)
    return rows


OPERATIONS: dict[str, Callable[[Database], int]] = {
    "settle_known": settle,
    "resync": resync,
    "forget EMAIL": person,
    "forget EMAIL, again": person,
    "account forget": account,
}


@contextmanager
def longest(db: Database) -> Iterator[list[float]]:
    """Measures the longest transaction of a connection, with and without its waits for a processor."""
    held, transaction = [0.0, 0.0], Database.transaction

    @contextmanager
    def noted(self: Database) -> Iterator[None]:
        with transaction(self):
            before = unscheduled_seconds()
            yield
        waited = unscheduled_seconds() - before
        held[:] = max(held[0], self.held_seconds), max(held[1], self.held_seconds - waited)

    Database.transaction = noted  # type: ignore[method-assign, assignment]
    try:
        yield held
    finally:
        Database.transaction = transaction  # type: ignore[method-assign]


def act(path: Path, name: str) -> None:
    """Runs one operation, and prints what it took."""
    with closing(open_database(path)) as db, longest(db) as held:
        began = time.monotonic()
        rows = OPERATIONS[name](db)
        seconds = time.monotonic() - began
    print(rows, seconds, *held, peak_mb())


def unscheduled_seconds() -> float:
    """Returns the seconds in which this thread could have run but had no processor, so far."""
    schedstat = Path("/proc/thread-self/schedstat")
    return int(schedstat.read_text().split()[1]) / 1e9 if schedstat.exists() else 0.0


def measured(path: Path, name: str) -> Measured:
    """Runs one operation in a separate process, and writes to the database meanwhile."""
    command = [sys.executable, "-m", "benchmarks.maintenance", "--act", name, "--path", str(path)]
    waits = []
    with closing(open_database(path)) as db, subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        db.must_end = lambda: False
        while process.poll() is None:
            began = time.monotonic()
            with db.transaction():
                waits.append(time.monotonic() - began)
                db.execute("INSERT OR REPLACE INTO next_offset VALUES ('t', 'id', 0, ?, ?)", (len(waits), MOMENT))
            time.sleep(PAUSE_SECONDS)
        assert process.stdout is not None
        rows, seconds, held, at_work, memory = process.stdout.read().split()
    waits.sort()
    typical = waits[int(len(waits) * 0.99)]
    return Measured(int(rows), float(seconds), float(held), float(at_work), float(memory), waits[-1], typical)


def main() -> int:
    """Creates the database, runs every operation and prints a table; returns the exit code."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--customers", type=int, default=1_000_000)
    arguments.add_argument("--act", help=argparse.SUPPRESS)
    arguments.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.act:
        act(given.path, given.act)
        return 0
    missed = False
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "worker.db"
        began = time.monotonic()
        make(path, given.customers)
        size = path.stat().st_size / 1e9
        print(f"{given.customers:,} customers, {size:.1f} GB, made in {time.monotonic() - began:.0f} s\n", flush=True)
        print("| Operation | Rows | Seconds | Longest lock | of which working | Peak memory | ", end="")
        print("Another waits, 99 % | at most |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
        for name in OPERATIONS:
            one = measured(path, name)
            missed = missed or one.held_at_work > HELD_TARGET or one.memory_mb > MEMORY_TARGET_MB
            print(
                f"| {name} | {one.rows:,} | {one.seconds:.1f} | {one.held * 1000:.0f} ms "
                f"| {one.held_at_work * 1000:.0f} ms | {one.memory_mb:.0f} MB "
                f"| {one.typical * 1000:.0f} ms | {one.waited * 1000:.0f} ms |",
                flush=True,
            )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
