"""The ledger: what each list is known to hold because this worker added or found it there.

Also the customer statuses: where each customer was last settled, and what prevents sending it. Consent depends on both:
through them an opt-out follows a customer to a new address.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, Literal

from worker.model import AccountId, AddressKey, CustomerId, ListId, MembershipKey, Origin
from worker.sqlite.database import Database
from worker.sqlite.rows import Form, RowKey, RowMapper, Rows, customer_rows, entry_rows, from_json

LASTING_REFUSALS = frozenset({"Member In Compliance State", "Forgotten Email Not Subscribed"})
"""Titles of refusals that show that somebody left the list with this address. Only the person can end them."""

State = Literal["intended", "present", "archived", "gone"]
"""intended: an add, or a rename to here, was about to be sent · present: a member, whatever its status · archived: by
this worker · gone: Mailchimp no longer knows the address, or only by a form that nobody has confirmed."""


OUT = frozenset({"unsubscribed", "cleaned", "archived"})
"""Statuses of a member that left or was removed by somebody else."""


IntentKind = Literal["add", "rename", "restore", "archive", "unsubscribe"]


@dataclass(frozen=True, slots=True)
class Intent:
    """What a write was about to do, stored before it is sent, so that the next flush can decide if its answer is lost.

    It proves nothing by itself: the member's contact id and Mailchimp's own times show whether the write was done. See
    :mod:`worker.plan.identity`.

    Attributes:
        at: Mailchimp's time of the read before the write, as text; "" if it gave none.
        until: Mailchimp's time by which the write was done, if it was; None while unknown.
        contact_id: of the member to write; for a rename, the member that was to get the new address.
        status: the member's status when it was read; for an add the status that was sent, None if tries differ in it.
        last_changed: the member's, as Mailchimp wrote it.
        born: when the member joined, as text.
        source: where a member was to be renamed from.
    """

    kind: IntentKind
    at: str
    until: str | None = None
    contact_id: str | None = None
    status: str | None = None
    last_changed: str | None = None
    born: str | None = None
    source: MembershipKey | None = None

    def as_text(self) -> str:
        """Returns it as the ledger keeps it: a JSON object without the parts that are not known."""
        return _intent_text(self)


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One membership of the ledger.

    Attributes:
        customer_id: the customer whose fields the member has.
        member_status: the status in Mailchimp's last answer.
        fields: merge tag to hash of the value that was sent last; an absent tag was never filled by this worker.
        sent_at: when, by this machine's clock; for an intended entry, when it was written.
        status_before: the member's status before this worker archived it, or was about to.
        last_changed: the member's ``last_changed`` right after that, as Mailchimp wrote it.
        contact_id: Mailchimp's ``contact_id`` of the member; None until an answer has it.
        seen_at: Mailchimp's time, from the Date header, of the last answer with this member, as text.
        intent: a write to this place whose answer is unknown; None if there is none.
        names_agreed: of a found member, whether it had its customer's names when it was found; None if unknown.
        customer_since: when this very member became that customer's. :func:`put_entries` keeps it while member and
            customer stay the same, and accepts a later one.
        member_tags: the customer's tags that the member has, by name, to how they got there (see
            :mod:`worker.fields.member_tags`); None for none.
        address_now: the address that the person gave the member in Mailchimp, so that it is gone from this place; then
            `member_status` is that of the member there. The same address if the person left and a form was filled in
            since, which nobody has confirmed.
    """

    membership: MembershipKey
    customer_id: CustomerId
    state: State
    origin: Origin
    sent_at: str
    fields: Mapping[str, str] = field(default_factory=dict)
    member_status: str | None = None
    status_before: str | None = None
    last_changed: str | None = None
    contact_id: str | None = None
    seen_at: str | None = None
    intent: Intent | None = None
    names_agreed: bool | None = None
    customer_since: str | None = None
    member_tags: Mapping[str, str] | None = None
    address_now: AddressKey | None = None


@dataclass(frozen=True, slots=True)
class CustomerStatus:
    """Where a customer was last settled, and what prevents sending it again.

    Attributes:
        membership: where it is, or was when it was last found to have left; None if it was nowhere.
        refusal: the title of a refusal; None for none.
        refused_address: the address that was refused; None if an earlier release did not keep it.
        attempts: how often a temporary refusal occurred.
        retry_at: when it is retried; None with a refusal means not before the address changes or it is cleared.
        waits_for: the customer whose opt-out keeps this one out, which is planned again when that one changes.
    """

    customer_id: CustomerId
    membership: MembershipKey | None = None
    refusal: str | None = None
    refused_address: AddressKey | None = None
    attempts: int = 0
    retry_at: str | None = None
    waits_for: CustomerId | None = None

    def refuses(self, address: AddressKey | None) -> bool:
        """Returns whether Mailchimp refused the customer with this address."""
        return self.refusal is not None and self.refused_address in (None, address)

    @property
    def lasting(self) -> bool:
        """Whether only the person can end the refusal. The ledger has the departure that it showed."""
        return self.refusal in LASTING_REFUSALS


def has_left(entry: LedgerEntry | None) -> bool:
    """Returns whether a departure is known: unsubscribed, cleaned, archived by somebody else, or gone."""
    if entry is None or entry.state == "intended":
        return False
    return entry.state == "gone" or status_left_with(entry) in OUT


def may_leave(entry: LedgerEntry | None) -> bool:
    """Returns whether somebody may have left a place by now: a member, or an archived one that was not read since."""
    return entry is not None and (entry.state == "present" or (entry.state == "archived" and entry.intent is not None))


def keeps_out(entry: LedgerEntry | None, destination: MembershipKey) -> bool:
    """Returns whether a departure in the ledger keeps a contact from a place.

    A bounced address is kept out itself, but not the person under another address.
    """
    if entry is None or not has_left(entry):
        return False
    return not is_bounce(entry) or entry.membership.address == destination.address


def is_bounce(entry: LedgerEntry) -> bool:
    """Returns whether Mailchimp cleaned a member, because mail to its address was returned."""
    return entry.member_status == "cleaned" and entry.state == "present"


def status_left_with(entry: LedgerEntry) -> str | None:
    """Returns the status with which somebody left, who is known to have left; None if the member is gone."""
    if entry.state == "gone":
        return None
    return entry.status_before if entry.state == "archived" else entry.member_status


def intent_of(row: Mapping[str, Any]) -> Intent | None:
    """Returns the intent in a ledger row, including one written by an earlier release.

    Args:
        row: its state, intent, sent_at and status_before.
    """
    if row["intent"] is not None:
        return _intent_of_json(row["intent"])
    # Earlier releases stored only these two, with their own machine's time.
    if row["state"] == "intended":
        return Intent("add", row["sent_at"])
    if row["state"] == "present" and row["status_before"] is not None:
        return Intent("archive", row["sent_at"], status=row["status_before"])
    return None


_PARTS = tuple(part.name for part in fields(Intent))


@lru_cache(maxsize=16)  # the adds of one POST have one intent
def _intent_text(intent: Intent) -> str:
    return json.dumps({name: value for name in _PARTS if (value := getattr(intent, name)) is not None})


def _intent_of_json(text: str) -> Intent:
    stored = from_json(text)
    parts = {name: stored[name] for name in _PARTS if name in stored}
    source = parts.pop("source", None)
    return Intent(**parts, source=MembershipKey(*source) if source else None)


_ENTRY = RowMapper(
    LedgerEntry, intent=Form(("intent",), lambda intent: (intent.as_text() if intent is not None else None,), intent_of)
)
_STATUS = RowMapper(CustomerStatus)
_MARKS = {column: f"?{number}" for number, column in enumerate(("account_id", *_ENTRY.columns), 1)}
_SINCE, _SENT = _MARKS["customer_since"], _MARKS["sent_at"]
_PUT_ENTRY = (
    # Not REPLACE, which would drop fields that a later release wrote.
    f"INSERT INTO ledger (account_id, {_ENTRY.names}) VALUES ({', '.join(_MARKS.values())}) ".replace(
        _SINCE, f"coalesce({_SINCE}, {_SENT})"
    )
    + f"ON CONFLICT (account_id, list_id, address) DO UPDATE SET "
    # Without the key: SQLite would delete the row and write it again, in all indexes.
    f"{_ENTRY.over('list_id', 'address', 'customer_since')}, "
    # A different member starts over, even with the same customer and address.
    "customer_since = CASE WHEN customer_id = excluded.customer_id AND origin = excluded.origin "
    "AND coalesce(contact_id = excluded.contact_id, 1) "
    f"THEN max(coalesce(customer_since, sent_at), coalesce({_SINCE}, '')) ELSE excluded.sent_at END"
)
_PUT_STATUS = _STATUS.upsert("standing", "account_id", key=("customer_id",))


def entries_of(db: Database, account_id: AccountId, addresses: Iterable[AddressKey]) -> list[LedgerEntry]:
    """Returns the account's entries with any of the addresses, on any list."""
    which = "ledger WHERE account_id = ? AND address IN (SELECT value FROM json_each(?))"
    return _ENTRY.select(db, which, (account_id, json.dumps(list(addresses))))


def entries_of_customer(db: Database, account_id: AccountId, customer_id: CustomerId) -> list[LedgerEntry]:
    """Returns all places that have a customer's fields, or had them when this worker archived the member."""
    return _ENTRY.select(db, "ledger WHERE account_id = ? AND customer_id = ?", (account_id, customer_id))


_GIVEN = "(SELECT value FROM json_each(?2))"
_OWNED = (
    "ledger WHERE account_id = ?1 AND (state <> 'archived' OR intent IS NOT NULL OR status_before = 'unsubscribed') "
    "AND customer_id IN "
)
_ADDRESSES_OF = (
    f"SELECT address FROM {_OWNED} {{ids}} UNION SELECT address FROM standing WHERE account_id = ?1 "
    "AND address IS NOT NULL AND customer_id IN {ids}"
)


def owned_by(db: Database, account_id: AccountId, customers: Iterable[CustomerId]) -> list[LedgerEntry]:
    """Returns the places that have a customer's fields, where a write for it was begun, or that it left for good.

    A customer has several while a move is half done, or if consent was withdrawn on several lists. It left a place for
    good if the member is gone, or was unsubscribed when this worker archived it.
    """
    return _ENTRY.select(db, f"{_OWNED} {_GIVEN}", (account_id, json.dumps(list(customers))))


def addresses_of_customers(db: Database, account_id: AccountId, customers: Sequence[CustomerId]) -> set[AddressKey]:
    """Returns the addresses of the same places, and those where the customers are known by their statuses."""
    return set(db.column(AddressKey, _ADDRESSES_OF.format(ids=_GIVEN), (account_id, json.dumps(customers))))


_DEPARTED = (
    "ledger WHERE account_id = ?1 AND (state = 'gone' OR (state <> 'intended' AND CASE state WHEN 'archived' "
    "THEN status_before ELSE member_status END IN (SELECT value FROM json_each(?3)))) AND address IN "
)
_ANYONE_LEFT = (
    "WITH known (customer_id) AS (SELECT value FROM json_each(?4) UNION SELECT customer_id FROM customer "
    f"WHERE account_id = ?1 AND address IN {_GIVEN}) SELECT EXISTS (SELECT 1 FROM {_DEPARTED} "
    f"(SELECT value FROM json_each(?2) UNION {_ADDRESSES_OF.format(ids='known')}))"
)


def anyone_left(
    db: Database, account_id: AccountId, addresses: Iterable[AddressKey], customers: Iterable[CustomerId]
) -> bool:
    """Returns whether a departure is known at one of the addresses, or at one that these customers had.

    Also at one that other customers with these addresses had. A departure is an entry that :func:`has_left`.
    """
    values = (account_id, json.dumps(list(addresses)), json.dumps(sorted(OUT)), json.dumps(list(customers)))
    return bool(db.value(bool, _ANYONE_LEFT, values))


def entries_of_contacts(
    db: Database, account_id: AccountId, list_id: ListId, contacts: Iterable[str]
) -> list[LedgerEntry]:
    """Returns a list's entries with any of the contact ids. Scans the whole list."""
    which = "ledger WHERE account_id = ? AND list_id = ? AND contact_id IN (SELECT value FROM json_each(?))"
    return _ENTRY.select(db, which, (account_id, list_id, json.dumps(list(contacts))))


def present_count(db: Database, account_id: AccountId) -> dict[ListId, int]:
    """Returns how many members each of the account's lists is known to hold."""
    rows = db.execute(
        "SELECT list_id, count(*) AS n FROM ledger WHERE account_id = ? AND state = 'present' GROUP BY list_id",
        (account_id,),
    )
    return {row["list_id"]: row["n"] for row in rows}


def departures_at(db: Database, account_id: AccountId, memberships: Collection[MembershipKey]) -> set[MembershipKey]:
    """Returns those of some places where a departure is known, as :func:`has_left` says."""
    values = (account_id, json.dumps([place.address for place in memberships]), json.dumps(sorted(OUT)))
    rows = db.execute(f"SELECT list_id, address FROM {_DEPARTED} {_GIVEN}", values) if memberships else ()
    return {place for row in rows if (place := MembershipKey(*row)) in memberships}


def put_entries(db: Database, account_id: AccountId, entries: Sequence[LedgerEntry]) -> Rows:
    """Stores entries, each over the previous one of its place. Call it in a transaction."""
    db.executemany(_PUT_ENTRY, [(account_id, *_ENTRY.values(entry)) for entry in entries])
    return entry_rows(account_id, [entry.membership for entry in entries])


def drop_entries(db: Database, account_id: AccountId, memberships: Sequence[MembershipKey]) -> Rows:
    """Deletes places whose member is now known at another one. Call it in a transaction."""
    dropped = db.execute_each(
        "DELETE FROM ledger WHERE account_id = ? AND list_id = ? AND address = ?",
        [(account_id, *membership) for membership in memberships],
    )
    return [RowKey("place", key) for key in dropped]


def drop_intents(db: Database, account_id: AccountId, memberships: Sequence[MembershipKey]) -> Rows:
    """Deletes adds that were begun and certainly not done. Call it in a transaction.

    Their customers are known nowhere then, as before: else they could not leave the list once it is gone.
    """
    dropped = db.execute_each(
        "DELETE FROM ledger WHERE account_id = ? AND list_id = ? AND address = ? AND state = 'intended'",
        [(account_id, *membership) for membership in memberships],
    )
    nowhere = (
        "UPDATE standing SET list_id = NULL, address = NULL WHERE account_id = ? AND list_id = ? AND address = ? "
        "RETURNING customer_id"
    )
    known = [customer_id for key in dropped for (customer_id,) in db.execute(nowhere, key).fetchall()]
    return [RowKey("place", key) for key in dropped] + list(customer_rows(account_id, known))


def customer_statuses_of(db: Database, account_id: AccountId, customers: Iterable[CustomerId]) -> list[CustomerStatus]:
    """Returns the statuses of the customers that have one."""
    which = "standing WHERE account_id = ? AND customer_id IN (SELECT value FROM json_each(?))"
    return _STATUS.select(db, which, (account_id, json.dumps(list(customers))))


_SETTLED_AT = "standing WHERE account_id = ? AND address IN (SELECT value FROM json_each(?))"


def settled_at(db: Database, account_id: AccountId, addresses: Iterable[AddressKey]) -> list[CustomerStatus]:
    """Returns the statuses of customers whose place has any of the addresses."""
    return _STATUS.select(db, _SETTLED_AT, (account_id, json.dumps(list(addresses))))


def customers_settled_at(db: Database, account_id: AccountId, addresses: Iterable[AddressKey]) -> list[CustomerId]:
    """Returns the customers whose place has any of the addresses."""
    return db.column(CustomerId, f"SELECT customer_id FROM {_SETTLED_AT}", (account_id, json.dumps(list(addresses))))


def put_customer_statuses(db: Database, account_id: AccountId, customer_statuses: Sequence[CustomerStatus]) -> Rows:
    """Stores customer statuses, each over the previous one. Call it in a transaction."""
    db.executemany(_PUT_STATUS, [(account_id, *_STATUS.values(status)) for status in customer_statuses])
    return customer_rows(account_id, [status.customer_id for status in customer_statuses])


def put_memberships(
    db: Database,
    account_id: AccountId,
    memberships: Sequence[tuple[CustomerId, MembershipKey]],
    *,
    moving: bool = False,
) -> Rows:
    """Writes where customers are known that were known nowhere yet. Call it in a transaction.

    Args:
        moving: whether they may have been known elsewhere.
    """
    db.executemany(
        "INSERT INTO standing (account_id, customer_id, list_id, address) VALUES (?,?,?,?) "
        "ON CONFLICT (account_id, customer_id) DO UPDATE SET list_id = excluded.list_id, address = excluded.address "
        f"WHERE {moving} OR address IS NULL",
        [(account_id, customer_id, *membership) for customer_id, membership in memberships],
    )
    return customer_rows(account_id, [customer_id for customer_id, _ in memberships])


def put_waits(db: Database, account_id: AccountId, waits: Sequence[tuple[CustomerId, CustomerId]]) -> Rows:
    """Records whose opt-out keeps customers out. Call it in a transaction."""
    db.executemany(
        "INSERT INTO standing (account_id, customer_id, waits_for) VALUES (?,?,?) "
        "ON CONFLICT (account_id, customer_id) DO UPDATE SET waits_for = excluded.waits_for",
        [(account_id, *pair) for pair in waits],
    )
    return customer_rows(account_id, [customer_id for customer_id, _ in waits])


def waiting_for(db: Database, account_id: AccountId, customers: Iterable[CustomerId]) -> list[CustomerId]:
    """Returns the customers who wait for any of these."""
    query = "SELECT customer_id FROM standing WHERE account_id = ? AND waits_for IN (SELECT value FROM json_each(?))"
    return db.column(CustomerId, query, (account_id, json.dumps(list(customers))))
