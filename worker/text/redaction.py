"""Keeps secrets and email addresses out of what the worker writes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_KEY = re.compile(r"(?<![0-9A-Za-z])[0-9A-Za-z]{16,}-[A-Za-z]{2,}[0-9]{1,3}\b")
"""A Mailchimp API key: letters and digits, a dash and the data centre. Looked for only where letters and digits begin:
otherwise a long text without a dash is read again from each of its letters."""
_SENT = re.compile(r"\bBasic [0-9A-Za-z+/=]{8,}")
"""The header by which it is sent."""
_ADDRESS = re.compile(r"(?<![\w.+-])[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(\.[\w-]+)+")
"""An email address, anywhere: in a field, in an answer of Mailchimp, in a traceback."""
_hidden: dict[tuple[str, int, int], set[str]] = {}
"""Secrets by their shape: a character of theirs, where it is, and how long they are. However many there are, they have
few shapes: Mailchimp's keys have one dash at one place."""


def hide(secret: str) -> None:
    """Keeps a secret out of everything that is written from now on, whatever it looks like."""
    at = secret.rfind("-")
    anchor = max(at, 0)
    _hidden.setdefault((secret[anchor], anchor, len(secret)), set()).add(secret)


def redacted(text: str) -> str:
    """Returns a text without hidden secrets and whatever looks like an API key, but for their last four characters."""
    done, shown = 0, list[str]()
    for start, end in _merged(sorted(_places(text))):
        shown += [text[done:start], "…", text[max(start, end - 4) : end]]
        done = end
    text = "".join([*shown, text[done:]])
    return _SENT.sub("Basic …", _KEY.sub(lambda found: f"…{found[0][-4:]}", text))


def _places(text: str) -> Iterator[tuple[int, int]]:
    for (anchor, before, length), secrets in list(_hidden.items()):  # another thread may hide one meanwhile
        at = text.find(anchor, before)
        while at >= 0:
            start = at - before
            if text[start : start + length] in secrets:
                yield start, start + length
            at = text.find(anchor, at + 1)


def _merged(places: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    # One secret may be the beginning of another, or overlap it.
    found: list[tuple[int, int]] = []
    for start, end in places:
        if found and start < found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def without_addresses(text: str) -> str:
    """Returns a text in which email addresses are left out."""
    return _ADDRESS.sub("…@…", text) if "@" in text else text
