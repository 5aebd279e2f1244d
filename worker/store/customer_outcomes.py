"""What is published about each customer: its last outcome, and its member as far as it is known."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from worker.model import AccountId, CustomerId, ListId, MembershipKey
from worker.store.changed_rows import Rows, customer_rows
from worker.store.database import Database
from worker.store.rows import from_json, json_text

NO_MEMBER = "none"
"""The status of a customer who is no member."""

Cause = Literal["billmywork", "person", "mailchimp", "worker"]
"""billmywork: a change or a setting there · person: whom the address belongs to · mailchimp: somebody in Mailchimp, or
Mailchimp itself · worker: this worker, which waits for somebody or failed."""


@dataclass(frozen=True, slots=True)
class CustomerOutcome:
    """All that is published about a customer.

    Attributes:
        version: the highest version of the customer when it was looked at; None where no event had one.
        event_id: the event that this answers; None where it had none.
        list_id: where the member is, or was last; without one, the list that was chosen. None where there is none.
        list_reason: why that list; None where it was not chosen for this event.
        member_status: as Mailchimp says: subscribed, pending, unsubscribed, cleaned, archived, transactional or none.
        since: from when on the member is known to have that status, as text: by Mailchimp's clock where it was read.
        outcome: the class, see :mod:`worker.flush.outcomes`.
        reason: what happened, one sentence, without anybody's address.
        next: what happens next, one sentence.
        caused_by: who made it so.
        run: the flush that found it; None outside of one.
        at: when this was written down, as text.
    """

    version: int | None
    event_id: str | None
    list_id: ListId | None
    list_reason: str | None
    member_status: str
    since: str
    outcome: str
    reason: str
    next: str
    caused_by: Cause
    run: int | None
    at: str

    def as_data(self) -> dict[str, Any]:
        """Returns its values by their names in JSON."""
        return {name: getattr(self, name) for name in NAMES}

    def as_text(self) -> str:
        """Returns it as JSON."""
        return json_text(self)


NAMES = tuple(one.name for one in dataclasses.fields(CustomerOutcome))


def outcome_of(text: str | None) -> CustomerOutcome | None:
    """Returns what a text holds, without what a later release may have added."""
    if text is None:
        return None
    parts = from_json(text)
    return CustomerOutcome(**{name: parts.get(name) for name in NAMES})


@dataclass(frozen=True, slots=True)
class CustomerNow:
    """Where a customer is, and which outcome was published last.

    Attributes:
        membership: where it is known; None where it is nowhere.
        state: of the ledger's entry there; None without one.
        member_status: of that entry.
        renamed: whether the person gave the member another address, under which it has that status.
        version: of the staged customer, as is `event_id`; None where it is not staged.
        published: the outcome that was published last; None before the first one.
        deleted: whether billmywork has deleted it.
        succeeded: whether another customer has the address of that place, and this one has another or none.
    """

    customer_id: CustomerId
    membership: MembershipKey | None
    state: str | None
    member_status: str | None
    version: int | None
    event_id: str | None
    published: CustomerOutcome | None
    deleted: bool = False
    succeeded: bool = False
    renamed: bool = False


_NOW = (
    "SELECT wanted.value AS customer_id, one.list_id, one.address, one.outcome, ledger.state, ledger.member_status, "
    "customer.version, customer.event_id, ledger.address_now, coalesce(customer.deleted, one.deleted, 0) AS deleted, "
    "one.address IS NOT NULL AND customer.address IS NOT one.address AND EXISTS (SELECT 1 FROM customer AS other "
    "WHERE other.account_id = ?1 AND other.address = one.address AND other.customer_id <> wanted.value "
    "AND NOT other.deleted) AS succeeded FROM json_each(?2) AS wanted "
    "LEFT JOIN standing AS one ON one.account_id = ?1 AND one.customer_id = wanted.value "
    "LEFT JOIN ledger ON ledger.account_id = ?1 AND ledger.list_id = one.list_id AND ledger.address = one.address "
    "LEFT JOIN customer ON customer.account_id = ?1 AND customer.customer_id = wanted.value"
)


def customers_now(db: Database, account_id: AccountId, customer_ids: Iterable[CustomerId]) -> list[CustomerNow]:
    """Returns where customers are and what was published about them last, in the order given."""
    wanted = list(customer_ids)
    rows = db.execute(_NOW, (account_id, json.dumps(wanted))) if wanted else ()
    return [_now(row) for row in rows]


def _now(row: Any) -> CustomerNow:
    membership = MembershipKey(row["list_id"], row["address"]) if row["address"] is not None else None
    published = outcome_of(row["outcome"])
    known = (row["state"], row["member_status"], row["version"], row["event_id"])
    flags = bool(row["deleted"]), bool(row["succeeded"]), row["address_now"] is not None
    return CustomerNow(row["customer_id"], membership, *known, published, *flags)


def sharers(
    db: Database, account_id: AccountId, memberships: Collection[MembershipKey], but: Collection[CustomerId]
) -> list[CustomerId]:
    """Returns customers that have a published outcome and are known at any of the places, but for some."""
    rows = db.execute(
        "SELECT customer_id, list_id, address FROM standing WHERE account_id = ? AND outcome IS NOT NULL "
        "AND address IN (SELECT value FROM json_each(?))",
        (account_id, json.dumps([one.address for one in memberships])),
    )
    found = ((row["customer_id"], MembershipKey(row["list_id"], row["address"])) for row in rows)
    return [customer_id for customer_id, place in found if place in memberships and customer_id not in but]


def find(db: Database, account_id: AccountId, customer_id: CustomerId) -> CustomerOutcome | None:
    """Returns the outcome that was published last for a customer; None before the first one."""
    return next(iter(customers_now(db, account_id, [customer_id]))).published


def pages(db: Database, account_id: AccountId) -> Iterator[list[CustomerId]]:
    """Returns the customers of an account that have a published outcome, page by page."""
    pages = db.pages("standing", ("customer_id",), "account_id = ? AND outcome IS NOT NULL", (account_id,))
    return ([CustomerId(row[0]) for row in rows] for rows in pages)


def put(db: Database, account_id: AccountId, outcomes: Mapping[CustomerId, CustomerOutcome]) -> Rows:
    """Writes what is published about customers from now on. Belongs in a transaction."""
    db.executemany(
        "INSERT INTO standing (account_id, customer_id, outcome) VALUES (?,?,?) "
        "ON CONFLICT (account_id, customer_id) DO UPDATE SET outcome = excluded.outcome",
        [(account_id, customer_id, one.as_text()) for customer_id, one in outcomes.items()],
    )
    return customer_rows(account_id, outcomes)


def drop(db: Database, account_id: AccountId, customer_ids: Sequence[CustomerId]) -> Rows:
    """Removes the outcomes of customers. Belongs in a transaction."""
    gone = db.execute_each(
        "UPDATE standing SET outcome = NULL WHERE account_id = ? AND customer_id = ? AND outcome IS NOT NULL",
        [(account_id, one) for one in customer_ids],
    )
    return customer_rows(account_id, [row[1] for row in gone])
