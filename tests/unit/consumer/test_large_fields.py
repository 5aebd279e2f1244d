"""Fields as large as a record may be: each is refused or staged whole, and none costs more than its share of time."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.connected import connected
from tests.staged import stage_batch
from worker.consumer.decode import LONGEST_TEXT, LONGEST_VALUE, Event, Record, Undecodable, decode, whose
from worker.model import LONGEST_ADDRESS, AccountId, is_address
from worker.sqlite.database import open_database
from worker.store import customers, dead_letters
from worker.text.redaction import redacted

SECONDS = 1.5
"""Of processor time for a record of any content. The worst takes a tenth; what grows by the square takes minutes."""
TEXTS = ("first_name", "last_name", "company", "phone", "list_id")
PARTS = ("line1", "line2", "city", "state", "postcode", "country")
ATOMS = (
    "a",
    "@",
    ".",
    " ",
    "a.",
    "@a",
    "a@",
    "@.",
    "a@b.",
    "-",
    "0",
    "\t",
    "\x7f",
    "é",
    "İ",
    "\U0001f9ff",
    "/",
    "\\",
    "\0",
    "A1-us",
)
WHERE = ("email", *TEXTS, *(f"address.{part}" for part in PARTS), "event.id", "event.time", "event.type", "unknown")


def filled(where: str, text: str) -> Record:
    """An event with a text in one of its fields, in structured mode."""
    customer: dict[str, Any] = {"id": "cus-1", "email": "ann@example.com"}
    event: dict[str, Any] = {"type": "com.billmywork.customer.updated"}
    part, _, name = where.rpartition(".")
    {"event": event, "address": customer.setdefault("address", {})}.get(part, customer)[name] = text
    value = json.dumps(event | {"data": {"account_id": "acct-1", "customer": customer}}, ensure_ascii=False).encode()
    return Record(0, 0, b"acct-1/cus-1", value)


def large(seed: int) -> Iterator[tuple[str, str]]:
    """Gives texts near the limit of a record for each field, of one atom or of several, from a seed."""
    chance = random.Random(seed)
    for where in WHERE:
        atoms = chance.choice(ATOMS) if chance.random() < 0.5 else "".join(chance.choices(ATOMS, k=3))
        size = (LONGEST_VALUE - 2000) // len(json.dumps(atoms, ensure_ascii=False).encode())
        yield where, chance.choice(("", "a@")) + atoms * size + chance.choice(("", "@", ".com", "@b.co"))


@pytest.mark.parametrize("seed", range(8))
def test_no_content_of_a_field_holds_the_worker(seed: int) -> None:
    """Decoded, staged, looked at as an address and written to the log, each within its time on the processor."""
    for where, text in large(seed):
        record, began = filled(where, text), time.process_time()
        db = connected(open_database(":memory:"))
        stage_batch(db, "t", "id", [record], "2026-11-22T10:00:00.000Z")
        for one in customers.changed(db, AccountId("acct-1"), None, 10):
            is_address(one.address or "")
        db.close()
        redacted(text)
        whose(record)
        assert time.process_time() - began < SECONDS, f"{where}: {text[:40]!r} of {len(text)} characters"


@pytest.mark.parametrize("where", [one for one in WHERE if one not in ("email", "event.type", "unknown")])
def test_a_text_over_its_bound_is_a_dead_letter(where: str) -> None:
    """At the bound it is staged whole, one character more and the record is kept whole and named."""
    at_bound = decode(filled(where, "é" * LONGEST_TEXT))
    assert isinstance(at_bound, Event)
    found = decode(filled(where, "é" * (LONGEST_TEXT + 1)))
    assert isinstance(found, Undecodable)
    assert where.rpartition(".")[2] in found.reason


@pytest.mark.parametrize("name", ["ce_id", "CE_Time"])
def test_a_header_over_its_bound_is_a_dead_letter(name: str) -> None:
    """In binary mode an event's id and time come by headers, which may be as large as a record."""
    value = b'{"account_id":"a","customer":{"id":"c"}}'
    kind = ("ce_type", b"com.billmywork.customer.created")
    assert isinstance(decode(Record(0, 0, None, value, (kind, (name, b"2" * LONGEST_TEXT)))), Event)
    found = decode(Record(0, 0, None, value, (kind, (name, b"2" * 900_000))))
    assert isinstance(found, Undecodable)
    assert "900000 characters" in found.reason


def test_an_address_that_is_too_long_is_staged_whole() -> None:
    """What else the event says counts, such as a withdrawn consent; and nothing of the address is cut off."""
    text = "a@" + "b" * 80_000 + ".com"
    db = connected(open_database(":memory:"))
    stage_batch(db, "t", "id", [filled("email", text)], "2026-11-22T10:00:00.000Z")
    (one,) = customers.changed(db, AccountId("acct-1"), None, 10)
    assert (one.state.email, dead_letters.count(db)) == (text, 0)
    assert not is_address(text)
    db.close()


def test_an_address_is_what_the_pattern_before_took_for_one() -> None:
    """Short texts of all kinds: the check that is linear gives what the quadratic pattern gave."""
    pattern = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+\.[^@\s\x00-\x1f\x7f]+")
    chance = random.Random(1)
    texts = [
        "".join(chance.choices(("a", "@", ".", " ", "\x1c", "\x7f", "\x85", "é"), (9, 4, 4, 1, 1, 1, 1, 1), k=7))
        for _ in range(20_000)
    ]
    assert [is_address(text) for text in texts] == [bool(pattern.fullmatch(text)) for text in texts]
    assert sum(map(is_address, texts)) > 200


def test_an_address_has_at_most_320_characters() -> None:
    """The longest that may be one is, and one character more is none."""
    longest = "a" * 64 + "@" + "b" * (LONGEST_ADDRESS - 69) + ".com"
    assert is_address(longest)
    assert not is_address("a" + longest)
