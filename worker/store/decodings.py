"""The texts that bytes may be, of a record that could not be understood: so that an address is found in any of them.

Pure. What is compressed, encrypted or encoded twice in other ways is not found.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator

_ESCAPE = re.compile(r"\\+u([0-9a-fA-F]{4})")
"""JSON's; with more backslashes where JSON holds JSON as a text."""
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{12,}(?:\r?\n[A-Za-z0-9+/_-]{12,})*(?:\r?\n[A-Za-z0-9+/_-]+)?")
"""Nine bytes or more, as plain base64 or for URLs; the lines of MIME too, of which the last may be short."""


def decodings(content: bytes) -> list[str]:
    """Returns what bytes may say, in lower case, JSON's escapes resolved: at most a fixed multiple of their size.

    As UTF-8, Latin-1 and UTF-16 of either order; of these percent-encoded, quoted-printable or base64.
    """
    found = dict[str, None]()
    for text in _plain(content):
        found[text.lower()] = None
        for sign, decode in _ENCODED:
            if sign in text:
                found[_unescaped(decode(text)).lower()] = None
    return list(found)


def _plain(content: bytes) -> Iterator[str]:
    text = content.decode(errors="replace")
    yield _unescaped(text)
    if "\N{REPLACEMENT CHARACTER}" in text:
        yield _unescaped(content.decode("latin-1"))
    if b"\0" in content:  # an @ in UTF-16 has one
        # It may begin at any byte, as in a record of some other format.
        for start in (0, 1):
            for encoding in ("utf-16-le", "utf-16-be"):
                yield _unescaped(content[start:].decode(encoding, errors="replace"))


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text).replace("\\/", "/") if "\\" in text else text


def _percent(text: str) -> str:
    once = _percent_once(text)
    return f"{once}\n{_percent_once(once)}" if "%" in once else once


def _percent_once(text: str) -> str:
    # By the decoder of quoted-printable: ten times as fast as urllib's, also where every third byte is a sign.
    return _quoted_printable(text.replace("=", "=3D").replace("%", "="))


def _quoted_printable(text: str) -> str:
    return binascii.a2b_qp(text.encode("utf-8", "surrogatepass")).decode(errors="replace")


def _base64(text: str) -> str:
    runs = (re.sub(r"[\r\n]", "", one).replace("+", "-").replace("/", "_") for one in _BASE64.findall(text))
    # What is no base64 gives bytes without a meaning, which do no harm.
    whole = (one[:-1] if len(one) % 4 == 1 else one for one in runs)
    return b"\n".join(base64.urlsafe_b64decode(one + "=" * (-len(one) % 4)) for one in whole).decode(errors="replace")


_ENCODED: tuple[tuple[str, Callable[[str], str]], ...] = (("%", _percent), ("=", _quoted_printable), ("", _base64))
"""By what a text must have in it."""
