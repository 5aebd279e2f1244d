"""Signed texts, which cannot be forged without the secret key: sessions, links, forms, forwarded requests. No I/O.

A signed text is ``PAYLOAD.SIGNATURE``: JSON and its HMAC-SHA256, both as URL-safe base64 without padding. Each purpose
has its own key, so that a text signed for one is invalid for another.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

LONGEST = 4096
"""Characters of the longest signed text that is verified."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs for one purpose.

    Attributes:
        previous_keys: keys derived from previous secret keys, whose signatures are also accepted.
    """

    key: bytes = field(repr=False)
    previous_keys: Sequence[bytes] = field(default=(), repr=False)

    def signed(self, payload: Mapping[str, Any], expires: datetime) -> str:
        """Returns a signed text that is valid until a time."""
        body = json.dumps({**payload, "expires": int(expires.timestamp())}, ensure_ascii=False, separators=(",", ":"))
        encoded = base64url(body.encode())
        return f"{encoded}.{base64url(self.mac(encoded))}"

    def opened(self, text: str, now: datetime) -> dict[str, Any] | None:
        """Returns the payload of a signed text; None if it is forged or expired."""
        encoded, _, signature = text.partition(".")
        if len(text) > LONGEST or not text.isascii():
            return None
        macs = [base64url(_mac(key, encoded)) for key in (self.key, *self.previous_keys)]
        if not any(hmac.compare_digest(mac, signature) for mac in macs):
            return None
        try:
            payload = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
            expires = datetime.fromtimestamp(payload["expires"], UTC)
        except (ValueError, KeyError, TypeError, OverflowError, OSError):
            return None
        return payload if now < expires else None

    def mac(self, text: str) -> bytes:
        """Returns the HMAC-SHA256 of a text."""
        return _mac(self.key, text)


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def base64url(content: bytes) -> str:
    """Returns URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def equal_secrets(first: str, second: str) -> bool:
    """Compares two secrets in constant time."""
    return hmac.compare_digest(hashlib.sha256(first.encode()).digest(), hashlib.sha256(second.encode()).digest())
