"""A member of the stand-in, including facts that Mailchimp knows and does not show."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from worker.mailchimp.calls import member_hash
from worker.model import AddressKey

_NOT_IN_BATCH = frozenset({"contact_id", "full_name", "web_id", "source"})


MOST_TAGS_TOLD = 50
"""The most tags in an answer with a member. Source: Mailchimp's API description."""


def tag_id(name: str) -> int:
    """Returns the id of a tag, the same on every list."""
    return int(hashlib.sha1(name.casefold().encode("utf-8", "replace"), usedforsecurity=False).hexdigest()[:7], 16)


def address_key(email: str) -> AddressKey:
    """Returns the lowercased address, by which Mailchimp distinguishes members."""
    return AddressKey(email.strip().lower())


def as_date(moment: datetime | None) -> str:
    """Returns a time as Mailchimp writes it, in whole seconds; "" for None."""
    return moment.isoformat(timespec="seconds") if moment is not None else ""


@dataclass(slots=True)
class Member:
    """A member of one list.

    Attributes:
        status: subscribed, pending, unsubscribed, cleaned, transactional or archived.
        contact_id: stays the same when the address changes; a contact that was deleted and added again gets a new one.
        status_before: the former status of an archived member, which Mailchimp does not show.
        opted_out: whether the person unsubscribed or the address bounced, so that no call may subscribe it.
        left_by_hand: whether the person, the owner or a bounce took it off the list, so that no call should add it
        again.
        tags: name to the time when it was added.
        order: the number of the list's last change to it, which orders members that changed in the same second.
    """

    list_id: str
    email: str
    status: str
    signed_up: datetime
    opted_in: datetime | None
    last_changed: datetime
    contact_id: str = ""
    merge_fields: dict[str, Any] = field(default_factory=dict)
    status_before: str | None = None
    opted_out: bool = False
    left_by_hand: bool = False
    tags: dict[str, datetime] = field(default_factory=dict)
    order: int = 0

    @property
    def id(self) -> str:
        """Its id in URL paths: the MD5 of the lowercased address."""
        return member_hash(address_key(self.email))

    def as_json(self) -> dict[str, Any]:
        """Returns the member as in Mailchimp's answers."""
        unique = hashlib.sha1(self.id.encode(), usedforsecurity=False).hexdigest()[:10]
        name = " ".join(str(self.merge_fields.get(tag) or "") for tag in ("FNAME", "LNAME")).strip()
        return {
            "id": self.id,
            "email_address": self.email,
            "unique_email_id": unique,
            "contact_id": self.contact_id,
            "full_name": name,
            "web_id": int(unique[:7], 16),
            "email_type": "html",
            "status": self.status,
            "merge_fields": dict(self.merge_fields),
            "timestamp_signup": as_date(self.signed_up),
            "timestamp_opt": as_date(self.opted_in),
            "last_changed": as_date(self.last_changed),
            "language": "",
            "vip": False,
            "tags_count": len(self.tags),
            "tags": [{"id": tag_id(name), "name": name} for name in list(self.tags)[:MOST_TAGS_TOLD]],
            "source": "API - Generic",
            "list_id": self.list_id,
        }

    def as_batch_json(self) -> dict[str, Any]:
        """Returns the member as in the answer to a batch add, which has fewer fields."""
        data = self.as_json()
        return {name: value for name, value in data.items() if name not in _NOT_IN_BATCH}
