"""Dead letters: records that could not be decoded or applied, kept whole."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from worker.model import AccountId
from worker.sqlite.database import Database
from worker.sqlite.rows import Form, RowMapper
from worker.store.decodings import decodings

Headers = Sequence[tuple[str, bytes | None]]

_READ_AT_ONCE = 20
"""Complete dead letters in memory: each may have a megabyte."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be decoded or applied.

    Attributes:
        number: identifies it here; 0 before it is stored.
        reason: why it could not be decoded.
        read_at: when it was read.
        account_id: the account of a record of ledger or settings; nothing is delivered for it meanwhile.
    """

    topic: str
    topic_id: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    reason: str
    read_at: str
    number: int = 0
    account_id: AccountId | None = None


def _headers_text(headers: Headers) -> str:
    return json.dumps([[name, None if value is None else base64.b64encode(value).decode()] for name, value in headers])


def _headers(row: Any) -> Headers:
    return [(name, None if value is None else base64.b64decode(value)) for name, value in json.loads(row["headers"])]


_HEADERS = Form(("headers",), lambda headers: (_headers_text(headers),), _headers)
_ROW = RowMapper(DeadLetter, headers=_HEADERS)
_NEW = RowMapper(DeadLetter, leave_out=("number",), headers=_HEADERS)


def keep(db: Database, letters: Sequence[DeadLetter]) -> None:
    """Stores dead letters, a reread one only once. Call it in the transaction that advances next_offset."""
    insert = _NEW.insert("dead_letter", verb="INSERT OR IGNORE")
    db.executemany(insert, [_NEW.values(letter) for letter in letters])


def count(db: Database) -> int:
    """Returns how many there are."""
    return db.count("dead_letter")


def all_letters(db: Database, limit: int | None = None) -> list[DeadLetter]:
    """Returns dead letters, oldest first; with a limit, only the newest ones."""
    newest = "(SELECT * FROM dead_letter ORDER BY number DESC LIMIT ?) ORDER BY number"
    return _ROW.select(db, newest, (-1 if limit is None else limit,))


def find(db: Database, number: int) -> DeadLetter | None:
    """Returns one dead letter, or None."""
    return next(iter(_ROW.select(db, "dead_letter WHERE number = ?", (number,))), None)


def matching(db: Database, reason: str | None, account_id: AccountId | None) -> list[int]:
    """Returns the numbers of dead letters, oldest first.

    Args:
        reason: only those whose reason contains this text.
        account_id: only those whose key names this account, or that block it.
    """
    prefix = f"{account_id}/".encode()
    return db.column(
        int,
        "SELECT number FROM dead_letter WHERE (?1 IS NULL OR instr(reason, ?1)) "
        "AND (?2 IS NULL OR account_id = ?2 OR substr(key, 1, ?4) = ?3) ORDER BY number",
        (reason, account_id, prefix, len(prefix)),
    )


def drop(db: Database, number: int) -> bool:
    """Deletes a dead letter for good; returns whether it existed. Call it in a transaction."""
    return bool(db.execute("DELETE FROM dead_letter WHERE number = ?", (number,)).rowcount)


def of_changelog(db: Database) -> list[DeadLetter]:
    """Returns records of ledger and settings that could not be applied, only the newest of each key; oldest first."""
    return _ROW.select(db, "dead_letter WHERE account_id IS NOT NULL ORDER BY number")


def of_topics(db: Database, *topics: str) -> list[DeadLetter]:
    """Returns the records of some topics that could not be applied, even without an account; oldest first."""
    return _ROW.select(db, f"dead_letter WHERE topic IN ({','.join('?' * len(topics))}) ORDER BY number", topics)


def count_because(db: Database, *reasons: str) -> int:
    """Returns how many have one of these reasons."""
    return db.count(f"dead_letter WHERE reason IN ({','.join('?' * len(reasons))})", reasons)


def count_of_topic(db: Database, topic: str, partition: int) -> int:
    """Returns how many records of a partition of ledger or settings could not be applied."""
    return db.count("dead_letter WHERE topic = ? AND partition = ?", (topic, partition))


def drop_superseded(db: Database, topic: str, keys: Iterable[bytes]) -> None:
    """Deletes records of ledger or settings that newer ones supersede. Call it in a transaction."""
    db.executemany("DELETE FROM dead_letter WHERE topic = ? AND key = ?", [(topic, key) for key in keys])


def oldest(db: Database) -> str | None:
    """Returns when the oldest dead letter was read; None without any."""
    return db.value(str, "SELECT read_at FROM dead_letter WHERE account_id IS NULL ORDER BY number LIMIT 1")


def drop_before(db: Database, moment: str) -> int:
    """Deletes dead letters read before a time, in many transactions; returns how many."""
    query = "SELECT number FROM dead_letter WHERE read_at < ? AND account_id IS NULL"
    return drop_all(db, db.column(int, query, (moment,)))


def drop_beyond(db: Database, most: int) -> int:
    """Deletes the oldest until at most `most` are left, in many transactions; returns how many."""
    surplus = max(0, count(db) - most)
    query = "SELECT number FROM dead_letter WHERE account_id IS NULL ORDER BY number LIMIT ?"
    return drop_all(db, db.column(int, query, (surplus,)))


def drop_all(db: Database, numbers: Sequence[int]) -> int:
    """Deletes dead letters, in many transactions; returns how many."""
    return db.in_parts(
        [(number,) for number in numbers], lambda part: db.executemany("DELETE FROM dead_letter WHERE number = ?", part)
    )


def mentioning(db: Database, text: str) -> list[int]:
    """Returns the numbers of dead letters whose key, value or headers contain a text.

    Args:
        text: matched ignoring case, in all decodings of :mod:`worker.store.decodings`.
    """
    return [number for number, content in _contents(db) if text.lower() in content]


def texts(db: Database) -> Iterator[str]:
    """Yields the contents of each dead letter: key, value and headers, in all decodings, lowercased."""
    for _, content in _contents(db):
        yield content


def _contents(db: Database) -> Iterator[tuple[int, str]]:
    after = 0
    while rows := db.execute(
        "SELECT number, key, value, headers FROM dead_letter WHERE number > ? ORDER BY number LIMIT ?",
        (after, _READ_AT_ONCE),
    ).fetchall():
        for row in rows:
            headers = [
                part
                for name, value in json.loads(row["headers"])
                for part in (name.encode(), base64.b64decode(value or ""))
            ]
            parts = (bytes(part or b"") for part in (row["key"], row["value"], *headers))
            yield row["number"], "\n".join(text for part in parts for text in decodings(part))
        after = rows[-1]["number"]
