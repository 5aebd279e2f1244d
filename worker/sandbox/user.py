"""A Mailchimp user, who owns lists and API keys."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from worker.sandbox.audit import Audit
from worker.sandbox.mailing_list import MailingList
from worker.sandbox.merge import MergeField

USUAL_FIELDS = (
    ("FNAME", "First Name", "text"),
    ("LNAME", "Last Name", "text"),
    ("ADDRESS", "Address", "address"),
    ("PHONE", "Phone Number", "phone"),
    ("COMPANY", "Company", "text"),
)


@dataclass(slots=True)
class User:
    """A user. All of its API keys see the same lists.

    Attributes:
        in_flight: number of calls with its keys that wait for their answer.
    """

    name: str
    audit: Audit
    clock: Callable[[], datetime]
    lists: dict[str, MailingList] = field(default_factory=dict)
    in_flight: int = 0
    _lists_created: int = 0

    def create_list(
        self, list_id: str, name: str, *, usual_fields: bool = True, marketing_permissions: bool = False
    ) -> MailingList:
        """Creates a list, with Mailchimp's usual merge fields or none."""
        mailing_list = MailingList(list_id, name, self.clock(), self.audit, self.clock, marketing_permissions)
        if usual_fields:
            for number, (tag, label, kind) in enumerate(USUAL_FIELDS, 1):
                mailing_list.fields[tag] = MergeField(number, tag, label, kind)
        self.lists[list_id] = mailing_list
        return mailing_list

    def next_list_id(self) -> str:
        """Returns the id for a new list: ten hex digits, like Mailchimp's."""
        self._lists_created += 1
        return hashlib.sha256(f"{self.name}/{self._lists_created}".encode()).hexdigest()[:10]

    def as_json(self) -> dict[str, Any]:
        """Returns the user's account as in Mailchimp's answers."""
        return {
            "account_id": self.name,
            "login_id": self.name,
            "account_name": self.name,
            "email": f"owner@{self.name}.example",
            "username": self.name,
            "role": "owner",
            "account_timezone": "Etc/UTC",
            "pro_enabled": False,
            "total_subscribers": sum(mailing_list.count("subscribed") for mailing_list in self.lists.values()),
        }
