"""Reads, adds and removes tags of the stand-in's members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.sandbox.errors import invalid
from worker.sandbox.mailing_list import MailingList
from worker.sandbox.member import Member, as_date, tag_id

LONGEST_TAG = 100
STATUSES = ("active", "inactive")


def listed(member: Member, offset: int, count: int) -> dict[str, Any]:
    """Returns a page of a member's tags."""
    rows = [
        {"id": tag_id(name), "name": name, "date_added": as_date(added)} for name, added in sorted(member.tags.items())
    ]
    return {"tags": rows[offset : offset + count], "total_items": len(rows)}


def change(mailing_list: MailingList, member: Member, body: Mapping[str, Any]) -> None:
    """Adds and removes tags: applies all changes, or none. Changes no status.

    Raises:
        Problem: a tag is not valid.
    """
    changes = body.get("tags")
    if not isinstance(changes, list) or not changes:
        raise invalid("The resource submitted could not be validated.", ("tags", "This value should not be blank."))
    for tag in changes:
        name, status = (tag.get("name"), tag.get("status")) if isinstance(tag, Mapping) else (None, None)
        if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_TAG:
            raise invalid("The resource submitted could not be validated.", ("name", "This is no name of a tag."))
        if status not in STATUSES:
            raise invalid("The resource submitted could not be validated.", ("status", "Schema describes enum"))
    for tag in changes:
        put(mailing_list, member, tag["name"].strip(), active=tag["status"] == "active")


def put(mailing_list: MailingList, member: Member, name: str, *, active: bool) -> None:
    """Adds or removes one tag. Names that differ only in case are the same tag."""
    existing = next((tag for tag in member.tags if tag.casefold() == name.casefold()), None)
    if active and existing is None:
        member.tags = {**member.tags, name: mailing_list.clock()}
        mailing_list.touch(member)
    elif not active and existing is not None:
        member.tags = {tag: at for tag, at in member.tags.items() if tag != existing}
        mailing_list.touch(member)
