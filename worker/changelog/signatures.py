"""Signatures of the records of ledger and settings: what was written without the secret key is not believed. Pure.

A signature is a header with the HMAC-SHA-256 of the topic's role, the key and the value; of a null too. It does not
keep somebody who may write to the topic from writing an older record again: Kafka's ACLs do.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from worker.changelog.table_rows import ChangelogRow
from worker.changelog.topics import ChangelogTopic

Role = Literal["ledger", "settings"]
HEADER = "mailchimp-worker-hmac"
RECORDS = "records of ledger and settings"
"""What the keys are derived for from the operator's secret key."""
UNSIGNED = "it is not signed"
WRONG = "its signature is not by this worker's secret key"
SIGNED = "signed"
"""What the note is about that says from where on a topic is signed."""
_NOTE = b"signed from"


@dataclass(frozen=True, slots=True)
class Signatures:
    """Makes and checks signatures.

    Attributes:
        keys: the one that is signed with, then others whose signatures count.
    """

    keys: Sequence[bytes] = field(repr=False)

    def headers_of(self, role: Role, key: bytes, value: bytes | None) -> list[tuple[str, bytes]]:
        """Returns the headers of a record that is signed."""
        return [(HEADER, _mac(self.keys[0], role, key, value))]

    def flaw_of(
        self, role: Role, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]] | None
    ) -> str | None:
        """Returns why a record is not believed; None where it is."""
        found = [told or b"" for name, told in headers or () if name == HEADER]
        if not found:
            return UNSIGNED
        macs = (_mac(one, role, key or b"", value) for one in self.keys)
        return None if len(found) == 1 and any(hmac.compare_digest(found[0], mac) for mac in macs) else WRONG


def _mac(secret: bytes, role: Role, key: bytes, value: bytes | None) -> bytes:
    told = b"%s %d " % (role.encode(), len(key)) + key + (b"null" if value is None else b"value " + value)
    return hmac.digest(secret, told, "sha256")


@dataclass(frozen=True, slots=True)
class SignedFrom:
    """From which offset on all records are signed, of partitions that had records before there were signatures.

    What is before that offset and not signed does not count: each such record was written again, signed, behind it.

    Attributes:
        offsets: by topic, its id and partition.
    """

    offsets: Mapping[str, int] = field(default_factory=dict)

    def offset_of(self, topic: ChangelogTopic, partition: int) -> int | None:
        """Returns the offset of a partition; None where none is said."""
        return self.offsets.get(place_of(topic, partition))

    def row(self, signatures: Signatures) -> ChangelogRow:
        """Returns the note that the settings' topic keeps, signed by itself, since a database may have it too."""
        told = json.dumps(dict(self.offsets), sort_keys=True)
        ((_, mac),) = signatures.headers_of("settings", _NOTE, told.encode())
        return ChangelogRow("topic", (SIGNED, ""), {"note": json.dumps({"from": told, "hmac": mac.hex()})})

    @classmethod
    def from_record(cls, value: bytes | None, signatures: Signatures) -> SignedFrom:
        """Returns what a record of a note says; nothing for one that is not believed."""
        try:
            return cls.from_text(json.loads(value or b"{}").get("note"), signatures)
        except (ValueError, AttributeError):
            return cls()

    @classmethod
    def from_text(cls, text: str | None, signatures: Signatures) -> SignedFrom:
        """Returns what a note says; nothing without a note, or for one that is not believed."""
        try:
            note = json.loads(text or "null")
            told, mac = note["from"], bytes.fromhex(note["hmac"])
            if signatures.flaw_of("settings", _NOTE, told.encode(), [(HEADER, mac)]) is None:
                return cls({str(place): int(offset) for place, offset in json.loads(told).items()})
        except (ValueError, TypeError, KeyError, AttributeError):
            pass
        return cls()


def place_of(topic: ChangelogTopic, partition: int) -> str:
    """Returns the name of a partition in the note."""
    return f"{topic.name}/{topic.topic_id}/{partition}"
