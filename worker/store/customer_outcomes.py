"""What is published about each customer: its last outcome, and its member as far as it is known."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from worker.model import AccountId, CustomerId, ListId, MembershipKey
from worker.sqlite.database import Database
from worker.sqlite.rows import Rows, customer_rows, from_json, json_text, parser_of

NO_MEMBER = "none"
"""The status of a customer who is no member."""

Cause = Literal["billmywork", "person", "mailchimp", "worker"]
"""billmywork: a change or a setting there · person: the owner of the address · mailchimp: somebody in Mailchimp, or
Mailchimp itself · worker: this worker, which waits for somebody or failed."""


@dataclass(frozen=True, slots=True)
class CustomerOutcome:
    """Everything that is published about a customer.

    Attributes:
        version: the customer's highest version when it was read for the flush; None if no event had one.
        event_id: the event that this answers; None if it had no id.
        list_id: where the member is, or was last; without one, the chosen list. None if there is none.
        list_reason: why this list; None if it was not chosen for this event.
        member_status: in Mailchimp: subscribed, pending, unsubscribed, cleaned, archived, transactional or none.
        since: since when the member is known to have that status, as text: by Mailchimp's clock if it was read.
        outcome: see :mod:`worker.plan.outcomes`.
        reason: what happened, one sentence without addresses.
        next: what happens next, one sentence.
        caused_by: who caused it.
        run: the flush that found it; None outside of one.
        at: when this was recorded, as text.
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
        """Returns its fields as JSON data."""
        return {name: getattr(self, name) for name in NAMES}

    def as_text(self) -> str:
        """Returns it as JSON."""
        return json_text(self)


NAMES = tuple(field.name for field in dataclasses.fields(CustomerOutcome))
_parse = parser_of(CustomerOutcome)


def outcome_of(text: str | None) -> CustomerOutcome | None:
    """Parses an outcome, ignoring fields of later releases."""
    if text is None:
        return None
    if (outcome := _parse(text)) is not None:
        return outcome
    parts = from_json(text)
    return CustomerOutcome(**{name: parts.get(name) for name in NAMES})


@dataclass(frozen=True, slots=True)
class CustomerNow:
    """Where a customer is, and which outcome was published last.

    Attributes:
        membership: where it is known; None if it is nowhere.
        state: of the ledger entry there; None without one.
        member_status: of that entry.
        changed: whether it needs a flush.
        renamed: whether the person changed the member's address, under which it has that status.
        version: of the staged customer, like `event_id`; None if it is not staged.
        published: the last published outcome; None before the first one.
        deleted: whether billmywork has deleted it.
        succeeded: whether another customer has the address of that place, and this one has another or none.
        unconfirmed: whether the person left, and a form was filled in since that nobody has confirmed.
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
    changed: bool = False
    unconfirmed: bool = False


_NOW = (
    "SELECT wanted.value AS customer_id, one.list_id, one.address, one.outcome, ledger.state, ledger.member_status, "
    "customer.version, customer.event_id, ledger.address_now, coalesce(customer.deleted, one.deleted, 0) AS deleted, "
    "one.address IS NOT NULL AND customer.address IS NOT one.address AND EXISTS (SELECT 1 FROM customer AS other "
    "WHERE other.account_id = ?1 AND other.address = one.address AND other.customer_id <> wanted.value "
    "AND NOT other.deleted) AS succeeded, coalesce(customer.changed, 0) AS changed FROM json_each(?2) AS wanted "
    "LEFT JOIN standing AS one ON one.account_id = ?1 AND one.customer_id = wanted.value "
    "LEFT JOIN ledger ON ledger.account_id = ?1 AND ledger.list_id = one.list_id AND ledger.address = one.address "
    "LEFT JOIN customer ON customer.account_id = ?1 AND customer.customer_id = wanted.value"
)


def customers_now(db: Database, account_id: AccountId, customer_ids: Iterable[CustomerId]) -> list[CustomerNow]:
    """Returns where customers are and what was last published about them, in the given order."""
    wanted = list(customer_ids)
    rows = db.execute(_NOW, (account_id, json.dumps(wanted))) if wanted else ()
    return [_now(row) for row in rows]


def _now(row: Any) -> CustomerNow:
    membership = MembershipKey(row["list_id"], row["address"]) if row["address"] is not None else None
    published = outcome_of(row["outcome"])
    known = (row["state"], row["member_status"], row["version"], row["event_id"])
    address_now = row["address_now"]
    flags = (
        bool(row["deleted"]),
        bool(row["succeeded"]),
        address_now not in (None, row["address"]),
        bool(row["changed"]),
        address_now is not None and address_now == row["address"],
    )
    return CustomerNow(row["customer_id"], membership, *known, published, *flags)


def sharers(
    db: Database, account_id: AccountId, memberships: Collection[MembershipKey], but: Collection[CustomerId]
) -> list[CustomerId]:
    """Returns customers with a published outcome that are known at any of the places, with some exceptions."""
    rows = db.execute(
        "SELECT customer_id, list_id, address FROM standing WHERE account_id = ? AND outcome IS NOT NULL "
        "AND address IN (SELECT value FROM json_each(?))",
        (account_id, json.dumps([membership.address for membership in memberships])),
    )
    known_at = ((row["customer_id"], MembershipKey(row["list_id"], row["address"])) for row in rows)
    return [customer_id for customer_id, place in known_at if place in memberships and customer_id not in but]


def find(db: Database, account_id: AccountId, customer_id: CustomerId) -> CustomerOutcome | None:
    """Returns the last published outcome of a customer; None before the first one."""
    return next(iter(customers_now(db, account_id, [customer_id]))).published


def texts_of(db: Database, customers: Iterable[Sequence[str]]) -> dict[tuple[str, ...], str]:
    """Returns the stored outcomes, by account and customer, of those customers that have one.

    Args:
        customers: account and customer of each.
    """
    rows = db.execute(
        "SELECT one.account_id, one.customer_id, one.outcome FROM json_each(?) AS wanted CROSS JOIN standing AS one "
        "ON one.account_id = wanted.value ->> 0 AND one.customer_id = wanted.value ->> 1 WHERE outcome IS NOT NULL",
        (json.dumps(list(customers)),),
    )
    return {(row[0], row[1]): row[2] for row in rows}


def pages(db: Database, account_id: AccountId) -> Iterator[list[CustomerId]]:
    """Yields the customers of an account with a published outcome, page by page."""
    pages = db.pages("standing", ("customer_id",), "account_id = ? AND outcome IS NOT NULL", (account_id,))
    return ([CustomerId(row[0]) for row in rows] for rows in pages)


def put(db: Database, account_id: AccountId, outcomes: Mapping[CustomerId, CustomerOutcome]) -> Rows:
    """Stores what is published about customers. Call it in a transaction."""
    db.executemany(
        "INSERT INTO standing (account_id, customer_id, outcome) VALUES (?,?,?) "
        "ON CONFLICT (account_id, customer_id) DO UPDATE SET outcome = excluded.outcome",
        [(account_id, customer_id, outcome.as_text()) for customer_id, outcome in outcomes.items()],
    )
    return customer_rows(account_id, outcomes)


def drop(db: Database, account_id: AccountId, customer_ids: Sequence[CustomerId]) -> Rows:
    """Deletes the outcomes of customers. Call it in a transaction."""
    dropped = db.execute_each(
        "UPDATE standing SET outcome = NULL WHERE account_id = ? AND customer_id = ? AND outcome IS NOT NULL",
        [(account_id, customer_id) for customer_id in customer_ids],
    )
    return customer_rows(account_id, [row[1] for row in dropped])
