"""Keeps secrets and email addresses out of what the worker writes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_KEY = re.compile(r"(?<![0-9A-Za-z])[0-9A-Za-z]{16,}-[A-Za-z]{2,}[0-9]{1,3}\b")
"""A Mailchimp API key: letters and digits, a dash and the data centre. Matches only at the start of a word: otherwise a
long text without a dash would be scanned again from each letter."""
_SENT = re.compile(r"\bBasic [0-9A-Za-z+/=]{8,}")
"""The Authorization header that carries it."""
_ADDRESS = re.compile(r"(?<![\w.!#$%&'*+/=?^`{|}~-])[\w.!#$%&'*+/=?^`{|}~-]++@[\w-]+(\.[\w-]+)+")
"""An email address, anywhere: in a field, in an answer of Mailchimp, in a traceback."""
_hidden: dict[tuple[str, int, int], set[str]] = {}
"""Secrets by shape: one of their characters, its index, and their length. Many secrets have few shapes, because the
dash of a Mailchimp key is always at the same place. So one search per shape finds them all."""


def hide(secret: str) -> None:
    """Registers a secret, so that :func:`redacted` removes it whatever it looks like."""
    at = secret.rfind("-")
    anchor = max(at, 0)
    _hidden.setdefault((secret[anchor], anchor, len(secret)), set()).add(secret)


def redacted(text: str) -> str:
    """Returns a text with registered secrets, and all that looks like an API key, cut to their last four characters."""
    copied_to, shown = 0, list[str]()
    for start, end in _merged(sorted(_places(text))):
        shown += [text[copied_to:start], "…", text[max(start, end - 4) : end]]
        copied_to = end
    text = "".join([*shown, text[copied_to:]])
    return _SENT.sub("Basic …", _KEY.sub(lambda match: f"…{match[0][-4:]}", text))


def _places(text: str) -> Iterator[tuple[int, int]]:
    for (anchor, before, length), secrets in list(_hidden.items()):  # a copy: another thread may register one meanwhile
        at = text.find(anchor, before)
        while at >= 0:
            start = at - before
            if text[start : start + length] in secrets:
                yield start, start + length
            at = text.find(anchor, at + 1)


def _merged(places: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    # One secret may be the beginning of another, or overlap it.
    merged: list[tuple[int, int]] = []
    for start, end in places:
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def without_addresses(text: str) -> str:
    """Returns a text with each email address replaced by "…@…"."""
    return _ADDRESS.sub("…@…", text) if "@" in text else text
