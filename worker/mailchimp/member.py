"""A member of a list, parsed from Mailchimp's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from worker.clock import moment_or_none
from worker.mailchimp.call import Answer
from worker.mailchimp.merge_fields import NAME_TAGS


@dataclass(frozen=True, slots=True)
class Member:
    """The parts of a member that a flush depends on.

    Attributes:
        status: subscribed, pending, unsubscribed, cleaned, transactional or archived.
        last_changed: as Mailchimp wrote it.
        contact_id: identifies the contact, whatever its address; None if the answer lacks it, as that to a batch add
            does. Source: Mailchimp's API description.
        names: first and last name; "" for what the answer lacks.
        fields: merge tag to value, of the fields that were requested.
        opted_in: when it was last subscribed; None if the answer lacks it.
        tags: names, at most 50 of them; None if the answer lacks them.
        tags_count: how many it has; None if the answer lacks it.
        born: when it joined the list: the earlier of sign-up and opt-in; None if both are missing.
    """

    address: str
    status: str
    last_changed: str | None
    born: datetime | None
    contact_id: str | None = None
    opted_in: datetime | None = None
    names: tuple[str, str] = field(default=("", ""), repr=False)
    tags: tuple[str, ...] | None = field(default=None, repr=False)
    tags_count: int | None = None
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def changed(self) -> datetime | None:
        """When it was last changed; None if the answer lacks it."""
        return moment_or_none(self.last_changed)


def member_of(body: Mapping[str, Any] | None) -> Member | None:
    """Returns the member that a JSON object describes; None if it lacks an address or a status."""
    address, status = (body or {}).get("email_address"), (body or {}).get("status")
    if body is None or not isinstance(address, str) or not isinstance(status, str):
        return None
    signed_up, opted_in = moment_or_none(body.get("timestamp_signup")), moment_or_none(body.get("timestamp_opt"))
    changed, contact_id, count = body.get("last_changed"), body.get("contact_id"), body.get("tags_count")
    return Member(
        address=address,
        status=status,
        last_changed=changed if isinstance(changed, str) else None,
        born=min((moment for moment in (signed_up, opted_in) if moment is not None), default=None),
        opted_in=opted_in,
        contact_id=contact_id if isinstance(contact_id, str) and contact_id else None,
        names=_names(body.get("merge_fields")),
        tags=_tags(body.get("tags")),
        tags_count=count if isinstance(count, int) else None,
        fields=body["merge_fields"] if isinstance(body.get("merge_fields"), Mapping) else {},
    )


def tags_added(body: Mapping[str, Any] | None) -> Mapping[str, datetime | None] | None:
    """Returns when each of a member's tags was added, by name; None if the JSON object lacks them."""
    tags: Any = (body or {}).get("tags")
    names = _tags(tags)
    if names is None:
        return None
    return {tag["name"]: moment_or_none(tag.get("date_added")) for tag in tags if tag.get("name") in names}


def _tags(tags: Any) -> tuple[str, ...] | None:
    if not isinstance(tags, list):
        return None
    names = (tag.get("name") for tag in tags if isinstance(tag, Mapping))
    return tuple(name for name in names if isinstance(name, str) and name)


def _names(fields: Any) -> tuple[str, str]:
    values = [fields.get(tag) for tag in NAME_TAGS] if isinstance(fields, Mapping) else ["", ""]
    first, last = (value if isinstance(value, str) else "" for value in values)
    return first, last


def answered_member(answer: Answer) -> Member | None:
    """Returns the member in a 2xx answer; None for another status, no JSON, or an incomplete member."""
    return member_of(answer.body) if answer.ok else None


def total_items(answer: Answer) -> int | None:
    """Returns the number of members in a 2xx answer; None if it lacks it."""
    total = (answer.body or {}).get("total_items") if answer.ok else None
    return total if isinstance(total, int) else None
