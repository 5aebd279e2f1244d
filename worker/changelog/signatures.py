"""Signs and verifies records of ledger and settings, so that only holders of the secret key can write them. No I/O.

A signature is a header with the HMAC-SHA-256 of the topic's role, the key and the value, also for a null. It does not
prevent somebody who may write to the topic from replaying an older record: Kafka's ACLs do.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from worker.changelog.table_rows import ChangelogRow

if TYPE_CHECKING:
    from worker.changelog.topics import ChangelogTopic, Role

HEADER = "mailchimp-worker-hmac"
RECORDS = "records of ledger and settings"
"""The purpose for which the signing keys are derived from the operator's secret key."""
UNSIGNED = "it is not signed"
WRONG = "its signature is not by this worker's secret key"
SIGNED: Final = "signed"
"""The subject of the note that says from which offset a topic is signed."""
_NOTE = b"signed from"


@dataclass(frozen=True, slots=True)
class Signatures:
    """Signs and verifies.

    Attributes:
        keys: the signing key, then others whose signatures are accepted.
    """

    keys: Sequence[bytes] = field(repr=False)

    def headers_of(self, role: Role, key: bytes, value: bytes | None) -> list[tuple[str, bytes]]:
        """Returns the headers of a signed record."""
        return [(HEADER, _mac(self.keys[0], role, key, value))]

    def flaw_of(
        self, role: Role, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]] | None
    ) -> str | None:
        """Returns why a record is rejected; None if it is accepted."""
        signatures = [signature or b"" for name, signature in headers or () if name == HEADER]
        if not signatures:
            return UNSIGNED
        macs = (_mac(secret, role, key or b"", value) for secret in self.keys)
        return None if len(signatures) == 1 and any(hmac.compare_digest(signatures[0], mac) for mac in macs) else WRONG


def _mac(secret: bytes, role: Role, key: bytes, value: bytes | None) -> bytes:
    signed_text = b"%s %d " % (role.encode(), len(key)) + key + (b"null" if value is None else b"value " + value)
    return hmac.digest(secret, signed_text, "sha256")


@dataclass(frozen=True, slots=True)
class SignedFrom:
    """The offsets from which all records are signed, of partitions that had records before there were signatures.

    Unsigned records before that offset are ignored: each was rewritten, signed, after it.

    Attributes:
        offsets: by topic, its id and partition.
    """

    offsets: Mapping[str, int] = field(default_factory=dict)

    def offset_of(self, topic: ChangelogTopic, partition: int) -> int | None:
        """Returns the offset of a partition; None if there is none."""
        return self.offsets.get(place_of(topic, partition))

    def row(self, signatures: Signatures) -> ChangelogRow:
        """Returns the note for the settings topic. It is itself signed, since it is also stored in databases."""
        offsets = json.dumps(dict(self.offsets), sort_keys=True)
        ((_, mac),) = signatures.headers_of("settings", _NOTE, offsets.encode())
        return ChangelogRow("topic", (SIGNED, ""), {"note": json.dumps({"from": offsets, "hmac": mac.hex()})})

    @classmethod
    def from_record(cls, value: bytes | None, signatures: Signatures) -> SignedFrom:
        """Returns the note in a record; an empty one if the record is rejected."""
        try:
            return cls.from_text(json.loads(value or b"{}").get("note"), signatures)
        except (ValueError, AttributeError):
            return cls()

    @classmethod
    def from_text(cls, text: str | None, signatures: Signatures) -> SignedFrom:
        """Returns the note in a text; an empty one if there is none or it is rejected."""
        try:
            note = json.loads(text or "null")
            offsets, mac = note["from"], bytes.fromhex(note["hmac"])
            if signatures.flaw_of("settings", _NOTE, offsets.encode(), [(HEADER, mac)]) is None:
                return cls({str(partition): int(offset) for partition, offset in json.loads(offsets).items()})
        except (ValueError, TypeError, KeyError, AttributeError):
            pass
        return cls()


def place_of(topic: ChangelogTopic, partition: int) -> str:
    """Returns the name of a partition in the note."""
    return f"{topic.name}/{topic.topic_id}/{partition}"
