"""What the flushes of several accounts hand in is committed together, and each account answers for itself alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from tests.checked_changelog import CheckedChangelog
from worker.clock import utc_now
from worker.errors import DatabaseError, KafkaError
from worker.flush import commit_queue
from worker.flush.commit_queue import MOST_IN_GROUP, Change, CommitQueue
from worker.flush.step_result import Halted, StepResult
from worker.model import AccountId
from worker.sqlite.database import Database, open_database
from worker.sqlite.rows import Changed, Rows

_Result = TypeVar("_Result")
NO_DISK = DatabaseError("The disk is full.", "Make room.")
NO_BROKER = KafkaError("Kafka does not answer.", "Look.")


@dataclass(eq=False)
class Account:
    """An account's part of a flush."""

    account_id: AccountId
    mine: bool = True
    is_erased: bool = False
    learnt: list[StepResult] = field(default_factory=list)
    failed: list[Exception] = field(default_factory=list)

    def may_write(self) -> bool:
        """Whether it is this worker's."""
        return self.mine

    def erased(self, db: Database) -> bool:
        """As the test says."""
        return self.is_erased

    def write_results(self, db: Database, results: Sequence[StepResult]) -> Rows:
        """Writes how many there are."""
        db.execute("INSERT INTO told VALUES (?,?)", (self.account_id, f"{len(results)} results"))
        return []

    def write_progress(self, db: Database, results: Sequence[StepResult]) -> None:
        """Writes nothing."""

    def committed(self, results: Sequence[StepResult]) -> None:
        """Notes it."""
        self.learnt += results

    def not_committed(self, error: Exception) -> Exception:
        """Notes it."""
        self.failed.append(error)
        return error


class Groups(CheckedChangelog):
    """Commits, and notes how many changes each transaction has; the first one waits until it is let go on."""

    def __init__(self, *refused: AccountId) -> None:
        self.sizes: list[int] = []
        self.began, self.go_on = threading.Event(), threading.Event()
        self._refused = refused

    def commit(self, db: Database, act: Callable[[], Changed[_Result]], *, erase: bool = False) -> _Result:
        """Commits a group, unless a refused account is in it."""
        self.began.set()
        assert self.go_on.wait(10)
        before = db.execute("SELECT count(*) FROM told").fetchone()[0]
        with db.rehearsal():
            act()
            there = {row[0] for row in db.execute("SELECT account FROM told LIMIT -1 OFFSET ?", (before,))}
        if there & set(self._refused):
            raise NO_BROKER
        result = super().commit(db, act)
        self.sizes.append(db.execute("SELECT count(*) FROM told").fetchone()[0] - before)
        return result

    def failure_of(self, account_id: AccountId) -> KafkaError | None:
        """Returns why a refused account cannot be written."""
        return NO_BROKER if account_id in self._refused else None


@pytest.fixture
def db() -> Database:
    """A database with a table of what was written."""
    made = open_database(":memory:")
    made.execute("CREATE TABLE told (account, word)")
    return made


def change(owner: Account, word: str, size: int = 1, error: Exception | None = None) -> Change:
    """Writes a word, or fails."""

    def write(db: Database) -> Rows:
        if error is not None:
            raise error
        db.execute("INSERT INTO told VALUES (?,?)", (owner.account_id, word))
        return []

    return Change(owner, write, size)


def outcomes(
    db: Database, changelog: Groups, changes: Sequence[Change]
) -> tuple[list[str], list[BaseException | None]]:
    """Hands these in while another is committed; returns what of them was written, and how each ended."""
    first = change(Account(AccountId("first")), "first")
    with CommitQueue(db, changelog) as queue:
        queue.put(first)
        assert changelog.began.wait(10)
        for one in changes:
            queue.put(one)
        changelog.go_on.set()
        ends = [one.done.exception(10) for one in (first, *changes)]
        words = [row[0] for row in db.execute("SELECT word FROM told WHERE word <> 'first'")]
    assert ends[0] is None
    return words, ends[1:]


def account(name: str = "a", *, mine: bool = True, is_erased: bool = False) -> Account:
    """An account of that name."""
    return Account(AccountId(name), mine, is_erased)


def test_what_comes_meanwhile_is_one_transaction(db: Database) -> None:
    """Changes of several accounts that come while a transaction is written are written by the next one together."""
    changelog, one, other = Groups(), account("a"), account("b")
    assert outcomes(db, changelog, [change(one, "1"), change(other, "2"), change(one, "3")])[1] == [None] * 3
    assert changelog.sizes == [1, 3]


def test_results_that_join_are_written_together(db: Database) -> None:
    """What needs no order is handed to its account at once; each account learns all that it did."""
    one, other = account("a"), account("b")
    results = [StepResult(1, who.account_id, utc_now) for who in (one, other, one)]
    joining = [
        Change(who, change(who, "apart").write, result=result, joins=True)
        for who, result in zip((one, other, one), results, strict=True)
    ]
    words, ends = outcomes(db, Groups(), [*joining, change(one, "1")])
    assert (words, ends) == (["1", "2 results", "1 results"], [None] * 4)
    assert (one.learnt, other.learnt) == ([results[0], results[2]], [results[1]])


@pytest.mark.parametrize(("seconds", "hurries"), [(60.0, True), (0.05, False)])
def test_what_nobody_waits_for_is_gathered(
    db: Database, monkeypatch: pytest.MonkeyPatch, seconds: float, hurries: bool
) -> None:
    """Results that join wait for others until their time is over, or somebody waits for them."""
    monkeypatch.setattr(commit_queue, "GATHER_SECONDS", seconds)
    one, changelog = account("a"), Groups()
    changelog.go_on.set()
    results = [StepResult(1, one.account_id, utc_now) for _ in range(3)]
    joining = [Change(one, change(one, "apart").write, result=result, joins=True) for result in results]
    with CommitQueue(db, changelog) as queue:
        for each in joining:
            queue.put(each)
        if hurries:
            assert not changelog.began.is_set()
            queue.hurry()
        assert [each.done.exception(10) for each in joining] == [None] * 3
    assert one.learnt == results


def test_a_transaction_is_bounded(db: Database) -> None:
    """Many customers are written by several transactions, in their order."""
    changelog, one = Groups(), account()
    words, _ = outcomes(db, changelog, [change(one, str(n), MOST_IN_GROUP // 2) for n in range(5)])
    assert words == list("01234")
    assert changelog.sizes == [1, 2, 2, 1]


def test_a_partition_that_fails_fails_its_accounts_alone(db: Database) -> None:
    """The accounts of other partitions are written all the same, and know nothing of it."""
    changelog, one, other = Groups(AccountId("b")), account("a"), account("b")
    words, ends = outcomes(db, changelog, [change(one, "1"), change(other, "2"), change(one, "3")])
    assert (words, ends) == (["1", "3"], [None, NO_BROKER, None])
    assert (one.failed, other.failed) == ([], [NO_BROKER])


def test_a_fault_of_one_change_costs_that_change_alone(db: Database) -> None:
    """Any other exception is raised for the change that causes it; the account goes on."""
    fault = ValueError("2")
    one, other = account("a"), account("b")
    words, ends = outcomes(db, Groups(), [change(one, "1"), change(one, "2", error=fault), change(other, "3")])
    assert (sorted(words), ends) == (["1", "3"], [None, fault, None])
    assert not one.failed + other.failed


def test_what_cannot_be_written_is_replaced(db: Database) -> None:
    """Where a change says what to write instead, that is written, and nobody who waits for it fails."""
    one = account()
    bad = change(one, "bad", error=ValueError("bad"))
    instead = Change(one, bad.write, instead=lambda error: change(one, f"not {error}"))
    assert outcomes(db, Groups(), [instead, change(one, "2")]) == (["not bad", "2"], [None, None])


def test_an_account_of_which_somebody_was_erased_writes_nothing(db: Database) -> None:
    """Its part ends, and the others of the transaction are written."""
    one, other = account("a", is_erased=True), account("b")
    words, ends = outcomes(db, Groups(), [change(one, "1"), change(other, "2")])
    assert words == ["2"]
    assert isinstance(ends[0], Halted)
    assert ends[1] is None
    assert [type(error) for error in one.failed] == [Halted]


def test_an_account_of_another_worker_writes_nothing(db: Database) -> None:
    """What its calls did is found out by that one: its part is not called failed."""
    one, other = account("a", mine=False), account("b")
    words, ends = outcomes(db, Groups(), [change(one, "1"), change(other, "2")])
    assert words == ["2"]
    assert isinstance(ends[0], Halted)
    assert not one.failed


def test_when_the_worker_must_end_a_database_that_fails_is_tried_once(db: Database) -> None:
    """A locked database holds up the end of the worker once, and not for each account."""
    db.must_end = lambda: True
    one, other = account("a"), account("b")
    words, ends = outcomes(db, Groups(), [change(one, "1", error=NO_DISK), change(other, "2")])
    assert (words, ends) == ([], [NO_DISK, NO_DISK])


def test_what_comes_after_the_end_is_not_written(db: Database) -> None:
    """A call that is still in flight then is found out by the next flush."""
    changelog = Groups()
    changelog.go_on.set()
    with CommitQueue(db, changelog) as queue:
        before: Future[None] = queue_up(queue, change(account(), "1"))
    assert before.exception(0) is None
    assert isinstance(queue_up(queue, change(account(), "2")).exception(0), Halted)


def queue_up(queue: CommitQueue, one: Change) -> Future[None]:
    """Hands a change in."""
    queue.put(one)
    return one.done
