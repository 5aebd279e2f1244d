"""Decodes JSON from outside as its published description has it, with the true reason if that is not possible."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TypeVar

import msgspec

_Decoded = TypeVar("_Decoded")
_EXACT_BELOW, _LARGEST = 2**53, 2**64
_ESCAPE = re.compile(
    rb"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}"
    rb"|(?P<half>\\ud[89a-f][0-9a-f]{2})(?!(?:\\(?:u(?:d(?:[c-f][0-9a-f]?)?)?)?)?\Z)"  # at the end, the rest is cut off
    rb"|\\.",
    re.IGNORECASE | re.DOTALL,
)


def decoded(decoder: msgspec.json.Decoder[_Decoded], document: bytes) -> _Decoded:
    """Returns the decoded document. As in JSON Schema, a number without a fraction is an integer, also if it is 1.0.

    Raises:
        msgspec.DecodeError: it is not what the decoder reads; says why.
        UnicodeDecodeError: a text in it is not UTF-8.
        RecursionError: it is nested too deeply.
    """
    try:
        try:
            return decoder.decode(document)
        except msgspec.ValidationError as error:
            if "got `float`" not in str(error):
                raise
            # Safe in any thread: msgspec inspected the type when the decoder was made.
            return msgspec.convert(_with_integers.decode(document), decoder.type)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        raise msgspec.DecodeError(_reason(document, str(error))) from error


def _number(text: str) -> int | float:
    number = float(text)
    if not number.is_integer() or abs(number) > _LARGEST:
        return number
    if abs(number) < _EXACT_BELOW:
        return int(number)
    exact = Decimal(text)
    return int(exact) if int(exact) == exact else number


_with_integers = msgspec.json.Decoder(float_hook=_number)


def _reason(document: bytes, message: str) -> str:
    # msgspec says "truncated" for each of these, or "unexpected end of hex escape".
    if not document.strip():
        return "the JSON is empty"
    half = next((match for match in _ESCAPE.finditer(document) if match["half"]), None)
    if half is not None and re.search("truncated|surrogate|hex escape", message):
        escape = half["half"].decode()
        return f"the JSON has half of a surrogate pair, {escape}, which is no character (byte {half.start()})"
    return message
