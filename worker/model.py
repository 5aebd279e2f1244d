"""The values that all parts share, frozen. Does no I/O.

Times are aware datetimes in UTC; as text they are ISO 8601 with a trailing ``Z``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, NamedTuple, NewType

from worker.clock import moment_or_none

AccountId = NewType("AccountId", str)
"""A billmywork account, the tenant."""
CustomerId = NewType("CustomerId", str)
"""A customer, unique within its account."""
ListId = NewType("ListId", str)
"""A Mailchimp list, unique in all of Mailchimp."""
AddressKey = NewType("AddressKey", str)
"""An email address, stripped and lowercased: Mailchimp has at most one member of a list for it."""

Origin = Literal["added", "found"]
"""Whether this worker added a member, or found it there."""


def address_key(email: str | None) -> AddressKey | None:
    """Returns the address as Mailchimp distinguishes members: without surrounding space, lowercased.

    Returns:
        The key; None without a text.

    Source: Mailchimp's member hash is the MD5 of the lowercased address.
    """
    key = (email or "").strip().lower()
    return AddressKey(key) if key else None


LONGEST_ADDRESS = 320
"""Most characters of an email address: 64 before the @, the @, and 255 of its domain. Source: RFC 3696, errata 1690."""


_SPACE_OR_CONTROL = re.compile(r"[\s\x00-\x1f\x7f]")


def is_address(text: str) -> bool:
    """Returns whether a text may be an email address, in linear time.

    It has one ``@`` with something before it, a dot within what follows, and no space or control character.
    """
    local, _, domain = text.partition("@")
    if not local or "@" in domain or "." not in domain[1:-1] or len(text) > LONGEST_ADDRESS:
        return False
    return not _SPACE_OR_CONTROL.search(text)


class MembershipKey(NamedTuple):
    """A list and an address: Mailchimp has at most one member for the pair."""

    list_id: ListId
    address: AddressKey


@dataclass(frozen=True, slots=True)
class PostalAddress:
    """A customer's postal address; any part may be absent."""

    line1: str | None = None
    line2: str | None = None
    city: str | None = None
    state: str | None = None
    postcode: str | None = None
    country: str | None = None


AttributeValue = int | float | str
"""A number or a text; dates are texts, such as 2026-05-03."""


@dataclass(frozen=True, slots=True)
class CustomerState:
    """A customer's full state in an event, absent fields as None.

    Attributes:
        attributes: values in addition to the fields that every customer has, by name.
        tags: the names of its tags, as published.
    """

    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    company: str | None = None
    phone: str | None = None
    list_id: ListId | None = None
    marketing_consent: bool = True
    address: PostalAddress | None = None
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict, hash=False)
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Position:
    """Where a record is in Kafka.

    Attributes:
        topic_id: Kafka's id of the topic, which changes when it is recreated; "" if the broker does not report it.
        offset: the record's own offset; the one to read next is ``next_offset``.
    """

    topic: str
    topic_id: str
    partition: int
    offset: int

    @property
    def log(self) -> tuple[str, str, int]:
        """The partition of one topic id, within which offsets are an order."""
        return self.topic, self.topic_id, self.partition

    @property
    def next_offset(self) -> int:
        """The offset to read after this record."""
        return self.offset + 1


@dataclass(frozen=True, slots=True)
class Customer:
    """A staged customer: its newest state, the event with it, and whether it needs a flush.

    Attributes:
        version: the highest version so far; None if no event had one.
        event_id: the CloudEvents id of the newest event; None for a null value, which has none.
        event_time: the CloudEvents time of that event, as published; None without one.
        revision: raised by every staging write and by resync; an answer settles only the revision that was sent.
        changed: whether this revision still needs a flush.
        address: the key of the customer's email address; None without one.
    """

    account_id: AccountId
    customer_id: CustomerId
    state: CustomerState
    deleted: bool
    version: int | None
    event_id: str | None
    event_time: str | None
    position: Position
    revision: int
    changed: bool
    address: AddressKey | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # A plan asks for it ten times.
        object.__setattr__(self, "address", address_key(self.state.email))


_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


def newest_first(customers: Sequence[Customer]) -> list[Customer]:
    """Returns customers of one account, newest event first.

    By offset if all their events are in one log, as the contract requires; otherwise by time, those without one last.
    Ties
    are broken by offset and id, so that the order is deterministic.
    """
    one_log = len({customer.position.log for customer in customers}) <= 1

    def order(customer: Customer) -> tuple[datetime, int, str]:
        moment = None if one_log else moment_or_none(customer.event_time)
        return moment or _BEFORE_ALL, customer.position.offset, customer.customer_id

    return sorted(customers, key=order, reverse=True)


def partition_key(account_id: str, customer_id: str) -> str:
    """Returns the Kafka key of a customer's records: ``account_id/customer_id``."""
    return f"{account_id}/{customer_id}"
