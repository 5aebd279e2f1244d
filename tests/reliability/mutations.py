"""Records that publishers should not send: events mutated byte by byte and member by member, from a seed."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from tests.integration.topic import event
from tests.unit.consumer.cases import cases, record
from worker.consumer.decode import LONGEST_VALUE, Record

ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    2**63,
    10**400,
    "",
    " ",
    "\0",
    "a" * 129,
    "e" * 5000,
    "ann@example.com",
    "ANN@EXAMPLE.COM ",
    "\u0430nn@example.com",  # the first letter is Cyrillic
    "\u202emoc.elpmaxe@nna",
    "\ud800",
    "a/b",
    "a@b@c",
    "x@" + "y" * 300 + ".com",
    "'; DROP TABLE customer; --",
    "\U0001f9ff" * 40,
    [],
    [[[[[]]]]],
    {},
    {"id": {}},
    ["com.billmywork.customer.updated"],
)
"""Values that a broken event may have in any field."""
HEADERS = ("ce_type", "CE_TYPE", "ce_id", "ce_time", "content-type", "Content-Type", "", "h")
HEADER_VALUES = (
    None,
    b"",
    b"\xff\xfe",
    b"com.billmywork.customer.updated",
    b"com.billmywork.customer.deleted",
    b"com.example.other",
    b"application/cloudevents+json",
    b"application/json",
)


def corpus() -> list[Record]:
    """Returns the records of tests/data/events that a broker takes."""
    every = [record(case) for kind in ("understood", "skipped", "undecodable") for case in cases(kind)]
    return [one for one in every if len(one.value or b"") < LONGEST_VALUE // 2]


def mutated(count: int, seed: int) -> Iterator[Record]:
    """Gives so many mutated records."""
    chance, known = random.Random(seed), corpus()
    for number in range(count):
        one = _whole(number) if chance.random() < 0.6 else chance.choice(known)
        value = one.value
        for _ in range(chance.choice((1, 1, 1, 1, 2, 6))):
            value = chance.choice((_bytewise, _memberwise, _memberwise, _memberwise))(value, chance)
        yield Record(0, 0, _key(one.key, chance), value, _headers(one, chance))


def _whole(number: int) -> Record:
    address = {"line1": "1 High St", "city": "Leeds", "state": "W", "postcode": "LS1 1AA", "country": "GB"}
    told = event(
        f"cus-{number}",
        version=number,
        email=f"cus-{number}@example.com",
        first_name="Ann",
        last_name="Lee",
        company="Lee Ltd",
        phone="+44 113 496 0000",
        list_id="other",
        marketing_consent=True,
        address=address,
    )
    return Record(0, 0, f"acct-1/cus-{number}".encode(), _encoded(told))


def _key(key: bytes | None, chance: random.Random) -> bytes | None:
    return chance.choice((key, key, key, None, b"", b"/", b"acct-1/" + chance.randbytes(3), chance.randbytes(8)))


def _headers(one: Record, chance: random.Random) -> tuple[tuple[str, bytes | None], ...]:
    more = [(chance.choice(HEADERS), chance.choice(HEADER_VALUES)) for _ in range(chance.choice((0, 0, 0, 0, 0, 1, 3)))]
    return (*one.headers, *more)


def _bytewise(value: bytes | None, chance: random.Random) -> bytes | None:
    if not value:
        return chance.choice((None, b"", chance.randbytes(20)))
    start = chance.randrange(len(value))
    end = min(len(value), start + chance.choice((1, 1, 2, 10, 200)))
    change: Callable[[bytes], bytes] = chance.choice(
        (
            lambda part: chance.randbytes(len(part)),
            lambda part: b"",
            lambda part: part * 2,
            lambda part: part + chance.choice((b"\0", b"\xff", b'"', b"{", b"[[[[", b"\xed\xa0\x80", b"\\u0000")),
        )
    )
    return value[:start] + change(value[start:end]) + value[end:]


def _memberwise(value: bytes | None, chance: random.Random) -> bytes | None:
    try:
        told = json.loads(value or b"")
    except (ValueError, RecursionError):
        return value
    if not isinstance(told, dict):
        return value
    membership, name = chance.choice(list(_members(told)) or [(told, "type")])
    match chance.choice(("odd", "odd", "odd", "gone", "renamed", "deeper", "twice")):
        case "odd":
            membership[name] = copy.deepcopy(chance.choice(ODD))
        case "gone":
            membership.pop(name, None)
        case "renamed":
            membership[name.upper()] = membership.pop(name, None)
        case "deeper":
            membership[name] = {name: membership.get(name)}
        case _:
            return _encoded(told).replace(b"{", b'{"' + name.encode("utf-8", "replace") + b'": "twice", ', 1)
    return _encoded(told)


def _members(told: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    for name, value in told.items():
        yield told, name
        if isinstance(value, dict):
            yield from _members(value)


def _encoded(told: Any) -> bytes:
    # Half of a surrogate pair goes out as it is: as bytes that are no UTF-8.
    return json.dumps(told, ensure_ascii=False).encode("utf-8", "surrogatepass")
