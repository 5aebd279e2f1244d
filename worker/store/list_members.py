"""The members that the ledger has of an account's lists."""

from __future__ import annotations

from collections.abc import Iterator

from worker.model import AccountId, AddressKey, ListId
from worker.sqlite.database import Database


def contact_ids(db: Database, account_id: AccountId, list_id: ListId) -> Iterator[str]:
    """Yields the contact ids of a list's entries that have one."""
    query = "SELECT contact_id FROM ledger WHERE account_id = ? AND list_id = ? AND contact_id IS NOT NULL"
    return (row[0] for row in db.execute(query, (account_id, list_id)))


def present_on(db: Database, account_id: AccountId, list_id: ListId) -> Iterator[AddressKey]:
    """Yields the addresses of members that a list is known to hold, page by page."""
    pages = db.pages(
        "ledger", ("address",), "account_id = ? AND list_id = ? AND state = 'present'", (account_id, list_id)
    )
    return (AddressKey(row[0]) for rows in pages for row in rows)


def lists_of(db: Database, account_id: AccountId) -> set[ListId]:
    """Returns the lists of which the ledger has entries."""
    # From one list to the next by the primary key: the account may have a million entries.
    query = (
        "WITH RECURSIVE known (list_id) AS (SELECT min(list_id) FROM ledger WHERE account_id = ?1 UNION ALL "
        "SELECT (SELECT min(list_id) FROM ledger WHERE account_id = ?1 AND list_id > known.list_id) FROM known "
        "WHERE list_id IS NOT NULL) SELECT list_id FROM known WHERE list_id IS NOT NULL"
    )
    return set(db.column(ListId, query, (account_id,)))
