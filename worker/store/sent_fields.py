"""The hashes of sent values in the ledger: read page by page, and renewed after a change of the secret key."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from worker.model import AccountId, CustomerId, ListId, MembershipKey
from worker.sqlite.database import Database
from worker.sqlite.rows import Rows, entry_rows

_HAS = "state = 'present' AND fields <> '{}'"
"""Other members get all fields if they are written again, so their hashes do not matter."""


@dataclass(frozen=True, slots=True)
class SentFields:
    """What was sent to a member.

    Attributes:
        customer_id: the customer whose fields it has.
        fields: merge tag to hash.
        text: the same as stored.
    """

    membership: MembershipKey
    customer_id: CustomerId
    fields: Mapping[str, str]
    text: str


class Sent(NamedTuple):
    """Which merge fields were ever sent to members of some lists.

    Attributes:
        complete: whether all members were looked at, and not only some.
    """

    tags: frozenset[str]
    complete: bool


def tags(db: Database, account_id: AccountId, list_ids: Iterable[ListId], limit: int = 5000) -> Sent:
    """Returns the merge tags that members of lists have from this worker, EMAIL if there is one of them.

    Args:
        limit: members of each list to look at.
    """
    sent: set[str] = set()
    complete = True
    for list_id in list_ids:
        some = f"SELECT fields FROM ledger WHERE account_id = ? AND list_id = ? AND {_HAS} LIMIT ?"
        query = f"SELECT count(*) FROM ({some}) UNION ALL SELECT DISTINCT key FROM ({some}), json_each(fields)"
        (members, *found_tags) = db.column(str, query, (account_id, list_id, limit) * 2)
        sent |= {"EMAIL", *found_tags} if int(members) else set()
        complete = complete and int(members) < limit
    return Sent(frozenset(sent), complete)


def count_by_account(db: Database) -> Counter[AccountId]:
    """Returns how many members of each account have hashes that matter."""
    rows = db.execute(f"SELECT account_id, count(*) FROM ledger WHERE {_HAS} GROUP BY account_id")
    return Counter({AccountId(row[0]): int(row[1]) for row in rows})


def pages(db: Database, account_id: AccountId) -> Iterator[list[SentFields]]:
    """Yields an account's sent fields, page by page."""
    which, more = f"account_id = ? AND {_HAS}", ("customer_id", "fields")
    for rows in db.pages("ledger", ("list_id", "address"), which, (account_id,), more=more):
        yield [
            SentFields(MembershipKey(*row[:2]), row["customer_id"], json.loads(row["fields"]), row["fields"])
            for row in rows
        ]


def replace(db: Database, account_id: AccountId, changed: Sequence[tuple[SentFields, Mapping[str, str]]]) -> Rows:
    """Replaces the hashes of members that still have those that were read. Call it in a transaction.

    Args:
        changed: each as it was read, with its new hashes.
    """
    db.executemany(
        "UPDATE ledger SET fields = ? WHERE account_id = ? AND list_id = ? AND address = ? AND fields = ?",
        [
            (json.dumps(dict(fields), ensure_ascii=False), account_id, *member.membership, member.text)
            for member, fields in changed
        ],
    )
    return entry_rows(account_id, [member.membership for member, _ in changed])
