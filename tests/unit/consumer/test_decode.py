"""What a record is understood as."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec.json import Decoder

from tests.unit.consumer.cases import cases, record
from worker.consumer.decode import TYPES, Event, PublishedCustomer, Record, Skipped, Undecodable, decode
from worker.consumer.pending import state_of
from worker.model import CustomerState

CONFIG = Path(__file__).parents[3] / "config"
SCHEMA = json.loads((CONFIG / "customer-event.schema.json").read_text())
ASYNCAPI = yaml.safe_load((CONFIG / "asyncapi.yaml").read_text())
VALID = Draft202012Validator(SCHEMA)

texts = st.none() | st.text(max_size=20)
ids = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1, max_size=128)
addresses = st.fixed_dictionaries(
    {}, optional={"line1": texts, "city": texts, "postcode": texts, "floor": st.integers()}
)
attributes = st.dictionaries(
    st.text(min_size=1, max_size=64),
    texts | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e15, 1e15, allow_nan=False),
    max_size=4,
)
tags = st.lists(st.text(min_size=1, max_size=100), max_size=4)
customers = st.fixed_dictionaries(
    {"id": ids},
    optional={
        "email": texts,
        "first_name": texts,
        "list_id": texts,
        "marketing_consent": st.none() | st.booleans(),
        "address": st.none() | addresses,
        "attributes": st.none() | attributes,
        "tags": st.none() | tags,
        "unknown": texts,
    },
)
events = st.fixed_dictionaries(
    {
        "type": st.sampled_from(sorted(TYPES)),
        "data": st.fixed_dictionaries(
            {"account_id": ids, "customer": customers},
            optional={"version": st.none() | st.integers(0, 2**63 - 1) | st.integers(0, 2**53).map(float)},
        ),
    },
    optional={"id": texts, "time": texts, "specversion": st.just("1.0"), "source": texts},
)
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
headers = st.lists(
    st.tuples(
        st.sampled_from(["ce_type", "ce_id", "CE_TIME", "content-type", "x"]),
        st.none() | st.binary(max_size=8) | st.sampled_from([one.encode() for one in sorted(TYPES)]),
    ),
    max_size=4,
)


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A valid event with one member of it, at any depth, replaced by anything or taken away."""
    event = draw(events)
    at = event
    while True:
        name = draw(st.sampled_from(sorted(at)))
        if isinstance(at[name], dict) and at[name] and draw(st.booleans()):
            at = at[name]
            continue
        if draw(st.booleans()):
            at[name] = draw(anything)
        else:
            del at[name]
        return event


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The bytes of a valid event, some of them replaced."""
    value = bytearray(json.dumps(draw(events)).encode())
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(value)))
        value[start : start + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(value)


def staged(customer: PublishedCustomer | None) -> CustomerState:
    """The state as it is staged, and read from there."""
    _, text = state_of(customer)
    return CustomerState() if text is None else Decoder(CustomerState).decode(text)


@pytest.mark.parametrize("case", cases("understood"), ids=lambda case: case["name"])
def test_understands_events(case: dict[str, Any]) -> None:
    """An event is understood whatever may be absent, null or unknown in it."""
    event = decode(record(case))
    assert isinstance(event, Event)
    state = staged(event.customer)
    for name, value in case["expect"].items():
        assert getattr(state if name == "email" else event, name) == value


@pytest.mark.parametrize("case", cases("skipped"), ids=lambda case: case["name"])
def test_skips_other_types(case: dict[str, Any]) -> None:
    """An event of another type is skipped, whatever its data are."""
    assert decode(record(case)) == Skipped(case["expect"])


@pytest.mark.parametrize("case", cases("undecodable"), ids=lambda case: case["name"])
def test_tells_why_it_does_not_understand(case: dict[str, Any]) -> None:
    """What cannot be understood comes with a reason."""
    found = decode(record(case))
    assert isinstance(found, Undecodable)
    assert case["expect"] in found.reason


def test_the_first_of_two_headers_counts() -> None:
    """Where a header comes twice, the first one says what the event is."""
    two = (("ce_type", b"com.billmywork.customer.deleted"), ("CE_TYPE", b"com.billmywork.customer.created"))
    event = decode(Record(0, 0, None, b'{"account_id":"a","customer":{"id":"c"}}', two))
    assert isinstance(event, Event)
    assert event.deleted


def test_a_header_that_is_no_text_does_no_harm() -> None:
    """Bytes that are no UTF-8 in an attribute are replaced, and the event counts."""
    odd = (("ce_type", b"com.billmywork.customer.created"), ("ce_id", b"\xff"), ("ce_x", None))
    event = decode(Record(0, 0, None, b'{"account_id":"a","customer":{"id":"c"}}', odd))
    assert isinstance(event, Event)
    assert event.event_id == "\ufffd"


def test_absent_consent_is_given() -> None:
    """Only false is a no: absent, null and true mean the same."""
    for value, consent in ((b"", True), (b',"marketing_consent":null', True), (b',"marketing_consent":false', False)):
        text = b'{"type":"com.billmywork.customer.created","data":{"account_id":"a","customer":{"id":"c"%s}}}' % value
        event = decode(Record(0, 0, None, text))
        assert isinstance(event, Event)
        assert event.customer is not None
        assert staged(event.customer).marketing_consent is consent


@given(key=st.none() | st.binary(max_size=40), value=st.none() | st.binary() | damaged(), headers=headers)
@settings(max_examples=400, deadline=None)
@example(None, b"[" * 900_000, [])
@example(None, b'{"a":' * 150_000, [])
def test_never_raises(key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]) -> None:
    """Whatever bytes Kafka holds, they are an event, skipped, or not understood for a reason."""
    found = decode(Record(0, 0, key, value, headers))
    assert isinstance(found, (Event, Skipped)) or found.reason


@given(events)
@settings(max_examples=200, deadline=None)
def test_understands_what_the_schema_allows(event: dict[str, Any]) -> None:
    """What is valid by the published schema is understood, in structured and in binary mode alike."""
    VALID.validate(event)
    structured = decode(Record(0, 0, None, json.dumps(event).encode()))
    binary = decode(Record(0, 0, None, json.dumps(event["data"]).encode(), (("ce_type", event["type"].encode()),)))
    assert isinstance(structured, Event)
    assert isinstance(binary, Event)
    assert (structured.customer, structured.version, structured.deleted) == (
        binary.customer,
        binary.version,
        binary.deleted,
    )


@given(mutated())
@settings(max_examples=400, deadline=None)
def test_understands_nothing_that_the_schema_forbids(event: Any) -> None:
    """What is understood is valid by the published schema."""
    if isinstance(decode(Record(0, 0, None, json.dumps(event).encode())), Event):
        VALID.validate(event)


@given(ids, ids)
@settings(deadline=None)
def test_a_null_value_deletes_whom_its_key_names(account_id: str, customer_id: str) -> None:
    """Of a null value the key tells account and customer, split at the slash."""
    event = decode(Record(0, 0, f"{account_id}/{customer_id}".encode(), None))
    assert isinstance(event, Event)
    assert (event.account_id, event.customer_id, event.deleted) == (account_id, customer_id, True)


@pytest.mark.parametrize("published", SCHEMA["examples"])
def test_the_schemas_examples_are_understood(published: Any) -> None:
    """Every example of the schema is an event."""
    VALID.validate(published)
    assert isinstance(decode(Record(0, 0, None, json.dumps(published).encode())), Event)


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_the_examples_of_asyncapi_are_understood(mode: str) -> None:
    """Every example of the AsyncAPI document is an event."""
    for one in ASYNCAPI["components"]["messages"][mode]["examples"]:
        given_headers = tuple((name, value.encode()) for name, value in one.get("headers", {}).items())
        assert isinstance(decode(Record(0, 0, None, json.dumps(one["payload"]).encode(), given_headers)), Event)
