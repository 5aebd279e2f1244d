"""Operations on very many rows: in short transactions, going on where they were cut short, beside others' locks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.checked_changelog import CHANGELOG, CheckedChangelog
from tests.unit.accounts.build import ACCOUNT, NEIGHBOUR
from tests.unit.accounts.test_forget import customer_status, entry, letter, receipt, told
from worker.accounts.forget import forget_account
from worker.changelog.commit import commit_in_parts
from worker.changelog.signatures import Signatures
from worker.changelog.writer import Acknowledged, ChangelogWriter
from worker.clock import utc_now
from worker.config import Kafka
from worker.errors import DatabaseError
from worker.model import AccountId
from worker.sqlite import database, parts
from worker.sqlite.database import Database, open_database
from worker.store import customers, dead_letters, ledger, ledger_erasure, marking, receipts, refusals

MANY = 2500


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    """Returns an empty database."""
    with closing(open_database(path)) as made:
        yield made


def stage(db: Database, count: int, account_id: AccountId = ACCOUNT) -> None:
    """Stages so many customers of which nothing is left to do."""
    rows = [
        (account_id, f"cus-{n}", f"{n}@example.com", None, 0, None, None, None, "t", "id", 0, n, "now")
        for n in range(count)
    ]
    with db.transaction():
        customers.stage(db, rows)
        db.execute("UPDATE customer SET changed = 0")


def revisions(db: Database, account_id: AccountId = ACCOUNT) -> set[tuple[int, int]]:
    """Returns which revisions the account's customers have, and whether changed."""
    return {
        tuple(row) for row in db.execute("SELECT revision, changed FROM customer WHERE account_id = ?", (account_id,))
    }


def holds(db: Database) -> list[int]:
    """Has a connection note how many rows each transaction of a long operation writes."""
    sizes, act = list[int](), db.executemany

    def noted(sql: str, rows: object) -> object:
        given = list(rows)  # type: ignore[call-overload]
        sizes.append(len(given))
        return act(sql, given)

    db.executemany = noted  # type: ignore[method-assign]
    return sizes


def test_a_resync_of_very_many_customers_is_done_in_parts(db: Database) -> None:
    """No transaction writes all of them, and afterwards each is marked once; other accounts' customers are not."""
    stage(db, MANY)
    stage(db, 3, NEIGHBOUR)
    sizes = holds(db)
    with db.transaction():
        assert marking.mark_changed(db, ACCOUNT, None).result == marking.MARKED_AT_ONCE
    assert customers.changed_count(db, ACCOUNT) == marking.MARKED_AT_ONCE
    assert marking.mark_the_rest(db) == MANY - marking.MARKED_AT_ONCE
    assert revisions(db) == {(2, 1)}
    assert revisions(db, NEIGHBOUR) == {(1, 0)}
    assert max(sizes) <= 1000
    assert marking.mark_the_rest(db) == 0


def test_a_resync_that_was_cut_short_is_carried_on(db: Database, path: Path) -> None:
    """The next flush or command goes on from where it was, so that nobody is left out or marked twice."""
    stage(db, MANY)
    with db.transaction():
        marking.mark_changed(db, ACCOUNT, None)
    db.must_end = lambda: True
    marking.mark_the_rest(db)
    assert 0 < customers.changed_count(db, ACCOUNT) < MANY
    with closing(open_database(path)) as other:
        marking.mark_the_rest(other)
        assert revisions(other) == {(2, 1)}


def test_a_second_resync_during_the_first_begins_from_the_front(db: Database, path: Path) -> None:
    """Everybody is looked at since it was wanted: the first one does not carry on over the second one's note."""
    stage(db, MANY)
    with db.transaction():
        marking.mark_changed(db, ACCOUNT, None)

    wanted = list[int]()

    def again(count: int) -> None:
        if not wanted:  # once, however many steps the machine's speed makes of it
            wanted.append(count)
            with closing(open_database(path)) as other, other.transaction():
                marking.mark_changed(other, ACCOUNT, None)

    marking.mark_the_rest(db, again)
    assert wanted
    assert {revision for revision, _ in revisions(db)} <= {2, 3, 4}
    assert customers.changed_count(db, ACCOUNT) == MANY
    assert db.execute("SELECT count(*) FROM marking").fetchone()[0] == 0


def test_what_was_settled_elsewhere_is_settled_in_parts(db: Database) -> None:
    """Only who is known to be, each once, no matter how many."""
    stage(db, MANY)
    with db.transaction():
        db.execute("UPDATE customer SET changed = 1")
        db.execute("INSERT INTO account (account_id) VALUES (?)", (ACCOUNT,))
        db.execute(
            "INSERT INTO standing (account_id, customer_id, settled) SELECT account_id, customer_id, "
            '\'0 id 0 \' || "offset" FROM customer WHERE "offset" % 2 = 0'
        )
    sizes = holds(db)
    assert customers.settle_known(db) == MANY // 2
    assert customers.changed_count(db, ACCOUNT) == MANY // 2
    assert len(sizes) > 1
    assert customers.settle_known(db) == 0


def is_known(db: Database, account_id: AccountId) -> bool:
    """Returns whether anything of an account is kept but its customers, as after an interrupted forgetting."""
    for table in ("account", "ledger", "standing", "receipt", "forgotten", "flush_run_account"):
        if db.execute(f"SELECT 1 FROM {table} WHERE account_id = ? LIMIT 1", (account_id,)).fetchone():
            return True
    return False


def test_a_forgetting_that_was_cut_short_is_known_and_goes_on(db: Database, path: Path) -> None:
    """The settings go first; what is left then is found by the next call, which leaves nothing."""
    stage(db, 2000)
    with db.transaction():
        db.execute("INSERT INTO account (account_id) VALUES (?)", (ACCOUNT,))
        ledger.put_entries(db, ACCOUNT, [entry(n, f"{n}@example.com") for n in range(2000)])
        ledger.put_customer_statuses(db, ACCOUNT, [customer_status(n, f"{n}@example.com") for n in range(2000)])
        receipts.write(db, [receipt(n, f"{n}@example.com") for n in range(2000)])

    class Failing(CheckedChangelog):
        """Fails the fourth change."""

        passed = 0

        def commit(self, db: Database, act: Callable[[], Any], *, erase: bool = False) -> Any:
            self.passed += 1
            if self.passed == 4:
                raise RuntimeError
            return super().commit(db, act, erase=erase)

    with pytest.raises(RuntimeError):
        forget_account(db, Failing(), ACCOUNT)
    assert db.execute("SELECT count(*) FROM account").fetchone()[0] == 0
    assert 0 < db.execute("SELECT count(*) FROM ledger").fetchone()[0] < 2000
    assert is_known(db, ACCOUNT)
    forget_account(db, CHANGELOG, ACCOUNT)
    assert not is_known(db, ACCOUNT)
    assert told(path, ACCOUNT) == {"customer", "bare_account"}


def test_kafka_is_not_waited_for_with_the_lock_held(db: Database, path: Path) -> None:
    """Rows that Kafka keeps are written there between a rehearsal and the transaction, which has just the same rows."""
    with db.transaction():
        ledger.put_customer_statuses(db, ACCOUNT, [customer_status(n, f"{n}@example.com") for n in range(MANY)])
    sizes, written = holds(db), list[int]()

    class Writer(ChangelogWriter):
        """Has no Kafka."""

        def write(
            self, rows: Sequence[Any], *, outcome_rows: object = (), erased: Collection[Any] = ()
        ) -> list[Acknowledged]:
            """Has another connection write, which needs the lock."""
            assert set(erased) == {row.row_key for row in rows}
            assert len(rows) == sum(sizes)
            with closing(open_database(path)) as other, other.transaction():
                other.execute("INSERT OR REPLACE INTO group_instance VALUES ('written meanwhile')")
            return []

        def commit(self, db: Database, act: Callable[[], Any], *, erase: bool = False) -> Any:
            """Looks that the rehearsal and the transaction have the same rows."""
            result = super().commit(db, act, erase=erase)
            assert sum(sizes) == 2 * result
            written.append(result)
            sizes.clear()
            return result

    rows = ledger_erasure.rows_of_account(db, ACCOUNT)
    changelog = Writer(Kafka(), utc_now, lambda: Signatures([b"k"]))
    assert commit_in_parts(changelog, db, rows, lambda part: ledger_erasure.delete(db, part), erase=True) == MANY
    assert sum(written) == MANY
    assert len(written) > 1


def test_a_step_ends_once_its_time_is_over(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it was to have more rows: a busy machine may have kept it waiting."""
    stage(db, MANY)
    now = [0.0]

    def write(part: list[int]) -> int:
        now[0] += parts.STEP_SECONDS / 2
        return len(part)

    sizes, change = list[int](), db.transaction

    @contextmanager
    def noted() -> Iterator[None]:
        before = now[0]
        with change():
            yield
        sizes.append(round((now[0] - before) / parts.STEP_SECONDS))

    monkeypatch.setattr(parts.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(parts.time, "sleep", lambda seconds: None)
    db.transaction = noted  # type: ignore[method-assign, assignment]
    assert db.in_parts(range(MANY), write) == MANY
    assert max(sizes) == 1


def test_dead_letters_are_searched_a_few_at_a_time(db: Database) -> None:
    """All of them, though only a few are in memory together."""
    with db.transaction():
        dead_letters.keep(db, [letter(n, value=b"a@example.com" if n % 30 == 7 else b"?") for n in range(100)])
    assert dead_letters.mentioning(db, "a@example.com") == [8, 38, 68, 98]


@pytest.fixture
def locked(path: Path, db: Database) -> Iterator[threading.Event]:
    """Has another connection hold the write lock until the event is set."""
    free, held = threading.Event(), threading.Event()

    def hold() -> None:
        with closing(open_database(path)) as other, other.transaction():
            held.set()
            free.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    yield free
    free.set()
    holder.join()


def test_a_thread_of_a_running_worker_waits_for_a_lock_and_says_so(
    db: Database, locked: threading.Event, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """However long another holds it, also longer than a command would wait; then it writes."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.01)
    monkeypatch.setattr(database, "LOGGED_AFTER_SECONDS", 0.05)
    monkeypatch.setattr(database.log, "warning", freeing(locked))
    db.must_end = lambda: False
    with db.transaction():
        db.execute("INSERT INTO group_instance VALUES ('x')")
    assert locked.is_set()


def freeing(locked: threading.Event) -> object:
    """Returns a log that lets the lock go once the wait is logged."""

    def warning(text: str, waited: float, extra: dict[str, int]) -> None:
        assert "another process or thread is writing" in text % waited
        assert extra["seconds"] == round(waited)
        locked.set()

    return warning


def test_a_worker_that_must_end_waits_for_no_lock(db: Database, locked: threading.Event) -> None:
    """It gives up within a second or so, and what it did not write is written the next time."""
    db.must_end = lambda: True
    began = time.monotonic()
    with pytest.raises(DatabaseError, match="locked"), db.transaction():
        raise AssertionError("the lock is another's")
    assert time.monotonic() - began < 5


def test_a_command_gives_up_on_a_lock(db: Database, locked: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a time, with what to do."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.01)
    with pytest.raises(DatabaseError, match="locked") as caught, db.transaction():
        raise AssertionError("the lock is another's")
    assert "Another process has held it" in caught.value.advice


def test_refusals_of_a_person_stay_when_an_operator_takes_refusals_back(db: Database) -> None:
    """Unclear ones and those about an address go; whom Mailchimp forgot or holds in compliance state keeps them."""
    with db.transaction():
        ledger.put_customer_statuses(
            db,
            ACCOUNT,
            [
                customer_status(
                    1, "1@example.com", refusal="Invalid Resource", refused_address="1@example.com", attempts=4
                ),
                customer_status(2, "2@example.com", refusal="Fake", refused_address="2@example.com"),
                customer_status(3, "3@example.com", refusal="Forgotten Email Not Subscribed"),
                customer_status(4, "4@example.com", refusal="Member In Compliance State"),
                customer_status(
                    5, "5@example.com", refusal="Member In Compliance State", refused_address="5@example.com"
                ),
            ],
        )
        assert [*refusals.clearable(db, ACCOUNT, None)] == ["cus-1", "cus-2"]
        assert refusals.lasting_count(db, ACCOUNT, None) == 3
        assert refusals.clear(db, ACCOUNT, [*refusals.clearable(db, ACCOUNT, None)]).result == 2
    assert [
        one.customer_id
        for one in ledger.customer_statuses_of(db, ACCOUNT, [f"cus-{n}" for n in range(9)])
        if one.refusal
    ] == ["cus-3", "cus-4", "cus-5"]
