"""Counts over all accounts, quick enough to be read every few seconds: by index, or incrementally."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from worker.errors import DatabaseError
from worker.sqlite.database import Database
from worker.sqlite.file import why_no_room
from worker.store.waiting import WAITS

ACCOUNT_STATES = ("ready", "paused", "not_ready", "off")
"""not_ready: something is missing before anything can be delivered · off: on purpose."""
LIST_STATES = ("ready", "paused", "gone")
HELD = ("departures", "moves")
PAGE = 10_000
"""Waiting customers whose times are read together, in some ten milliseconds."""
_RUNS = 1000
"""How many of the latest runs to search for the last ones that went through."""

_STATE = """CASE
    WHEN NOT enabled AND key_hint IS NOT NULL THEN 'off'
    WHEN NOT enabled OR key_hint IS NULL
        OR EXISTS (SELECT 1 FROM dead_letter WHERE dead_letter.account_id = account.account_id) THEN 'not_ready'
    WHEN paused_at IS NOT NULL THEN 'paused'
    WHEN EXISTS (SELECT 1 FROM list WHERE list.account_id = account.account_id AND list_id = master_list
                 AND stored = 1 AND gone_at IS NULL) THEN 'ready'
    ELSE 'not_ready' END"""


def accounts_by_state(db: Database) -> dict[str, int]:
    """Returns how many accounts are in each of ACCOUNT_STATES, by :func:`worker.accounts.settings.missing`."""
    rows = db.execute(f"SELECT {_STATE} AS state, count(*) FROM account GROUP BY state")
    return dict.fromkeys(ACCOUNT_STATES, 0) | {row[0]: row[1] for row in rows}


def lists_by_state(db: Database) -> dict[str, int]:
    """Returns how many stored lists are in each of LIST_STATES."""
    rows = db.execute(
        "SELECT CASE WHEN gone_at IS NOT NULL THEN 'gone' WHEN paused_at IS NOT NULL THEN 'paused' ELSE 'ready' END "
        "AS state, count(*) FROM list WHERE stored = 1 GROUP BY state"
    )
    return dict.fromkeys(LIST_STATES, 0) | {row[0]: row[1] for row in rows}


def held(db: Database) -> dict[str, int]:
    """Returns how many changes the brake holds, by each kind of HELD."""
    rows = db.execute("SELECT what, sum(count) FROM held_back GROUP BY what")
    return dict.fromkeys(HELD, 0) | {row[0]: row[1] for row in rows}


def last_flushes(db: Database) -> tuple[str | None, str | None]:
    """Returns when flushes of all accounts ended; None without one.

    Returns:
        The last one in which everything due was settled, and the last one that went through.
    """
    row = db.execute(
        "SELECT max(CASE ended WHEN 'done' THEN ended_at END), max(ended_at) FROM (SELECT ended, ended_at, account_id, "
        f"trigger FROM flush_run ORDER BY run DESC LIMIT {_RUNS}) "
        "WHERE ended NOT IN ('stopped', 'failed') AND account_id IS NULL AND trigger NOT IN ('retry', 'read back')"
    ).fetchone()
    return row[0], row[1]


@dataclass(slots=True)
class OldestWaiting:
    """Finds since when customers wait, one page of them per call: reading a million at once would take a second.

    So its result is that of the last full round, unless the current one has found an older time.
    """

    page: int = PAGE
    _after: tuple[str, str] = ("", "")
    _whole: str | None = None
    _so_far: str | None = None

    def look(self, db: Database, next_flush: str) -> str | None:
        """Returns when the oldest event that waits for the next daily flush was staged; None without any."""
        beyond = "FROM customer WHERE changed = 1 AND (account_id, customer_id) > (?,?)"
        last = db.execute(
            f"SELECT account_id, customer_id {beyond} ORDER BY account_id, customer_id LIMIT 1 OFFSET {self.page - 1}",
            self._after,
        ).fetchone()
        until, keys = ("", ()) if last is None else (" AND (account_id, customer_id) <= (?4,?5)", tuple(last))
        query = f"SELECT min(staged_at) {beyond.replace('(?,?)', '(?2,?3)')}{until} AND {WAITS}"
        oldest = db.value(str, query, (next_flush, *self._after, *keys))
        self._so_far = _older(self._so_far, oldest)
        if last is not None:
            self._after = last[0], last[1]
        else:
            self._whole, self._so_far, self._after = self._so_far, None, ("", "")
        return _older(self._whole, self._so_far)


def _older(first: str | None, second: str | None) -> str | None:
    return min((moment for moment in (first, second) if moment is not None), default=None)


def why_not_writable(db: Database) -> str | None:
    """Returns why the database cannot be written; None if it can, or if somebody is just writing."""
    # A full disk may still take this write, in room that the write-ahead log has already.
    path = db.value(Path, "SELECT file FROM pragma_database_list WHERE name = 'main'")
    if path is not None and (why := why_no_room(path)) is not None:
        return why
    try:
        # Writes the page that contains it to disk, though its value stays the same; nothing else uses it.
        db.execute("PRAGMA user_version = 0")
    except DatabaseError as error:
        return None if "locked" in error.message else error.message
    return None
