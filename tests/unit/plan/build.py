"""Builds the values that flushing decides on, with defaults for what a test does not care about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from worker.fields.field_hashes import FieldHashes
from worker.fields.merge_values import ListFields
from worker.mailchimp.merge_fields import MergeField
from worker.model import AccountId, AddressKey, Customer, CustomerId, CustomerState, ListId, MembershipKey, Position
from worker.plan.inputs import PlanInputs
from worker.plan.related_customers import RelatedCustomers
from worker.store.accounts import AccountList, AccountSettings
from worker.store.forgotten import Departed
from worker.store.ledger import CustomerStatus, LedgerEntry

NOW = "2026-11-22T10:00:00.000Z"
MASTER, OTHER = ListId("master"), ListId("other")
HASHES = FieldHashes(AccountId("acct-1"), (b"k" * 32,))
NAMES = (MergeField("FNAME", "text"), MergeField("LNAME", "text"))


def a_list(list_id: str, **values: Any) -> AccountList:
    """A stored list that Mailchimp still has."""
    values = {"stored": True, "member_count": 0, "marketing_permissions": False} | values
    return AccountList(ListId(list_id), f"List {list_id}", refreshed_at=datetime(2026, 11, 1, tzinfo=UTC), **values)


def settings(*lists: AccountList, **values: Any) -> AccountSettings:
    """Complete settings with two stored lists."""
    found = lists or (a_list(MASTER), a_list(OTHER))
    values = {"enabled": True, "key_hint": "-us1", "master_list": MASTER, "lists": found} | values
    return AccountSettings(AccountId("acct-1"), **values)


def customer(number: int = 1, email: str | None = "ann@example.com", **values: Any) -> Customer:
    """A changed customer whose number is its offset too."""
    state = CustomerState(
        email=email,
        first_name=values.pop("first_name", "Ann"),
        list_id=values.pop("list_id", None),
        marketing_consent=values.pop("consent", True),
    )
    made = Customer(
        account_id=AccountId("acct-1"),
        customer_id=CustomerId(f"cus-{number}"),
        state=state,
        deleted=False,
        version=None,
        event_id=f"event-{number}",
        event_time=NOW,
        position=Position("billmywork.customers", "", 0, number),
        revision=1,
        changed=True,
    )
    return replace(made, **values)


def membership(email: str = "ann@example.com", list_id: str = MASTER) -> MembershipKey:
    """An address on a list."""
    return MembershipKey(ListId(list_id), AddressKey(email))


def entry(number: int = 1, email: str = "ann@example.com", list_id: str = MASTER, **values: Any) -> LedgerEntry:
    """A member that this worker added for the customer of that number."""
    values = {"state": "present", "origin": "added", "sent_at": NOW, "member_status": "subscribed"} | values
    return LedgerEntry(membership(email, list_id), CustomerId(f"cus-{number}"), **values)


def customer_status(
    number: int = 1, email: str = "ann@example.com", list_id: str = MASTER, **values: Any
) -> CustomerStatus:
    """A customer that was settled at a place."""
    return CustomerStatus(CustomerId(f"cus-{number}"), membership(email, list_id), **values)


def related(
    customers: Iterable[Customer], entries: Iterable[LedgerEntry] = (), customer_statuses: Iterable[CustomerStatus] = ()
) -> RelatedCustomers:
    """What a plan looks at together."""
    people = list(customers)
    return RelatedCustomers(
        changed={one.customer_id: one for one in people if one.changed},
        unchanged={one.customer_id: one for one in people if not one.changed},
        entries={one.membership: one for one in entries},
        customer_statuses={one.customer_id: one for one in customer_statuses},
    )


def inputs(chosen: AccountSettings | None = None) -> PlanInputs:
    """What a plan goes by: lists with a first and a last name."""
    chosen = chosen or settings()
    fields = {one.list_id: ListFields(NAMES, "-") for one in chosen.stored}
    return PlanInputs(chosen, fields, NOW, Departed(chosen.account_id), HASHES)
