"""Flush runs: when each started and ended, the results of its accounts, and operators' requests."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from worker.model import AccountId, ListId
from worker.sqlite.database import Database
from worker.sqlite.rows import Form, RowMapper
from worker.store.run_result import RunResult

Trigger = Literal["daily", "command", "once", "retry", "read back"]
"""What started a run. retry: accounts that failed · read back: members are read, nothing is delivered."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A field that was not sent as billmywork has it, on one list for one reason.

    Attributes:
        field: its merge tag.
        contacts: how many are affected.
        of: all contacts that were written to that list.
    """

    list_id: ListId
    field: str
    reason: str
    contacts: int
    of: int


@dataclass(frozen=True, slots=True)
class AccountRun:
    """An account's part of a run.

    Attributes:
        counts: outcome to number of receipts.
        to_do: changed customers at its start, plus those that it took up later.
        settled: how many of them need nothing more.
        message: why it ended early or did nothing; None if it completed.
        left_out: fields that were not sent with contacts that were written.
    """

    account_id: AccountId
    counts: Mapping[str, int]
    to_do: int
    settled: int = 0
    ended: RunResult = RunResult.DONE
    message: str | None = None
    left_out: tuple[LeftOut, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether it ended in an unknown state, such as without an answer."""
        return self.ended is RunResult.FAILED


@dataclass(frozen=True, slots=True)
class Run:
    """A flush, as stored.

    Attributes:
        reason: why an error ended it, and what to do; None if none did.
    """

    run: int
    started_at: str
    ended_at: str | None
    trigger: Trigger
    account_id: AccountId | None
    ended: RunResult | None
    accounts: tuple[AccountRun, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """An operator's request to a running daemon for a flush.

    Attributes:
        reads_back: whether to read members and deliver nothing.
    """

    request: int
    requested_at: str
    account_id: AccountId | None
    confirmed: bool
    run: int | None
    reads_back: bool = False

    @property
    def trigger(self) -> Trigger:
        """What started the run that carries it out."""
        return "read back" if self.reads_back else "command"


@dataclass(frozen=True, slots=True)
class FailedAccount:
    """An account whose last flush failed.

    Attributes:
        failed_at: when that one ended, as text.
        failures: consecutive ones, since the daily flush.
    """

    account_id: AccountId
    failed_at: str
    failures: int


@dataclass(frozen=True, slots=True)
class FlushTimes:
    """What determines whether an account is due.

    Attributes:
        enabled_at: when the account was enabled; None if an earlier release did that.
        completed_at: when its last flush that counts as a daily one began; None without one.
        failed_at: when its last flush ended, if that failed.
    """

    account_id: AccountId
    enabled_at: str | None
    completed_at: str | None
    failed_at: str | None


_PART = RowMapper(
    AccountRun,
    left_out=Form(
        ("left_out",),
        lambda fields: (json.dumps([asdict(field) for field in fields]),),
        lambda row: tuple(LeftOut(**data) for data in json.loads(row["left_out"])),
    ),
)
_RUN = RowMapper(Run, leave_out=("accounts",))
_REQUEST = RowMapper(Request)
_FAILED = RowMapper(FailedAccount)


def start(db: Database, at: str, trigger: Trigger, account_id: AccountId | None) -> int:
    """Records the start of a run and returns its number."""
    cursor = db.execute(
        "INSERT INTO flush_run (started_at, trigger, account_id) VALUES (?,?,?)", (at, trigger, account_id)
    )
    return int(cursor.lastrowid)


def end(db: Database, run: int, at: str, ended: RunResult) -> None:
    """Records how and when a run ended."""
    db.execute("UPDATE flush_run SET ended_at = ?, ended = ? WHERE run = ?", (at, ended, run))


def fail(db: Database, run: int, at: str, reason: str, ended: Collection[AccountId]) -> list[AccountId]:
    """Ends a run that an error ended, with its accounts' parts that had not ended. Call it in a transaction.

    Args:
        ended: the accounts whose parts had ended.

    Returns:
        The accounts of those parts; none if the run has ended already.
    """
    if not db.exists("flush_run WHERE run = ? AND ended IS NULL", (run,)):
        return []
    end(db, run, at, RunResult.FAILED)
    db.execute("UPDATE flush_run SET reason = ? WHERE run = ?", (reason, run))
    rows = db.execute(
        "UPDATE flush_run_account SET ended = ?, message = ? WHERE run = ? AND ended = ? "
        "AND account_id NOT IN (SELECT value FROM json_each(?)) RETURNING account_id",
        (RunResult.FAILED, reason, run, RunResult.STOPPED, json.dumps(sorted(ended))),
    )
    return [AccountId(row["account_id"]) for row in rows]


def put_account(db: Database, run: int, part: AccountRun) -> None:
    """Stores the progress of an account's part."""
    db.execute(_PART.insert("flush_run_account", "run", verb="INSERT OR REPLACE"), (run, *_PART.values(part)))


def part_of(db: Database, run: int, account_id: AccountId) -> AccountRun | None:
    """Returns an account's part of a run as stored so far; None if it is not."""
    return next(iter(_PART.select(db, "flush_run_account WHERE run = ? AND account_id = ?", (run, account_id))), None)


def account_done(db: Database, account_id: AccountId, began: str, *, completes: bool) -> None:
    """Records that a flush of an account went through. Call it in a transaction.

    Args:
        completes: whether it counts as a daily flush of the account.
    """
    db.execute(
        "INSERT INTO account_flush (account_id, done_at, completed_at, failures) "
        "VALUES (?1, ?2, CASE WHEN ?3 THEN ?2 END, 0) ON CONFLICT (account_id) DO UPDATE SET "
        "done_at = excluded.done_at, completed_at = coalesce(excluded.completed_at, completed_at), "
        "failed_at = NULL, failures = 0",
        (account_id, began, completes),
    )


def account_failed(db: Database, account_id: AccountId, at: str, *, again: bool) -> None:
    """Records that a flush of an account failed. Call it in a transaction.

    Args:
        again: whether it was a retry; after another flush, failures are counted from one again.
    """
    db.execute(
        "INSERT INTO account_flush (account_id, failed_at, failures) VALUES (?1,?2,1) "
        "ON CONFLICT (account_id) DO UPDATE SET failed_at = ?2, failures = CASE WHEN ?3 THEN failures + 1 ELSE 1 END",
        (account_id, at, again),
    )


def account_given_up(db: Database, account_id: AccountId) -> None:
    """Records that a failed account has nothing to do until its next flush. Call it in a transaction."""
    db.execute(
        "UPDATE account_flush SET completed_at = failed_at, failed_at = NULL, failures = 0 "
        "WHERE account_id = ? AND failed_at IS NOT NULL",
        (account_id,),
    )


def failed_accounts(db: Database) -> list[FailedAccount]:
    """Returns the accounts whose last flush failed."""
    return _FAILED.select(db, "account_flush WHERE failed_at IS NOT NULL ORDER BY account_id")


def not_completed(db: Database, since: str, until: str) -> list[FlushTimes]:
    """Returns the accounts with settings that have no completed flush of this period.

    Args:
        since: a completed flush that began earlier does not count.
        until: a later time comes from a clock that was ahead.
    """
    rows = db.execute(
        f"SELECT account_id, enabled_at, {_COMPLETED} AS completed, failed_at FROM account LEFT JOIN account_flush "
        "USING (account_id) WHERE completed IS NULL OR completed < ? OR completed > ? ORDER BY account_id",
        (since, until),
    )
    return [FlushTimes(*row) for row in rows]


# For an account without a time of its own, the time that an earlier release stored for its partition.
_COMPLETED = (
    "coalesce(completed_at, (SELECT min(completed_run.completed_at) FROM account_partition JOIN completed_run "
    "USING (topic, topic_id, partition) WHERE account_partition.account_id = account.account_id))"
)


def completed_after(db: Database, moment: str) -> list[tuple[AccountId, str]]:
    """Returns accounts whose last completed flush has a later time, with that time."""
    rows = db.execute(
        "SELECT account_id, completed_at FROM account_flush WHERE completed_at > ? ORDER BY account_id", (moment,)
    )
    return [(row["account_id"], row["completed_at"]) for row in rows]


def get(db: Database, run: int) -> Run | None:
    """Returns one run with its accounts' parts; None if it does not exist."""
    return next(iter(_runs(db, "run = ?", run)), None)


def last(db: Database, limit: int) -> list[Run]:
    """Returns the newest runs, newest first."""
    return _runs(db, "1", limit=limit)


def under_way(db: Database) -> list[Run]:
    """Returns the runs that have not ended, newest first."""
    return _runs(db, "ended IS NULL")


def end_left(db: Database, at: str) -> int:
    """Marks runs as stopped that a dead process left; returns how many."""
    cursor = db.execute("UPDATE flush_run SET ended_at = ?, ended = ? WHERE ended IS NULL", (at, RunResult.STOPPED))
    return int(cursor.rowcount)


def last_parts(db: Database, account_id: AccountId | None = None) -> dict[AccountId, tuple[int, AccountRun]]:
    """Returns each account's part, or one's, of the last flush in which it had something to do, with its number.

    A run that only reads members back is none.
    """
    which, values = ("", ()) if account_id is None else ("AND account_id = ?", (account_id,))
    delivers = "run NOT IN (SELECT run FROM flush_run WHERE trigger = 'read back')"
    rows = db.execute(f"SELECT *, max(run) FROM flush_run_account WHERE {delivers} {which} GROUP BY account_id", values)
    return {AccountId(row["account_id"]): (row["run"], _PART.read(row)) for row in rows}


@dataclass(frozen=True, slots=True)
class PartOfRun:
    """An account's part of a run, with the run's own data."""

    run: int
    started_at: str
    ended_at: str | None
    trigger: Trigger
    part: AccountRun


def parts_since(db: Database, account_id: AccountId, moment: str) -> list[PartOfRun]:
    """Returns an account's parts of runs started since a time, oldest first."""
    rows = db.execute(
        "SELECT part.*, started_at, ended_at, trigger, part.ended AS ended FROM flush_run CROSS JOIN "
        "flush_run_account AS part USING (run) WHERE started_at >= ? AND part.account_id = ? ORDER BY run",
        (moment, account_id),
    )
    return [PartOfRun(row["run"], row["started_at"], row["ended_at"], row["trigger"], _PART.read(row)) for row in rows]


def requests_since(db: Database, account_id: AccountId, moment: str) -> list[Request]:
    """Returns the requests for a flush of one account since a time, oldest first, without withdrawn ones."""
    which = "flush_request WHERE account_id = ? AND requested_at >= ? ORDER BY request"
    return _REQUEST.select(db, which, (account_id, moment))


def ask(
    db: Database, at: str, account_id: AccountId | None, *, confirmed: bool = False, reads_back: bool = False
) -> Request:
    """Stores a request for the running daemon and returns it."""
    cursor = db.execute(
        "INSERT INTO flush_request (requested_at, account_id, confirmed, reads_back) VALUES (?,?,?,?)",
        (at, account_id, confirmed, reads_back),
    )
    return Request(int(cursor.lastrowid), at, account_id, confirmed, None, reads_back)


def open_requests(db: Database) -> list[Request]:
    """Returns the requests that no run has taken, oldest first."""
    return _REQUEST.select(db, "flush_request WHERE run IS NULL ORDER BY request")


def withdraw(db: Database, number: int) -> bool:
    """Deletes a request that no run has taken; returns whether there was one. Call it in a transaction."""
    return bool(db.execute("DELETE FROM flush_request WHERE request = ? AND run IS NULL", (number,)).rowcount)


def request(db: Database, number: int) -> Request | None:
    """Returns one request; None if it does not exist."""
    return next(iter(_REQUEST.select(db, "flush_request WHERE request = ?", (number,))), None)


def take(db: Database, number: int, run: int) -> bool:
    """Records which run carries out a request; returns False if it was withdrawn meanwhile."""
    return bool(db.execute("UPDATE flush_request SET run = ? WHERE request = ?", (run, number)).rowcount)


def _runs(db: Database, which: str, *values: Any, limit: int = -1) -> list[Run]:
    rows = db.execute(f"SELECT * FROM flush_run WHERE {which} ORDER BY run DESC LIMIT ?", (*values, limit)).fetchall()
    parts = "flush_run_account WHERE run = ? ORDER BY account_id"
    return [_RUN.read(row, accounts=tuple(_PART.select(db, parts, (row["run"],)))) for row in rows]


def oldest(db: Database) -> str | None:
    """Returns when the oldest run started; None without any."""
    return db.value(str, "SELECT started_at FROM flush_run ORDER BY run LIMIT 1")


def drop_before(db: Database, moment: str) -> int:
    """Deletes runs that started before a time, with their requests, in many transactions; returns how many."""
    numbers = db.column(int, "SELECT run FROM flush_run WHERE started_at < ?", (moment,))
    return db.in_parts([(number,) for number in numbers], lambda part: _delete(db, part))


def _delete(db: Database, numbers: Sequence[tuple[int]]) -> int:
    db.executemany("DELETE FROM flush_run_account WHERE run = ?", numbers)
    db.executemany("DELETE FROM flush_request WHERE run = ?", numbers)
    return db.executemany("DELETE FROM flush_run WHERE run = ?", numbers)


def delete_account(db: Database, account_id: AccountId) -> None:
    """Removes an account's parts of all runs. Call it in a transaction."""
    db.execute("DELETE FROM flush_run_account WHERE account_id = ?", (account_id,))
    db.execute("DELETE FROM account_flush WHERE account_id = ?", (account_id,))
