"""Requests to every worker to erase somebody from its database: in the settings topic, by hash."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.model import AccountId, AddressKey
from worker.sqlite.database import Database
from worker.sqlite.rows import RowKey, RowMapper, Rows

ANY_ACCOUNT = ""
WHOLE_ACCOUNT = ""


@dataclass(frozen=True, slots=True)
class ErasureRequest:
    """One request.

    Attributes:
        account_id: of a whole account; "" for a person, who is erased from every account.
        digest: of the person's address, see :func:`worker.store.forgotten.digest_of`; "" for a whole account.
        requested_at: as text.
        done_by: the workers that have carried it out, and when.
    """

    account_id: str
    digest: str
    requested_at: str
    done_by: Mapping[str, str]


_ROW = RowMapper(ErasureRequest)


def put(db: Database, account_id: str, digest: str, at: str) -> Rows:
    """Stores a request, also again, so that all workers carry it out. Call it in a transaction."""
    db.execute(
        "INSERT INTO erasure_request (account_id, digest, requested_at, done_by) VALUES (?,?,?,'{}') "
        "ON CONFLICT (account_id, digest) DO UPDATE SET requested_at = excluded.requested_at, done_by = '{}'",
        (account_id, digest, at),
    )
    return [RowKey("erasure", (account_id, digest))]


def note_done(db: Database, requests: Sequence[ErasureRequest], worker: str, at: str) -> Rows:
    """Records that this database has carried out requests, and by which worker. Call it in a transaction."""
    rows = Rows()
    for request in requests:
        key = (request.account_id, request.digest)
        query = "SELECT done_by FROM erasure_request WHERE account_id = ? AND digest = ? AND requested_at = ?"
        if (done := db.value(json.loads, query, (*key, request.requested_at))) is None:
            continue  # requested again meanwhile
        db.execute("INSERT OR REPLACE INTO erasure_done VALUES (?,?,?)", (*key, request.requested_at))
        if worker not in done:
            json_text = json.dumps({**done, worker: at})
            db.execute("UPDATE erasure_request SET done_by = ? WHERE account_id = ? AND digest = ?", (json_text, *key))
            rows.append(RowKey("erasure", key))
    return rows


def all_requests(db: Database) -> list[ErasureRequest]:
    """Returns all requests, newest first."""
    return _read(db, "1")


def of_account(db: Database, account_id: AccountId) -> list[ErasureRequest]:
    """Returns the request to erase a whole account, if there is one."""
    return [request for request in all_requests(db) if request.account_id == account_id]


def to_do(db: Database) -> list[ErasureRequest]:
    """Returns those that this database has not carried out."""
    return _read(
        db,
        "NOT EXISTS (SELECT 1 FROM erasure_done AS done WHERE done.account_id = request.account_id "
        "AND done.digest = request.digest AND done.requested_at = request.requested_at)",
    )


def _read(db: Database, which: str) -> list[ErasureRequest]:
    return _ROW.select(db, f"erasure_request AS request WHERE {which} ORDER BY requested_at DESC")


def repeat(db: Database, since: str) -> None:
    """Schedules requests made since a time to be carried out again. Call it in a transaction.

    For a newly assigned partition, whose previous worker may not have carried them out.
    """
    db.execute("DELETE FROM erasure_done WHERE requested_at >= ?", (since,))


def repeat_persons(db: Database) -> None:
    """Schedules requests to erase a person to be carried out again. Call it in a transaction.

    For addresses that became known here since, from events published earlier.
    """
    db.execute("DELETE FROM erasure_done WHERE digest <> ''")


def renewed(db: Database, address: AddressKey, at: str) -> set[AccountId]:
    """Returns the accounts in which an event published after a time has an address, so that its request is obsolete."""
    which = "address = ? AND deleted = 0 AND julianday(event_time) > julianday(?)"
    return set(db.column(AccountId, f"SELECT DISTINCT account_id FROM customer WHERE {which}", (address, at)))
