"""Calls to Mailchimp as plain values: plans show them, the client sends them, receipts keep them.

A function each builds the calls that a flush makes; no other module of a flush builds one.

None of the writes can change the status of somebody who left: only :func:`unsubscribe` (consent was withdrawn, or a
pending member's customer moved or was deleted) and :func:`restore` (of what this worker itself took off the list)
contain ``status``, and ``update_existing`` is always false.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol

from worker.clock import as_moment
from worker.mailchimp.answers import NAME_TAGS, Answer
from worker.model import AddressKey, ListId, MembershipKey

ANSWER_WITHIN = timedelta(minutes=3)
"""How long after the read before it Mailchimp may carry out an unanswered write. Longer than any
`mailchimp.timeout`."""
FRESH_SECONDS = 2.0
"""How long a write may wait after the reads that it depends on; after that they must be read again."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request to a path below Mailchimp's ``/3.0``.

    Attributes:
        path: starts with ``/`` and is already quoted.
        body: the JSON body; None for no body.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None

    @property
    def reads_only(self) -> bool:
        """Whether the call changes nothing in Mailchimp."""
        return self.method == "GET"

    def __str__(self) -> str:
        """Returns the method, path and query as plans and receipts print them."""
        query = "&".join(f"{name}={value}" for name, value in self.query.items())
        return f"{self.method} {self.path}" + (f"?{query}" if query else "")


class Sender(Protocol):
    """Sends calls with one API key: the HTTP client, or the stand-in in tests without sockets."""

    def send(self, call: Call) -> Answer:
        """Sends one call and waits for its answer. Never raises for a failure of Mailchimp or the network."""
        ...


def member_hash(address: AddressKey) -> str:
    """Returns the id of a member in Mailchimp's paths: the MD5 of the lowercased address, in hex."""
    return hashlib.md5(address.encode(), usedforsecurity=False).hexdigest()


def member_path(list_id: ListId, address: AddressKey) -> str:
    """Returns the path of one member of one list."""
    return f"/lists/{list_id}/members/{member_hash(address)}"


# The calls of a flush

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
