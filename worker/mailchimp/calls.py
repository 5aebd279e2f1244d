"""The calls that a flush makes, one function each. No other module of a flush builds a call.

None of the writes can change the status of somebody who left: only :func:`unsubscribe` (consent was withdrawn, or a
pending member's customer moved or was deleted) and :func:`restore` (of what this worker itself took off the list)
contain ``status``, and ``update_existing`` is always false.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from worker.clock import as_moment
from worker.mailchimp.call import Call, member_path
from worker.mailchimp.merge_fields import NAME_TAGS
from worker.model import ListId, MembershipKey

POST_AT_MOST = 500
"""Contacts in one POST. Source: Mailchimp's batch subscribe endpoint."""
PAGE = 1000
"""Items per page at most. Source: Mailchimp's paging."""

_NO_VALIDATION = {"skip_merge_validation": "true"}
_PARTS = ("email_address", "contact_id", "status", "last_changed", "timestamp_opt", "timestamp_signup")
_MEMBER_PARTS = ",".join(("id", *_PARTS, *(f"merge_fields.{tag}" for tag in NAME_TAGS)))
_LISTED_PARTS = ",".join((*(f"members.{part}" for part in _PARTS), "total_items"))


def any_archived(list_id: ListId) -> Call:
    """Queries whether a list has archived members, whom a batch add would restore."""
    return Call("GET", f"/lists/{list_id}/members", {"status": "archived", "count": "1", "fields": "total_items"})


def archived_page(list_id: ListId, offset: int) -> Call:
    """Reads a page of the hashes of a list's archived members, in the order of their archiving."""
    return Call(
        "GET",
        f"/lists/{list_id}/members",
        {
            "status": "archived",
            "count": str(PAGE),
            "offset": str(offset),
            "sort_field": "last_changed",
            "sort_dir": "ASC",
            "fields": "members.id,total_items",
        },
    )


def archived_since(list_id: ListId, since: datetime) -> Call:
    """Queries the members archived on a list since a time of Mailchimp's clock."""
    return Call(
        "GET",
        f"/lists/{list_id}/members",
        {
            "status": "archived",
            "since_last_changed": since.astimezone(UTC).isoformat(timespec="seconds"),
            "count": str(PAGE),
            "fields": "members.id,total_items",
        },
    )


def members(list_id: ListId, status: str, since: str | None, offset: int, *, fields: bool = False) -> Call:
    """Reads a page of a list's members, in the order of their last change.

    Args:
        status: unsubscribed, cleaned or archived; one call lists one status. "all" names none: then Mailchimp lists
            every member but the archived ones.
        since: only those changed at this time or later, as text; None for all.
    """
    query = {} if status == "all" else {"status": status}
    query |= {
        "count": str(PAGE),
        "sort_field": "last_changed",
        "sort_dir": "ASC",
        "fields": f"{_LISTED_PARTS},members.merge_fields" if fields else _LISTED_PARTS,
    }
    if since is not None:
        query["since_last_changed"] = as_moment(since).isoformat(timespec="seconds")
    if offset:
        query["offset"] = str(offset)
    return Call("GET", f"/lists/{list_id}/members", query)


def contact(address: str, status: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns one contact of a batch add."""
    return {"email_address": address, "status": status, "merge_fields": dict(fields)}


def add_all(list_id: ListId, contacts: Sequence[Mapping[str, Any]]) -> Call:
    """Adds contacts that are not members, at most 500; existing members are left unchanged."""
    return Call("POST", f"/lists/{list_id}", _NO_VALIDATION, {"members": list(contacts), "update_existing": False})


def add_one(membership: MembershipKey, address: str, status: str, fields: Mapping[str, Any]) -> Call:
    """Adds one contact, or writes its fields if it is a member of any status, including archived."""
    return Call(
        "PUT",
        member_path(*membership),
        _NO_VALIDATION,
        {"email_address": address, "status_if_new": status, "merge_fields": dict(fields)},
    )


def update(membership: MembershipKey, fields: Mapping[str, Any]) -> Call:
    """Writes fields of a member; its status is left unchanged."""
    return Call("PATCH", member_path(*membership), _NO_VALIDATION, {"merge_fields": dict(fields)})


def rename(membership: MembershipKey, address: str, fields: Mapping[str, Any]) -> Call:
    """Changes a member's address; its status is left unchanged."""
    body: dict[str, Any] = {"email_address": address}
    if fields:
        body["merge_fields"] = dict(fields)
    return Call("PATCH", member_path(*membership), _NO_VALIDATION, body)


def read(membership: MembershipKey) -> Call:
    """Reads a member."""
    return Call("GET", member_path(*membership), {"fields": _MEMBER_PARTS})


def read_tags(membership: MembershipKey) -> Call:
    """Reads a member with its tags, at most 50 of them."""
    return Call("GET", member_path(*membership), {"fields": f"{_MEMBER_PARTS},tags.name,tags_count"})


def read_all_tags(membership: MembershipKey) -> Call:
    """Reads when each tag of a member was added."""
    query = {"count": str(PAGE), "fields": "tags.name,tags.date_added,total_items"}
    return Call("GET", f"{member_path(*membership)}/tags", query)


def tag(membership: MembershipKey, add: Sequence[str], remove: Sequence[str]) -> Call:
    """Sets and removes tags of a member; its status is left unchanged, and no automation starts."""
    named = [{"name": name, "status": "active"} for name in add] + [
        {"name": name, "status": "inactive"} for name in remove
    ]
    return Call("POST", f"{member_path(*membership)}/tags", {}, {"tags": named, "is_syncing": True})


def read_list(list_id: ListId) -> Call:
    """Queries whether a list exists."""
    return Call("GET", f"/lists/{list_id}", {"fields": "id"})


def archive(membership: MembershipKey) -> Call:
    """Archives a member."""
    return Call("DELETE", member_path(*membership))


def unsubscribe(membership: MembershipKey) -> Call:
    """Unsubscribes a member."""
    return Call("PATCH", member_path(*membership), _NO_VALIDATION, {"status": "unsubscribed"})


def restore(membership: MembershipKey, address: str, status: str, fields: Mapping[str, Any]) -> Call:
    """Restores a member that this worker archived, with its former status."""
    return Call(
        "PUT",
        member_path(*membership),
        _NO_VALIDATION,
        {"email_address": address, "status_if_new": status, "status": status, "merge_fields": dict(fields)},
    )
