"""Rows that Kafka keeps too: ledger, customer statuses, settings. Reads them from their tables and writes them back."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.changelog.column_types import LIST_SHAPE, SHAPES
from worker.clock import as_text
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.sqlite.rows import Kind, RowKey
from worker.store import accounts, bare_customers, marking


@dataclass(frozen=True, slots=True)
class ChangelogRow:
    """One current row, or an account's row with those of its lists.

    Attributes:
        key: account, list and address; account and customer; or account.
        row: column to value, without the key, including fields unknown to this release; None if it is deleted.
    """

    kind: Kind
    key: tuple[str, ...]
    row: Mapping[str, Any] | None

    @property
    def row_key(self) -> RowKey:
        """The key with the kind."""
        return RowKey(self.kind, self.key)

    @property
    def of_these_topics(self) -> bool:
        """Whether it describes these topics, so that it is valid for no others."""
        return self.kind == "topic" and self.key[0] in _OF_THESE_TOPICS


_OF_THESE_TOPICS = ("ledger", "settings", "outcomes", "signed", "copied")
_KEYS: Mapping[Kind, tuple[str, tuple[str, ...]]] = {
    "place": ("ledger", ("account_id", "list_id", "address")),
    "customer": ("standing", ("account_id", "customer_id")),
    "forgotten": ("forgotten", ("account_id", "digest")),
    "topic": ("changelog_topic", ("about", "partition")),
    "erasure": ("erasure_request", ("account_id", "digest")),
}
_ROWS = {kind: (table, key, tuple(SHAPES[kind])) for kind, (table, key) in _KEYS.items()}
KEY_PARTS = {str(kind): len(key) for kind, (_, key) in _KEYS.items()} | {"account": 1}
"""How many parts the key of each kind of row has."""
_UNKNOWN = "other_fields"
"""The column for fields unknown to this release: a later one wrote them, and they are preserved for it."""
_ACCOUNT = tuple(column for column in SHAPES["account"] if column != "lists")
_LIST = tuple(LIST_SHAPE)


def rows_of(db: Database, keys: Iterable[RowKey]) -> list[ChangelogRow]:
    """Returns the current rows of these keys, each once, including deleted ones."""
    keys_by_kind: dict[Kind, list[tuple[str, ...]]] = {}
    for kind, key in dict.fromkeys(keys):
        keys_by_kind.setdefault(kind, []).append(key)
    rows = [row for kind in _ROWS if kind in keys_by_kind for row in _rows(db, kind, keys_by_kind[kind])]
    return rows + _accounts(db, [key[0] for key in keys_by_kind.get("account", ())])


def all_rows(db: Database) -> Iterator[ChangelogRow]:
    """Yields all rows of accounts, read page by page. Settings come last: a reader of them has what they depend on."""
    for kind, (table, key, columns) in _ROWS.items():
        if kind != "topic":
            for rows in db.pages(table, key, more=(*columns, _UNKNOWN)):
                yield from (
                    ChangelogRow(kind, row[: len(key)], _whole(columns, row[len(key) :])) for row in map(tuple, rows)
                )
    notes = db.execute(
        f"SELECT about, partition FROM changelog_topic WHERE about NOT IN ({','.join('?' * len(_OF_THESE_TOPICS))})",
        _OF_THESE_TOPICS,
    )
    yield from rows_of(db, [RowKey("topic", tuple(row)) for row in notes.fetchall()])
    for rows in db.pages("account", ("account_id",)):
        yield from _accounts(db, [row[0] for row in rows])


def accounts_known(db: Database) -> tuple[set[AccountId], set[AccountId]]:
    """Returns the accounts in the ledger or the customer statuses, and those with settings."""
    return {*accounts.ids_in(db, "ledger"), *accounts.ids_in(db, "standing")}, accounts.all_ids(db)


def apply(db: Database, rows: Iterable[ChangelogRow]) -> None:
    """Writes rows over those in the database, in the caller's transaction.

    Settings that come with a resync also mark the account's customers as changed.
    """
    newest: dict[tuple[Kind, tuple[str, ...]], ChangelogRow] = {}
    for row in rows:
        newest.pop((row.kind, row.key), None)
        newest[row.kind, row.key] = row
    for kind, (table, key, columns) in _ROWS.items():
        changed = [changelog_row for changelog_row in newest.values() if changelog_row.kind == kind]
        where = " AND ".join(f"{column} = ?" for column in key)
        db.executemany(f"DELETE FROM {table} WHERE {where}", [changelog_row.key for changelog_row in changed])
        marks = ",".join("?" * (len(key) + len(columns) + 1))
        db.executemany(
            f"INSERT INTO {table} ({', '.join((*key, *columns, _UNKNOWN))}) VALUES ({marks})",
            [
                (
                    *changelog_row.key,
                    *(changelog_row.row.get(column) for column in columns),
                    _unknown_fields(changelog_row.row, columns),
                )
                for changelog_row in changed
                if changelog_row.row is not None
            ],
        )
    for changelog_row in newest.values():
        if changelog_row.kind == "account":
            _apply_account(db, AccountId(changelog_row.key[0]), changelog_row.row)


def with_departures_lost(account: ChangelogRow) -> ChangelogRow | None:
    """Returns an account's row marked as having lost its lists' departures; None if none were read."""
    row = account.row or {"lists": ()}
    if all(on_list["departures_read_at"] is None for on_list in row["lists"]):
        return None
    lost = {"departures_read_at": as_text(accounts.DEPARTURES_LOST), "members_read_at": None}
    marked = [on_list if on_list["departures_read_at"] is None else {**on_list, **lost} for on_list in row["lists"]]
    return ChangelogRow(account.kind, account.key, {**row, "lists": marked})


def _unknown_fields(row: Mapping[str, Any], columns: Iterable[str]) -> str | None:
    unknown = {name: value for name, value in row.items() if name not in columns}
    return json.dumps(unknown) if unknown else None


def _whole(columns: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    # The last value holds the fields unknown to this release.
    row = dict(zip(columns, values, strict=False))
    return row if values[-1] is None else {**json.loads(values[-1]), **row}


def _rows(db: Database, kind: Kind, keys: Sequence[tuple[str, ...]]) -> Iterator[ChangelogRow]:
    table, key_columns, columns = _ROWS[kind]
    selected = ", ".join(f"current.{column}" for column in (*columns, _UNKNOWN))
    same = " AND ".join(f"current.{column} = wanted.value ->> {number}" for number, column in enumerate(key_columns))
    query = f"SELECT wanted.key, {selected} FROM json_each(?) AS wanted LEFT JOIN main.{table} AS current ON {same}"
    for number, *row in db.execute(query, (json.dumps(keys),)):
        # Some column of each table is never NULL.
        yield ChangelogRow(kind, keys[number], None if row.count(None) == len(row) else _whole(columns, row))


def _accounts(db: Database, account_ids: Iterable[str]) -> list[ChangelogRow]:
    rows = []
    for account_id in account_ids:
        row = db.execute(
            f"SELECT {', '.join((*_ACCOUNT, _UNKNOWN))} FROM account WHERE account_id = ?", (account_id,)
        ).fetchone()
        if row is None:
            rows.append(ChangelogRow("account", (account_id,), None))
            continue
        columns = _whole(_ACCOUNT, tuple(row))
        columns["api_key"] = None if columns["api_key"] is None else base64.b64encode(columns["api_key"]).decode()
        lists = db.execute(f"SELECT {', '.join((*_LIST, _UNKNOWN))} FROM list WHERE account_id = ?", (account_id,))
        columns["lists"] = [_whole(_LIST, tuple(values)) for values in lists]
        rows.append(ChangelogRow("account", (account_id,), columns))
    return rows


def _apply_account(db: Database, account_id: AccountId, row: Mapping[str, Any] | None) -> None:
    before = db.value(int, "SELECT resyncs FROM account WHERE account_id = ?", (account_id,))
    db.execute("DELETE FROM account WHERE account_id = ?", (account_id,))
    db.execute("DELETE FROM list WHERE account_id = ?", (account_id,))
    if row is None:
        bare_customers.strip_later(db, account_id)
        return
    columns = {column: row.get(column) for column in _ACCOUNT}
    columns["api_key"] = None if columns["api_key"] is None else base64.b64decode(columns["api_key"])
    if before is not None and before != columns["resyncs"]:
        marking.mark_all(db, account_id)
    marks = ",".join("?" * (len(_ACCOUNT) + 2))
    db.execute(
        f"INSERT INTO account (account_id, {', '.join(_ACCOUNT)}, {_UNKNOWN}) VALUES ({marks})",
        (account_id, *columns.values(), _unknown_fields(row, (*_ACCOUNT, "lists"))),
    )
    marks = ",".join("?" * (len(_LIST) + 2))
    for list_row in row.get("lists", ()):
        # Two accounts stored the same list at the same moment elsewhere: the first keeps it.
        stored = int(bool(list_row.get("stored")) and accounts.stored_by(db, list_row["list_id"]) is None)
        values = (account_id, *(stored if column == "stored" else list_row.get(column) for column in _LIST))
        db.execute(
            f"INSERT INTO list (account_id, {', '.join(_LIST)}, {_UNKNOWN}) VALUES ({marks})",
            (*values, _unknown_fields(list_row, _LIST)),
        )
