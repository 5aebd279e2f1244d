"""Keeps secrets and email addresses out of what the worker writes."""

from __future__ import annotations

import re

_KEY = re.compile(r"(?<![0-9A-Za-z])[0-9A-Za-z]{16,}-[A-Za-z]{2,}[0-9]{1,3}\b")
"""A Mailchimp API key: letters and digits, a dash and the data centre. Looked for only where letters and digits begin:
otherwise a long text without a dash is read again from each of its letters."""
_SENT = re.compile(r"\bBasic [0-9A-Za-z+/=]{8,}")
"""The header by which it is sent."""
_ADDRESS = re.compile(r"(?<![\w.+-])[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(\.[\w-]+)+")
"""An email address, wherever it stands: in a field, in an answer of Mailchimp, in a traceback."""
_hidden: set[str] = set()


def hide(secret: str) -> None:
    """Keeps a secret out of everything that is written from now on, whatever it looks like."""
    _hidden.add(secret)


def redacted(text: str) -> str:
    """Returns a text without hidden secrets and whatever looks like an API key, but for their last four characters."""
    for secret in sorted(_hidden, key=len, reverse=True):  # one may be the beginning of another
        text = text.replace(secret, f"…{secret[-4:]}")
    return _SENT.sub("Basic …", _KEY.sub(lambda found: f"…{found[0][-4:]}", text))


def without_addresses(text: str) -> str:
    """Returns a text in which email addresses are left out."""
    return _ADDRESS.sub("…@…", text) if "@" in text else text
