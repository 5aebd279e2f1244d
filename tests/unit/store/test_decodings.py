"""An address is found in the bytes of a record that could not be understood, however they are encoded."""

from __future__ import annotations

import base64
import json
import quopri
from collections.abc import Callable
from urllib.parse import quote

import pytest

from worker.model import AddressKey
from worker.store.decodings import decodings
from worker.store.known_addresses import in_text

LARGEST = 1_000_000
"""Bytes of a record, as Kafka takes them by default."""
TEXTS = {
    "alone": "{}",
    "json": '{{"data": {{"customer": {{"email": "{}", "first_name": "Ann"}}}}}}',
    "cut short": '{{"data": {{"customer": {{"email": "{}", "first',
    "xml": "<customer><email>{}</email></customer>",
    "csv": "cus-1;{};Ann;Lee\r\n",
}
ADDRESSES = ("ann@example.com", "o'hara+tag@mail.example.co.uk", "émile@example.com", "анна@пример.рф")
ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "utf-8": lambda text: text.encode(),
    "capitals": lambda text: text.upper().encode(),
    "utf-16 with a mark": lambda text: text.encode("utf-16"),
    "utf-16-le": lambda text: text.encode("utf-16-le"),
    "utf-16-be": lambda text: text.upper().encode("utf-16-be"),
    "utf-16-le behind one byte": lambda text: b"\x01" + text.encode("utf-16-le"),
    "utf-16-be behind five": lambda text: b"\x00\x00\x00\x00\x07" + text.encode("utf-16-be"),
    "every letter escaped": lambda text: "".join(f"\\u{ord(one):04X}" for one in text).encode(),
    "json": lambda text: json.dumps(text).encode(),
    "json in json": lambda text: json.dumps({"message": json.dumps(text)}).encode(),
    "escaped in utf-16": lambda text: json.dumps(text).encode("utf-16-le"),
    "percent": lambda text: quote(text).encode(),
    "percent of all": lambda text: "".join(f"%{one:02x}" for one in text.encode()).encode(),
    "percent twice": lambda text: quote(quote(text)).encode(),
    "percent in utf-16": lambda text: quote(text).encode("utf-16-be"),
    "quoted-printable": lambda text: quopri.encodestring(text.encode()),
    "quoted-printable of the @": lambda text: text.replace("@", "=40").encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).rstrip(b"="),
    "base64 of MIME": lambda text: base64.encodebytes(
        b"Dear Sir or Madam, we write to you about this: " + text.encode()
    ),
    "base64 in json": lambda text: json.dumps({"raw": base64.b64encode(text.encode()).decode()}).encode(),
}


def seen(content: bytes) -> str:
    """All texts that bytes may be."""
    return "\n".join(decodings(content))


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_address_is_found_in_every_encoding(encoding: str, address: str) -> None:
    """In any text around it, in any case, alone or as part of a record."""
    for name, text in TEXTS.items():
        assert address in seen(ENCODINGS[encoding](text.format(address))), name


@pytest.mark.parametrize("text", TEXTS)
def test_an_address_in_latin_1_is_found(text: str) -> None:
    """As older programs write their files."""
    assert "émile@example.com" in seen(TEXTS[text].format("Émile@Example.com").encode("latin-1"))


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_worker_that_knows_the_hash_alone_finds_the_address_too(encoding: str, address: str) -> None:
    """What may be an address is taken out of each text, for a request to erase that came from another worker."""
    content = ENCODINGS[encoding](TEXTS["json"].format(address.capitalize()))
    assert AddressKey(address) in in_text(seen(content))


@pytest.mark.parametrize(
    "text",
    [
        "to=ann@example.com&x=1",
        "'ann@example.com'",
        "/people/ann@example.com/",
        "Ann <ann@example.com>.",
        "\x16ann@example.com\x06Ann",
    ],
)
def test_an_address_is_told_from_what_stands_around_it(text: str) -> None:
    """In links, quotes, paths, sentences, and behind lengths of a binary format."""
    assert AddressKey("ann@example.com") in in_text(text)


@pytest.mark.parametrize("piece", ["a", "a@", "@", "a.", "'a"])
def test_addresses_are_looked_for_in_linear_time(piece: str) -> None:
    """A megabyte of one word is searched at once, with an @ in it or without."""
    assert in_text(piece * LARGEST) <= {AddressKey("a@a")}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"%",
        b"%zz=4\\u00",
        b"\\u12",
        b"====",
        b"A" * 13,
        b"\xff\xfe",
        b"\xd8\x00" * 7,
        b"\\ud800@\\udfff",
        b"=\xff",
    ],
)
def test_broken_bytes_are_read_without_an_error(content: bytes) -> None:
    """Nothing that a record may hold prevents that others are searched."""
    assert all(one == one.lower() for one in decodings(content))


@pytest.mark.parametrize(
    "piece", [b"a", b"\\", b"\0a", b"%2540", b"=41", b"\\u0041", b"\xff", b"QUFB", b"QUFBQUFBQUFBQUFB\n", b"\0%=\\\xff"]
)
def test_what_a_large_record_costs_is_bounded(piece: bytes) -> None:
    """The texts of the largest record are at most so many times its size, whatever is in it."""
    content = (piece * LARGEST)[:LARGEST]
    assert sum(map(len, decodings(content))) <= 12 * LARGEST
