"""Bare customers: staged without their fields, because their account has no API key, until their records are reread.

They keep what later events and consent depend on: version, position, deletion, withdrawn consent. Where an account's
bare customers must be reread from is stored by partition, so that staging looks up nothing for it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.model import AccountId
from worker.sqlite.database import Database
from worker.sqlite.rows import RowMapper
from worker.store.customers import WITHDRAWN
from worker.text.plural import counted

CONSENTS, WITHDRAWS = b'{"marketing_consent":true}', b'{"marketing_consent":false}'
"""The state of a bare customer: only its consent."""


@dataclass(frozen=True, slots=True)
class BareAccount:
    """An account with bare customers in a partition, from an offset on.

    Attributes:
        topic_id: of the topic when they were read; it may have been recreated since.
    """

    account_id: AccountId
    topic: str
    topic_id: str
    partition: int
    first_offset: int


def connected_among(db: Database, account_ids: Collection[str]) -> set[str]:
    """Returns which of these accounts have an API key."""
    which = "key_hint IS NOT NULL AND account_id IN (SELECT value FROM json_each(?))"
    return set(db.column(str, f"SELECT account_id FROM account WHERE {which}", (json.dumps(sorted(account_ids)),)))


def note(db: Database, topic: str, topic_id: str, first: Mapping[tuple[str, int], int]) -> None:
    """Records from which offset bare customers were read. Call it in the transaction that stages them.

    Args:
        first: the offset by account and partition.
    """
    db.executemany(
        f"{_ROW.insert('bare_account')} {_FROM_THE_FIRST}",
        [(account_id, topic, topic_id, partition, offset) for (account_id, partition), offset in first.items()],
    )


_ROW = RowMapper(BareAccount)
_FROM_THE_FIRST = (
    "ON CONFLICT DO UPDATE SET first_offset = min(coalesce(first_offset, excluded.first_offset), excluded.first_offset)"
)


def fill(db: Database, rows: Iterable[tuple[Any, ...]]) -> int:
    """Gives bare customers the fields of their newest event, so that they need a flush; returns how many.

    Call it in a transaction. Position, version and a withdrawn consent are kept.

    Args:
        rows: address, state, staged_at, account_id and customer_id of each.
    """
    return db.executemany(
        f"UPDATE customer SET address = ?1, state = CASE WHEN {WITHDRAWN} "
        "THEN json_set(CAST(?2 AS TEXT), '$.marketing_consent', json('false')) ELSE ?2 END, "
        "staged_at = ?3, bare = 0, changed = 1, revision = revision + 1 "
        "WHERE account_id = ?4 AND customer_id = ?5 AND bare = 1",
        rows,
    )


# Rereading


def to_read(db: Database) -> list[BareAccount]:
    """Returns accounts that are connected now and have bare customers to reread."""
    return _ROW.select(
        db,
        "bare_account JOIN account USING (account_id) WHERE key_hint IS NOT NULL AND first_offset IS NOT NULL "
        "ORDER BY partition, account_id",
    )


def move(db: Database, account: BareAccount, first_offset: int) -> BareAccount | None:
    """Records that a partition was reread for an account up to an offset. Call it in the transaction that fills.

    Returns:
        The updated state; None if the account is no longer connected, or was disconnected meanwhile.
    """
    moved = db.execute(
        f"UPDATE bare_account SET first_offset = ? WHERE {_SAME} AND EXISTS (SELECT 1 FROM account "
        "WHERE account.account_id = bare_account.account_id AND key_hint IS NOT NULL)",
        (first_offset, *_key_of(account), account.first_offset),
    ).rowcount
    return BareAccount(*_key_of(account), first_offset) if moved else None


_SAME = "account_id = ? AND topic = ? AND topic_id = ? AND partition = ? AND first_offset = ?"


def _key_of(account: BareAccount) -> tuple[AccountId, str, str, int]:
    return account.account_id, account.topic, account.topic_id, account.partition


def end(db: Database, account: BareAccount, read_to: int | None = None) -> int:
    """Records that rereading ended; returns how many customers are still bare because their records are gone.

    They wait for their next event without delaying flushes. Customers whose record comes after what was read are read
    next: they were staged while the account was not connected for a moment. Call it outside of a transaction: it uses
    many, and stops early if the thread must end.

    Args:
        read_to: the offset up to which records were read; None if no more can be read.
    """
    to = _LAST if read_to is None else read_to
    db.in_parts(
        _left(db, account, to),
        lambda keys: db.executemany(
            # A deleted customer needs no fields.
            "UPDATE customer SET changed = deleted, bare = NOT deleted "
            "WHERE account_id = ? AND customer_id = ? AND bare = 1 AND changed = 1",
            keys,
        ),
    )
    if db.is_ending:
        return 0
    with db.transaction():
        if any(_left(db, account)):
            return 0
        left = db.count(f"customer WHERE {_BARE} AND {_IN_LOG}", _key_of(account))
        if left:
            db.execute(
                f"UPDATE bare_account SET first_offset = NULL WHERE {_SAME}", (*_key_of(account), account.first_offset)
            )
        else:
            db.execute(f"DELETE FROM bare_account WHERE {_SAME}", (*_key_of(account), account.first_offset))
    return left


_LAST = 2**63 - 1
_IN_LOG = "topic = ? AND topic_id = ? AND partition = ?"
_BARE = "account_id = ? AND address IS NULL AND bare = 1"  # read by the index of those without an address


def _left(db: Database, account: BareAccount, read_to: int = _LAST) -> Iterator[tuple[str, str]]:
    where = f'{_BARE} AND changed = 1 AND {_IN_LOG} AND "offset" < ?'
    pages = db.pages("customer", ("customer_id",), where, (*_key_of(account), read_to))
    return ((account.account_id, row[0]) for rows in pages for row in rows)


# Status


@dataclass(frozen=True, slots=True)
class Bare:
    """Bare customers of a connected account.

    Attributes:
        count: how many there are.
        reading: whether they are still to be reread; otherwise their records are gone.
    """

    count: int
    reading: bool

    def in_words(self) -> str:
        """Returns it as a sentence."""
        many = counted(self.count, "customer")
        if self.reading:
            return f"First to be read again from Kafka, because they came before the account was connected: {many}."
        return f"Not delivered before the next event of each, because its record is gone from Kafka: {many}."


def of_account(db: Database, account_id: AccountId) -> Bare | None:
    """Returns the bare customers of a connected account; None without any. Quick."""
    return of_connected(db, account_id).get(account_id)


def of_connected(db: Database, account_id: AccountId | None = None) -> dict[AccountId, Bare]:
    """Returns the bare customers of all connected accounts that have any, or of one."""
    rows = db.execute(
        "SELECT account_id, count(first_offset) FROM bare_account JOIN account USING (account_id) "
        "WHERE key_hint IS NOT NULL AND (?1 IS NULL OR account_id = ?1) GROUP BY account_id",
        (account_id,),
    ).fetchall()
    bare_accounts = {}
    for bare_id, to_read in rows:
        count = db.count(f"customer WHERE {_BARE}", (bare_id,))
        if count or to_read:
            bare_accounts[AccountId(bare_id)] = Bare(count, bool(to_read))
    return bare_accounts


def any_unconnected(db: Database) -> bool:
    """Returns whether an account that is not connected has bare customers, whom no address finds."""
    return db.exists(
        "bare_account WHERE NOT EXISTS (SELECT 1 FROM account "
        "WHERE account.account_id = bare_account.account_id AND key_hint IS NOT NULL)"
    )


# Removing fields


def strip_later(db: Database, account_id: AccountId) -> None:
    """Schedules the removal of an account's customers' fields unless it is connected. Call it in a transaction."""
    db.execute("INSERT OR IGNORE INTO stripping (account_id) VALUES (?)", (account_id,))


def to_strip(db: Database) -> list[AccountId]:
    """Returns the accounts with a scheduled removal."""
    return db.column(AccountId, "SELECT account_id FROM stripping ORDER BY account_id")


def stripped(db: Database, account_ids: Sequence[AccountId]) -> None:
    """Unschedules accounts, except one that was connected and forgotten meanwhile. Call it in a transaction."""
    left = f"{_NO_SETTINGS} AND EXISTS (SELECT 1 FROM customer WHERE account_id = ?1 AND address IS NOT NULL)"
    db.executemany(
        f"DELETE FROM stripping WHERE account_id = ?1 AND NOT ({left})", [(account_id,) for account_id in account_ids]
    )


def strip(db: Database, account_id: AccountId) -> int:
    """Removes the fields of an account's customers while it has no settings; returns how many customers had any.

    Call it outside of a transaction: it uses many. What is done stays done.
    """
    with db.transaction():
        # One account has few of these, and rereading finds ignored events again.
        db.execute(f"DELETE FROM ignored_event WHERE account_id = ?1 AND {_NO_SETTINGS}", (account_id,))
    pages = db.pages("customer", ("customer_id",), _FIELDS_TO_GO, (account_id,))
    return db.in_parts((row[0] for rows in pages for row in rows), lambda ids: _strip(db, account_id, ids))


_NO_SETTINGS = "NOT EXISTS (SELECT 1 FROM account WHERE account_id = ?1)"
_FIELDS_TO_GO = f"account_id = ?1 AND bare = 0 AND (address IS NOT NULL OR state IS NOT NULL) AND {_NO_SETTINGS}"


def _strip(db: Database, account_id: AccountId, ids: Sequence[str]) -> int:
    which = f"{_FIELDS_TO_GO} AND customer_id IN (SELECT value FROM json_each(?2))"
    values = account_id, json.dumps(ids)
    db.execute(
        'INSERT INTO bare_account SELECT account_id, topic, topic_id, partition, min("offset") FROM customer '
        f"WHERE {which} GROUP BY topic, topic_id, partition {_FROM_THE_FIRST}",
        values,
    )
    # A deletion needs no fields; one with withdrawn consent has to unsubscribe its address.
    cursor = db.execute(
        f"UPDATE customer SET address = NULL, bare = {WITHDRAWN} OR NOT deleted, state = CASE "
        f"WHEN {WITHDRAWN} THEN ?3 WHEN deleted THEN NULL ELSE ?4 END WHERE {which}",
        (*values, WITHDRAWS, CONSENTS),
    )
    return int(cursor.rowcount)
