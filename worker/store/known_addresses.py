"""Every address in the database, wherever it is, to find a person of whom only the hash is known."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from worker.model import LONGEST_ADDRESS, AddressKey
from worker.sqlite.database import Database
from worker.store import dead_letters

_BETWEEN = (
    re.compile(r"[\s\x00-\x1f\x7f\N{REPLACEMENT CHARACTER}\"<>()\[\]{},;:\\]+"),
    re.compile(r"[\s\x00-\x1f\x7f\N{REPLACEMENT CHARACTER}\"<>()\[\]{},;:\\'|=/?&#*!^`~]+"),
)
"""Characters around addresses: those that none contains, and those that few contain. Splitting takes linear time."""
_COLUMNS = (
    ("customer", "address", ("account_id", "customer_id")),
    ("ignored_event", "address", ("account_id", "customer_id")),
    ("ledger", "address", ("account_id", "list_id", "address")),
    ("standing", "address", ("account_id", "customer_id")),
    ("standing", "refused_address", ("account_id", "customer_id")),
    ("receipt", "address", ("number",)),
)
_TEXTS = (
    ("ledger", "intent", ("account_id", "list_id", "address")),
    ("receipt", "sent", ("number",)),
    ("receipt", "answer", ("number",)),
)


def pages(db: Database) -> Iterator[set[AddressKey]]:
    """Yields the addresses page by page, some repeatedly. Reads briefly, so that others can write."""
    for table, column, key in _COLUMNS:
        for page in _values(db, table, column, key):
            yield {AddressKey(address) for address in page}
    for table, column, key in _TEXTS:
        for page in _values(db, table, column, key):
            yield {address for text in page for address in in_text(text)}
    for text in dead_letters.texts(db):
        yield in_text(text)


def in_text(text: str) -> set[AddressKey]:
    """Returns whatever may be an address in a text."""
    words = {
        word.strip(".")
        for between in (_BETWEEN if "@" in text else ())
        for word in between.split(text)
        if "@" in word and len(word) <= LONGEST_ADDRESS
    }
    return {AddressKey(word.lower()) for word in words if "@" in word[1:-1]}


def _values(db: Database, table: str, column: str, key: Sequence[str]) -> Iterator[list[str]]:
    for rows in db.pages(table, key, more=(column,)):
        yield [row[-1] for row in rows if row[-1] is not None and "@" in row[-1]]
