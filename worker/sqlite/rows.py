"""Rows of tables, as dataclasses and as keys.

The fields of a dataclass are the columns of its table, so each is defined only once. A function that writes rows that
are also kept in Kafka returns their keys.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any, Generic, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from worker.clock import as_moment, as_text
from worker.model import AccountId, CustomerId, MembershipKey
from worker.sqlite.database import Database

_Row = TypeVar("_Row")
_Result = TypeVar("_Result")

json_bytes = msgspec.json.Encoder().encode
"""Encodes a value or dataclass as JSON without spaces; raises UnicodeEncodeError for a lone surrogate."""


def json_text(value: Any) -> str:
    """Encodes a value or dataclass as JSON text without spaces.

    Raises:
        UnicodeEncodeError: a text has a lone surrogate.
    """
    return json_bytes(value).decode()


def from_json(text: str) -> Any:
    """Parses JSON.

    Raises:
        ValueError: the text is not JSON.
    """
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return json.loads(text)  # it also accepts escaped lone surrogates, which older rows may have


def parser_of(row_type: type[_Row]) -> Callable[[str], _Row | None]:
    """Returns a parser of JSON into a dataclass. It returns None for JSON with missing or wrong fields."""
    decode = msgspec.json.Decoder(row_type).decode

    def parse(text: str) -> _Row | None:
        try:
            return decode(text)
        except msgspec.DecodeError:
            return None

    return parse


@dataclass(frozen=True, slots=True)
class Form:
    """How a field is stored that is not stored as it is, in one column of its name.

    Attributes:
        columns: its columns.
        values: returns their values.
        read: returns the field's value from a row, which it accesses by column name.
    """

    columns: tuple[str, ...]
    values: Callable[[Any], tuple[Any, ...]]
    read: Callable[[Any], Any]


def _form_of_value(name: str, write: Callable[[Any], Any], read: Callable[[Any], Any]) -> Form:
    # NULL means None.
    return Form(
        (name,),
        lambda value: (None if value is None else write(value),),
        lambda row: None if row[name] is None else read(row[name]),
    )


def _membership(row: Any) -> MembershipKey | None:
    return MembershipKey(row["list_id"], row["address"]) if row["address"] is not None else None


def _form(name: str, kind: Any) -> Form | None:
    kinds = {get_origin(hint) or hint for hint in (get_args(kind) or (kind,))} | {get_origin(kind) or kind}
    if MembershipKey in kinds:
        return Form(("list_id", "address"), lambda membership: tuple(membership or (None, None)), _membership)
    if bool in kinds:
        return _form_of_value(name, int, bool)
    if datetime in kinds:
        return _form_of_value(name, as_text, as_moment)
    for hint in kinds:
        if isinstance(hint, type) and issubclass(hint, StrEnum):
            return _form_of_value(name, str, hint)
    if kinds & {Mapping, Sequence}:
        return _form_of_value(name, json_text, from_json)
    return None


class RowMapper(Generic[_Row]):
    """Maps the rows of one table.

    Attributes:
        columns: their names, in the order of :meth:`values`.
    """

    def __init__(self, dataclass_type: type[_Row], *, leave_out: tuple[str, ...] = (), **forms: Form) -> None:
        """Inspects the fields of a dataclass.

        Args:
            leave_out: fields without a column.
            forms: how to store fields that are not stored by their type.
        """
        hints = get_type_hints(dataclass_type)
        names = [field.name for field in dataclasses.fields(dataclass_type)]  # type: ignore[arg-type]
        self._dataclass_type = dataclass_type
        all_forms = {name: forms.get(name) or _form(name, hints[name]) for name in names if name not in leave_out}
        self.columns = tuple(
            column for name, form in all_forms.items() for column in (form.columns if form is not None else (name,))
        )
        self._fields = attrgetter(*all_forms)
        # Backwards, so that a field with two columns does not shift later ones.
        self._other_forms = [
            (number, form.values, len(form.columns) > 1)
            for number, form in reversed(list(enumerate(all_forms.values())))
            if form is not None
        ]
        self._plain = tuple(name for name, form in all_forms.items() if form is None)
        self._other_reads = [(name, form.read) for name, form in all_forms.items() if form is not None]

    def values(self, row: _Row) -> tuple[Any, ...]:
        """Returns the values of a row's columns."""
        # Called for every row: most fields are stored unchanged or are None.
        values = list(self._fields(row))
        for number, form, wide in self._other_forms:
            if wide or values[number] is not None:
                values[number : number + 1] = form(values[number])
        return tuple(values)

    def read(self, row: Any, **left_out: Any) -> _Row:
        """Converts a row to its dataclass. `left_out` provides the fields without a column."""
        for name in self._plain:
            left_out[name] = row[name]
        for name, read in self._other_reads:
            left_out[name] = read(row)
        return self._dataclass_type(**left_out)

    def select(self, db: Database, rows: str, values: Any = ()) -> list[_Row]:
        """Returns rows of a table, or of what else follows FROM, as dataclasses without left-out fields."""
        # As dicts, because a row of SQLite searches its columns for a name each time.
        cursor = db.execute(f"SELECT {self.names} FROM {rows}", values)
        return [self.read(dict(zip(self.columns, row, strict=True))) for row in cursor]

    def insert(self, table: str, *owner: str, verb: str = "INSERT") -> str:
        """Returns the statement that inserts a row; `owner` names columns before its own."""
        columns = ", ".join(f'"{column}"' for column in (*owner, *self.columns))
        return f"{verb} INTO {table} ({columns}) VALUES ({', '.join('?' * (len(owner) + len(self.columns)))})"

    def upsert(self, table: str, *owner: str, key: Sequence[str]) -> str:
        """Returns the statement that inserts a row, or updates the one with the same owner and key."""
        conflict = ", ".join((*owner, *key))
        return f"{self.insert(table, *owner)} ON CONFLICT ({conflict}) DO UPDATE SET {self.over(*key)}"

    @property
    def names(self) -> str:
        """The columns as a list in SQL."""
        return ", ".join(f'"{column}"' for column in self.columns)

    def over(self, *leave_out: str) -> str:
        """Returns the SET clause of ON CONFLICT DO UPDATE: each column as inserted, except those left out."""
        return ", ".join(f'"{column}" = excluded."{column}"' for column in self.columns if column not in leave_out)


# Rows that are also kept in Kafka


Kind = Literal["place", "customer", "forgotten", "topic", "account", "erasure"]
"""place: a ledger entry · customer: its status, refusals and last settled event · forgotten: an erased person ·
topic: which topics belong together, and the key of the hashes · account: its settings with its lists ·
erasure: a request to every worker to erase somebody."""


class RowKey(NamedTuple):
    """The key of one row.

    Attributes:
        key: account and list and address, account and customer, account and digest, topic and partition, or account.
    """

    kind: Kind
    key: tuple[str, ...]


Rows = list[RowKey]


@dataclass(frozen=True, slots=True)
class Changed(Generic[_Result]):
    """The result of a function that ran in a transaction.

    Attributes:
        rows: every row that it wrote, or may have written, that is also kept in Kafka.
        rest: writes other rows at the end of the transaction; it is not rehearsed.
    """

    result: _Result
    rows: Sequence[RowKey]
    rest: Callable[[], None] | None = None


def entry_rows(account_id: AccountId, memberships: Iterable[MembershipKey]) -> Rows:
    """Returns the keys of an account's ledger entries."""
    return [RowKey("place", (account_id, *membership)) for membership in memberships]


def customer_rows(account_id: AccountId, customers: Iterable[CustomerId]) -> Rows:
    """Returns the keys of customers' statuses."""
    return [RowKey("customer", (account_id, customer_id)) for customer_id in customers]


def account_rows(account_id: AccountId) -> Rows:
    """Returns the key of an account's settings with its lists."""
    return [RowKey("account", (account_id,))]
