"""Keyed hashes of sent field values, which show which fields a member still needs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from worker.fields.merge_values import cleared
from worker.mailchimp.merge_fields import MergeField
from worker.model import AccountId

HASHES = "hashes of fields"
"""The purpose for which the hash keys are derived from the operator's secret key."""
NOT_SURE = "?"
"""In place of a hash: unknown whether a field was accepted. It matches no value, so the field is sent again."""
_OF_VALUE, _OF_HASH = "v", "o"
_OLD_DIGITS = 16
_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode
_quoted = json.encoder.encode_basestring_ascii
_BYTES = 16
"""Bytes of the HMAC: the least that RFC 2104 recommends for SHA-256."""


@dataclass(frozen=True, slots=True)
class Rehashed:
    """Hashes of sent values, renewed with the current key as far as possible.

    Attributes:
        left: whether one of them matches none of the customer's values.
    """

    fields: Mapping[str, str]
    left: bool


@dataclass(frozen=True, slots=True)
class FieldHashes:
    """Keyed hashes of sent values: they reveal changes, and without the key nothing else. Each account has its own key.

    Three forms are read: ``v`` and the HMAC of a value · ``o`` and the HMAC of an unkeyed hash · an unkeyed hash of an
    earlier release. New values get the first form. When its row is written, an unkeyed hash becomes the first form if
    the customer still has the value, otherwise the second.

    Attributes:
        keys: the current key, then others that are recognised.
    """

    account_id: AccountId
    keys: Sequence[bytes] = field(repr=False)

    def of(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Returns the hash of each value.

        Args:
            values: merge tag to sent value.
        """
        return {tag: self._hash(self.keys[0], _OF_VALUE, tag, _json(value)) for tag, value in values.items()}

    def are_of(self, sent: str | None, tag: str, value: Any) -> bool:
        """Returns whether a hash matches a value.

        Args:
            sent: the hash; None for none.
            tag: of the merge field.
        """
        if sent is None:
            return False
        if _is_old(sent):
            return sent == _unkeyed(value)
        text = _unkeyed(value) if sent.startswith(_OF_HASH) else _json(value)
        return any(sent == self._hash(key, sent[:1], tag, text) for key in self.keys)

    def renewed(self, sent: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, str]:
        """Returns the hashes renewed with the current key where possible: of known values, and of unkeyed hashes.

        Args:
            sent: merge tag to hash.
            values: the customer's current values.
        """
        return {tag: self._renewed(tag, sent_hash, values.get(tag)) for tag, sent_hash in sent.items()}

    def rehashed(self, sent: Mapping[str, str], values: Callable[[str], Iterable[Any]]) -> Rehashed:
        """Returns the hashes renewed with the current key, where one of several values matches.

        Args:
            sent: merge tag to hash.
            values: yields what may have been sent for a merge tag.
        """
        matches = {
            tag: next((value for value in values(tag) if self.are_of(sent_hash, tag, value)), None)
            for tag, sent_hash in sent.items()
        }
        fields = {
            tag: self._renewed(tag, sent_hash, None)
            if value is None
            else self._hash(self.keys[0], _OF_VALUE, tag, _json(value))
            for (tag, sent_hash), value in zip(sent.items(), matches.values(), strict=True)
        }
        # The mark NOT_SURE is not a hash and needs no key.
        return Rehashed(fields, any(value is None and sent[tag] != NOT_SURE for tag, value in matches.items()))

    def changes(
        self, values: Mapping[str, Any], sent: Mapping[str, str], available: Iterable[MergeField]
    ) -> dict[str, Any]:
        """Returns what a member still needs: values that differ from what was sent, and "" for removed ones.

        Args:
            sent: merge tag to hash; an absent tag was never filled by this worker, so it is never cleared.
            available: the list's fields; others are not cleared.
        """
        changed = {tag: value for tag, value in values.items() if not self.are_of(sent.get(tag), tag, value)}
        return changed | cleared(values, sent, available)

    def sent_after(
        self, sent: Mapping[str, str], changed: Mapping[str, Any], values: Mapping[str, Any]
    ) -> dict[str, str]:
        """Returns the hashes to keep after sending changes. A cleared field counts as never filled.

        Args:
            sent: merge tag to hash of what was sent before.
            changed: merge tag to what was sent now.
            values: all values of the customer.
        """
        unchanged = {tag: sent_hash for tag, sent_hash in sent.items() if tag not in changed}
        filled = {tag: value for tag, value in changed.items() if value != ""}
        return self.renewed(unchanged, values) | self.of(filled)

    def _renewed(self, tag: str, sent: str, value: Any) -> str:
        if value is not None:
            now = self._hash(self.keys[0], _OF_VALUE, tag, _json(value))
            if sent == now or self.are_of(sent, tag, value):
                return now
        return self._hash(self.keys[0], _OF_HASH, tag, sent) if _is_old(sent) else sent

    def _hash(self, key: bytes, form: str, tag: str, text: str) -> str:
        # As JSON, put together here: an encoder for each list would take as long as the hash.
        signed = f"[{', '.join(map(_quoted, (form, self.account_id, tag, text)))}]".encode()
        digest = _begun(key).copy()
        digest.update(signed)
        return form + base64.urlsafe_b64encode(digest.digest()[:_BYTES]).decode().rstrip("=")


def not_sure(sent: Mapping[str, str], fields: Iterable[str]) -> dict[str, str]:
    """Returns the hashes to keep when it is unknown whether sent fields were accepted.

    Args:
        sent: merge tag to hash of what was sent before.
        fields: merge tags of what was sent now.
    """
    return {**sent, **dict.fromkeys(fields, NOT_SURE)}


@lru_cache(maxsize=256)  # each account has its own
def _begun(key: bytes) -> hmac.HMAC:
    # Prepared once: hmac.digest would do that each time, and let other threads run, which takes longer than to hash.
    return hmac.new(key, digestmod="sha256")


def _is_old(sent: str) -> bool:
    return len(sent) == _OLD_DIGITS


def _unkeyed(value: Any) -> str:
    return hashlib.blake2b(_json(value).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
