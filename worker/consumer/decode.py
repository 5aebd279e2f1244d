"""Decodes a record: an event about a customer, one of another type, or a record that cannot be decoded. Does no I/O.

Source of the envelope: CloudEvents 1.0 and its Kafka protocol binding, structured and binary content mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec

from worker.text.json_input import decoded

LONGEST_VALUE = 1_000_000
"""Bytes of a record's value."""
LONGEST_ID = 128
"""Characters of an account id or customer id."""
LONGEST_TEXT = 1000
"""Characters of any other text except the address: a customer with a too long address is staged, but not delivered."""
LONGEST_ATTRIBUTE_NAME = 64
"""Characters."""
MOST_ATTRIBUTES = 100
"""Attributes of one customer."""
LONGEST_TAG = 100
"""Characters of a tag. Source: Mailchimp's limit for the names of tags."""
MOST_TAGS = 50
"""Tags of one customer. Source: Mailchimp's answers contain at most 50 tags of a member."""
LARGEST_NUMBER = 2**53 - 1
"""The largest absolute value of an attribute: every JSON parser reads it exactly."""
STRUCTURED = b"application/cloudevents"
"""The prefix of structured mode's content type."""
TYPE_PREFIX = "com.billmywork.customer."
DELETED = TYPE_PREFIX + "deleted"
TYPES = frozenset({TYPE_PREFIX + "created", TYPE_PREFIX + "updated", DELETED})

Headers = Sequence[tuple[str, bytes | None]]


class Record(msgspec.Struct, frozen=True, gc=False):
    """A Kafka record with its position."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_ID)]
_Text = Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]
_Version = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_AttributeName = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_ATTRIBUTE_NAME)]
_WITHIN = msgspec.Meta(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)
_Attribute = Annotated[int, _WITHIN] | Annotated[float, _WITHIN] | _Text
_Attributes = Annotated[dict[_AttributeName, _Attribute | None], msgspec.Meta(max_length=MOST_ATTRIBUTES)]
_Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_TAG)]
_Tags = Annotated[list[_Tag], msgspec.Meta(max_length=MOST_TAGS)]


class _Address(msgspec.Struct, omit_defaults=True, gc=False):
    line1: _Text | None = None
    line2: _Text | None = None
    city: _Text | None = None
    state: _Text | None = None
    postcode: _Text | None = None
    country: _Text | None = None


class PublishedCustomer(msgspec.Struct, omit_defaults=True, gc=False):
    """``data.customer`` of an event, as published; unknown fields are ignored."""

    id: _Id
    email: str | None = None
    first_name: _Text | None = None
    last_name: _Text | None = None
    company: _Text | None = None
    phone: _Text | None = None
    list_id: _Text | None = None
    marketing_consent: bool | None = None
    address: _Address | None = None
    attributes: _Attributes | None = None
    tags: _Tags | None = None


class _Data(msgspec.Struct, gc=False):
    account_id: _Id
    customer: PublishedCustomer
    version: _Version | None = None


class _Envelope(msgspec.Struct, gc=False):
    type: str
    data: _Data
    id: _Text | None = None
    time: _Text | None = None


class _OnlyType(msgspec.Struct, gc=False):
    type: str


class Event(msgspec.Struct, frozen=True, gc=False):
    """An event about a customer.

    Attributes:
        customer: its state; None for a null value, which only says that it was deleted.
        key: account_id/customer_id, as its record's key should be; that very object if it is so.
        event_id: None if the event had none, as with a null value.
        key_disagrees: whether the record's key names another customer than the data, which win.
    """

    key: bytes
    account_id: str
    customer_id: str
    customer: PublishedCustomer | None
    deleted: bool
    version: int | None
    event_id: str | None
    event_time: str | None
    key_disagrees: bool

    @property
    def withdraws(self) -> bool:
        """Whether it withdraws consent."""
        return self.customer is not None and self.customer.marketing_consent is False


@dataclass(frozen=True, slots=True)
class Skipped:
    """An event of another type."""

    type: str


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A record that cannot be decoded, and why."""

    reason: str


Decoded = Event | Skipped | Undecodable

_envelope = msgspec.json.Decoder(_Envelope)
_data = msgspec.json.Decoder(_Data)
_only_type = msgspec.json.Decoder(_OnlyType)


def decode(record: Record) -> Decoded:
    """Decodes a record; never raises, whatever its bytes are."""
    value = record.value
    if value is None:
        return _deletion(record.key)
    if len(value) > LONGEST_VALUE:
        return Undecodable(f"the value has {len(value)} bytes, more than {LONGEST_VALUE}")
    try:
        attributes = _attributes(record.headers) if record.headers else None
        if attributes is not None:
            return _binary(record, value, attributes)
        return _structured(record, value)
    except UnicodeDecodeError as error:
        return Undecodable(f"the value is not UTF-8: {error.reason}")
    except RecursionError:
        return Undecodable("the JSON is nested too deeply")
    except (msgspec.DecodeError, ValueError) as error:
        return Undecodable(str(error))


def _structured(record: Record, value: bytes) -> Decoded:
    try:
        envelope = decoded(_envelope, value)
    except msgspec.ValidationError:
        # Other types have data of another shape.
        other = decoded(_only_type, value)
        if other.type not in TYPES:
            return Skipped(other.type)
        raise
    if envelope.type not in TYPES:
        return Skipped(envelope.type)
    return _event(record, envelope.type, envelope.data, envelope.id, envelope.time)


def _binary(record: Record, value: bytes, attributes: dict[str, str]) -> Decoded:
    kind = attributes.get("ce_type")
    if not kind:
        return Undecodable("the header ce_type is missing")
    if kind not in TYPES:
        return Skipped(kind)
    event_id, event_time = attributes.get("ce_id"), attributes.get("ce_time")
    for name, text in (("ce_id", event_id), ("ce_time", event_time)):
        if text is not None and len(text) > LONGEST_TEXT:
            return Undecodable(f"the header {name} has {len(text)} characters, more than {LONGEST_TEXT}")
    return _event(record, kind, decoded(_data, value), event_id, event_time)


def _event(record: Record, kind: str, data: _Data, event_id: str | None, event_time: str | None) -> Decoded:
    account_id, customer_id = data.account_id, data.customer.id
    if "/" in account_id or "/" in customer_id:
        return Undecodable("an id has a slash in it - at `$.data.account_id` or `$.data.customer.id`")
    key, disagrees = f"{account_id}/{customer_id}".encode(), False
    if key == record.key:
        key = record.key
    else:
        disagrees = record.key is not None
    deleted = kind == DELETED
    return Event(key, account_id, customer_id, data.customer, deleted, data.version, event_id, event_time, disagrees)


def ids_of(key: bytes) -> tuple[str, str]:
    """Returns account and customer of an event's key."""
    account_id, _, customer_id = key.decode().partition("/")
    return account_id, customer_id


def named_by(key: bytes | None) -> tuple[str, str] | None:
    """Returns the account and customer in a record's key; None if it has none."""
    try:
        return _split(key)
    except ValueError:
        return None


def whose(record: Record) -> tuple[str, str] | None:
    """Returns the account and customer in a record's key, or in its data if the key has none."""
    if (named := named_by(record.key)) is not None:
        return named
    event = decode(record)
    return (event.account_id, event.customer_id) if isinstance(event, Event) else None


def _deletion(key: bytes | None) -> Decoded:
    try:
        account_id, customer_id = _split(key)
    except ValueError as error:
        return Undecodable(f"a null value whose key is {error}")
    return Event(key or b"", account_id, customer_id, None, True, None, None, None, False)


def _split(key: bytes | None) -> tuple[str, str]:
    try:
        account_id, slash, customer_id = (key or b"").decode().partition("/")
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8") from error
    if not slash or not _is_id(account_id) or not _is_id(customer_id):
        raise ValueError("not account_id/customer_id")
    return account_id, customer_id


def _is_id(text: str) -> bool:
    return 1 <= len(text) <= LONGEST_ID and "/" not in text


def _attributes(headers: Headers) -> dict[str, str] | None:
    # Binary mode is recognised by its attribute headers, unless the content type says structured; the first of several
    # headers with the same name counts.
    attributes: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        if value is None:
            continue
        if lower.startswith("ce_"):
            attributes.setdefault(lower, value.decode("utf-8", "replace"))
        elif lower == "content-type" and value.lower().startswith(STRUCTURED):
            return None
    return attributes or None
