"""Signatures of the records of ledger and settings."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from worker.changelog.signatures import HEADER, UNSIGNED, WRONG, Signatures, SignedFrom
from worker.changelog.topics import ChangelogTopic

MINE, BEFORE, OTHER = (Signatures([letter * 32]) for letter in (b"m", b"b", b"o"))
BOTH = Signatures([*MINE.keys, *BEFORE.keys])
LEDGER = ChangelogTopic("t.ledger", "id", 2)
VALUES = st.none() | st.binary(max_size=20)


@given(st.binary(max_size=20), VALUES, st.binary(max_size=20), VALUES)
def test_a_signature_is_that_of_one_record_alone(
    key: bytes, value: bytes | None, other_key: bytes, other_value: bytes | None
) -> None:
    """Another key, another value, a null in its place or another topic has another one."""
    headers = MINE.headers_of("ledger", key, value)
    assert MINE.flaw_of("ledger", key, value, headers) is None
    same = (key, value) == (other_key, other_value)
    assert (MINE.flaw_of("ledger", other_key, other_value, headers) is None) == same
    assert MINE.flaw_of("settings", key, value, headers) == WRONG


def test_what_is_not_signed_is_not_believed() -> None:
    """Nor is a null without a signature, one of another key, half of one, or two."""
    signed = MINE.headers_of("ledger", b"k", None)
    assert MINE.flaw_of("ledger", b"k", None, None) == UNSIGNED
    assert MINE.flaw_of("ledger", b"k", None, [("another", b"header")]) == UNSIGNED
    assert MINE.flaw_of("ledger", b"k", None, OTHER.headers_of("ledger", b"k", None)) == WRONG
    assert MINE.flaw_of("ledger", b"k", None, [(HEADER, signed[0][1][:16])]) == WRONG
    assert MINE.flaw_of("ledger", b"k", None, [(HEADER, None)]) == WRONG
    assert MINE.flaw_of("ledger", b"k", None, [*signed, *signed]) == WRONG
    assert MINE.flaw_of("ledger", None, b"v", MINE.headers_of("ledger", b"", b"v")) is None


def test_signatures_of_both_keys_in_force_count() -> None:
    """While the secret key is changed; new ones are by the new key."""
    assert BOTH.flaw_of("settings", b"k", b"v", BEFORE.headers_of("settings", b"k", b"v")) is None
    assert MINE.flaw_of("settings", b"k", b"v", BOTH.headers_of("settings", b"k", b"v")) is None
    assert BEFORE.flaw_of("settings", b"k", b"v", BOTH.headers_of("settings", b"k", b"v")) == WRONG


def test_a_note_of_where_signatures_begin_is_believed_only_with_the_key() -> None:
    """Else who may write to the topic could say that its records do not count."""
    row = SignedFrom({"t.ledger/id/1": 7}).row(MINE).row
    assert row is not None
    text = str(row["note"])
    assert SignedFrom.from_text(text, MINE).offset_of(LEDGER, 1) == 7
    assert SignedFrom.from_text(text, MINE).offset_of(LEDGER, 0) is None
    assert SignedFrom.from_text(text, MINE).offset_of(ChangelogTopic("t.ledger", "recreated", 2), 1) is None
    forged = json.dumps(json.loads(text) | {"from": '{"t.ledger/id/1": 9000}'})
    for not_believed in (forged, None, "[]", "?", '{"from": 1, "hmac": "zz"}', '{"from": "{}", "hmac": "é"}'):
        assert SignedFrom.from_text(not_believed, MINE).offsets == {}
    assert SignedFrom.from_text(text, OTHER).offsets == {}
    assert SignedFrom.from_record(json.dumps(row).encode(), MINE).offset_of(LEDGER, 1) == 7
    for record in (None, b"[]", b"{}", b"\xff"):
        assert SignedFrom.from_record(record, MINE).offsets == {}


def test_printing_signatures_shows_no_key() -> None:
    """No log or traceback that shows the object has it."""
    assert "mmm" not in repr(MINE)
