"""Who waits for the next flush: changed customers, but for those whom Mailchimp refused and who are tried later."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from worker.model import AccountId, Customer
from worker.sqlite.database import Database
from worker.store import customers

LATER = (
    # As worker.plan.destinations decides: nobody is refused who is deleted, withdrew consent or has another address.
    "SELECT account_id, customer_id{} FROM standing CROSS JOIN customer USING (account_id, customer_id) "
    "WHERE standing.refusal IS NOT NULL AND standing.retry_at > ?1 AND customer.changed = 1 "
    "AND (standing.refused_address IS NULL OR standing.refused_address = customer.address) "
    f"AND NOT customer.deleted AND NOT {customers.WITHDRAWN}"
)
NOT_LATER = f"((account_id, customer_id) IN ({LATER.format('')})) IS NOT TRUE"  # SQLite runs NOT IN for each row again
"""Of changed customers. The first parameter of the statement is the time of the next daily flush, as text."""


_NOT_COMPARED = (
    "SELECT account_id FROM taken_partition CROSS JOIN account_partition USING (topic, partition) WHERE NOT compared"
)
"""Accounts of partitions that were taken over, and whose customers all seem to be changed until they are compared."""
WAITS = f"{NOT_LATER} AND (account_id IN ({_NOT_COMPARED})) IS NOT TRUE"
"""Of changed customers, with the same parameter."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The changed customers of an account.

    Attributes:
        count: those that the next daily flush tries if nothing prevents it.
        since: when the first of them was staged, as text; None without any.
        later: those whom Mailchimp refused and who are tried after that flush.
        retry_at: when the first of these may be tried, as text; None without any.
        compared: whether that is known. After a take-over it is not until customers are compared with the ledger.
    """

    count: int = 0
    since: str | None = None
    later: int = 0
    retry_at: str | None = None
    compared: bool = True

    @property
    def known(self) -> int | None:
        """How many wait; None if it is not known yet."""
        return self.count if self.compared else None


NOBODY = Waiting()


def by_account(db: Database, next_flush: str, account_id: AccountId | None = None) -> defaultdict[AccountId, Waiting]:
    """Returns who waits, for each account with changed customers, or for one; others have NOBODY.

    Args:
        next_flush: when the next daily flush is, as text.
    """
    waits: defaultdict[AccountId, Waiting] = defaultdict(lambda: NOBODY)
    which = "?2 IS NULL" if account_id is None else "account_id = ?2"
    query = f"SELECT account_id, count(*), min(staged_at) FROM customer WHERE changed = 1 AND {which} AND {NOT_LATER}"
    for row in db.execute(f"{query} GROUP BY account_id", (next_flush, account_id)):
        waits[AccountId(row[0])] = Waiting(row[1], row[2])
    later = f"SELECT account_id, count(*), min(retry_at) FROM ({LATER.format(', retry_at')}) WHERE {which}"
    for row in db.execute(f"{later} GROUP BY account_id", (next_flush, account_id)):
        waits[AccountId(row[0])] = replace(waits[AccountId(row[0])], later=row[1], retry_at=row[2])
    return waits | dict.fromkeys(db.column(AccountId, _NOT_COMPARED), Waiting(compared=False))


def count(db: Database, next_flush: str) -> int:
    """Returns how many customers of all accounts wait."""
    not_compared = f"({_NOT_COMPARED}) CROSS JOIN customer USING (account_id) WHERE changed = 1"
    return db.count("customer WHERE changed = 1") - later_count(db, next_flush) - db.count(not_compared)


def later_count(db: Database, next_flush: str) -> int:
    """Returns how many customers of all accounts are tried later."""
    return db.count(f"({LATER.format('')})", (next_flush,))


def people(db: Database, account_id: AccountId, next_flush: str, limit: int) -> list[Customer]:
    """Returns those of an account who wait, by id, up to a limit; never bare customers."""
    return customers.select(
        db,
        f"account_id = ?2 AND changed = 1 AND bare = 0 AND {WAITS} ORDER BY customer_id LIMIT ?3",
        (next_flush, account_id, limit),
    )


def people_later(db: Database, account_id: AccountId, next_flush: str, limit: int) -> list[Customer]:
    """Returns those of an account who are tried later, by id, up to a limit."""
    which = f"account_id = ?2 AND customer_id IN (SELECT customer_id FROM ({LATER.format('')}) WHERE account_id = ?2)"
    return customers.select(db, f"{which} ORDER BY customer_id LIMIT ?3", (next_flush, account_id, limit))
