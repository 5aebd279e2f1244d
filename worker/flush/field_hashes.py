"""Keyed hashes of the fields that were sent: they tell which of them a member still needs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.flush.merge_values import cleared
from worker.mailchimp.merge_fields import MergeField
from worker.model import AccountId

HASHES = "hashes of fields"
"""What the keys of hashes are derived for from the operator's secret key."""
NOT_SURE = "?"
"""In place of a hash: no answer told whether a field was taken. No value has it: the field is sent or cleared next."""
_OF_VALUE, _OF_HASH = "v", "o"
_OLD_DIGITS = 16
_sorted = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode
_BYTES = 16
"""Of the HMAC: the least that RFC 2104 advises for SHA-256."""


@dataclass(frozen=True, slots=True)
class Rehashed:
    """Hashes of what was sent, by the key of now as far as they can be.

    Attributes:
        left: whether one of them is of none of the customer's values.
    """

    fields: Mapping[str, str]
    left: bool


@dataclass(frozen=True, slots=True)
class FieldHashes:
    """Keyed hashes of what was sent: they tell a change, and without the key nothing. Each account has its own.

    Three forms are read: ``v`` and the HMAC of a value · ``o`` and the HMAC of a hash without a key · a hash without a
    key, as releases before wrote it. What is sent gets the first. When its row is written, the last becomes the first
    if the customer still has the value, else the second.

    Attributes:
        keys: the one that hashes are made with, then others that are recognised.
    """

    account_id: AccountId
    keys: Sequence[bytes] = field(repr=False)

    def of(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Returns the hash of each value.

        Args:
            values: merge tag to what is sent.
        """
        return {tag: self._hash(self.keys[0], _OF_VALUE, tag, _json(value)) for tag, value in values.items()}

    def are_of(self, sent: str | None, tag: str, value: Any) -> bool:
        """Tells whether a hash is that of a value.

        Args:
            sent: the hash; None for none.
            tag: the merge tag whose hash it is.
        """
        if sent is None:
            return False
        if _is_old(sent):
            return sent == _unkeyed(value)
        text = _unkeyed(value) if sent.startswith(_OF_HASH) else _json(value)
        return any(sent == self._hash(key, sent[:1], tag, text) for key in self.keys)

    def renewed(self, sent: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, str]:
        """Returns the same hashes by the key of now, as far as they can be made: of known values, and of old hashes.

        Args:
            sent: merge tag to hash.
            values: what the customer has now.
        """
        return {tag: self._renewed(tag, one, values.get(tag)) for tag, one in sent.items()}

    def rehashed(self, sent: Mapping[str, str], values: Callable[[str], Iterable[Any]]) -> Rehashed:
        """Returns the same hashes by the key of now, as far as one of several values is what was sent.

        Args:
            sent: merge tag to hash.
            values: gives what may have been sent for a merge tag.
        """
        known = {
            tag: next((value for value in values(tag) if self.are_of(one, tag, value)), None)
            for tag, one in sent.items()
        }
        fields = {
            tag: self._renewed(tag, one, None)
            if value is None
            else self._hash(self.keys[0], _OF_VALUE, tag, _json(value))
            for (tag, one), value in zip(sent.items(), known.values(), strict=True)
        }
        # A mark that nobody is sure of is no hash, and needs no key.
        return Rehashed(fields, any(value is None and sent[tag] != NOT_SURE for tag, value in known.items()))

    def changes(
        self, values: Mapping[str, Any], sent: Mapping[str, str], available: Iterable[MergeField]
    ) -> dict[str, Any]:
        """Returns only what a member still needs: values that differ from what was sent, and "" for what is no more.

        Args:
            sent: hashes of what was sent last; a tag that is absent was never filled from here, so it is never cleared.
            available: the list's fields; one that the list no longer has is not cleared.
        """
        changed = {tag: value for tag, value in values.items() if not self.are_of(sent.get(tag), tag, value)}
        return changed | cleared(values, sent, available)

    def sent_after(
        self, sent: Mapping[str, str], changed: Mapping[str, Any], values: Mapping[str, Any]
    ) -> dict[str, str]:
        """Returns the hashes to keep once the changes were sent: a cleared field counts as never filled.

        Args:
            sent: hashes of what was sent before.
            changed: merge tag to what was sent now.
            values: all that the customer has.
        """
        now = self.renewed({tag: one for tag, one in sent.items() if tag not in changed}, values) | self.of(changed)
        return {tag: value for tag, value in now.items() if changed.get(tag) != ""}

    def _renewed(self, tag: str, sent: str, value: Any) -> str:
        if value is not None and self.are_of(sent, tag, value):
            return self._hash(self.keys[0], _OF_VALUE, tag, _json(value))
        return self._hash(self.keys[0], _OF_HASH, tag, sent) if _is_old(sent) else sent

    def _hash(self, key: bytes, form: str, tag: str, text: str) -> str:
        signed = json.dumps([form, self.account_id, tag, text]).encode()
        made = hmac.digest(key, signed, "sha256")[:_BYTES]
        return form + base64.urlsafe_b64encode(made).decode().rstrip("=")


def not_sure(sent: Mapping[str, str], fields: Iterable[str]) -> dict[str, str]:
    """Returns the hashes to keep when fields were sent and no answer told whether they were taken.

    Args:
        sent: hashes of what was sent before.
        fields: merge tags of what was sent now.
    """
    return {**sent, **dict.fromkeys(fields, NOT_SURE)}


def _is_old(sent: str) -> bool:
    return len(sent) == _OLD_DIGITS


def _json(value: Any) -> str:
    return _sorted(value)


def _unkeyed(value: Any) -> str:
    return hashlib.blake2b(_json(value).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
