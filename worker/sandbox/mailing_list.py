"""A list of the stand-in with its members, indexed by status and by last change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Literal

from worker.mailchimp.calls import member_hash
from worker.model import AddressKey
from worker.sandbox.audit import BY_HAND, Audit, StatusChange
from worker.sandbox.errors import not_found
from worker.sandbox.member import Member, address_key, as_date
from worker.sandbox.merge import MergeField

Sorting = Literal["last_changed", "timestamp_signup", "timestamp_opt"]


@dataclass(slots=True)
class MailingList:
    """A list. Members of one status are found without a scan of all members.

    Attributes:
        refuses: the problem title with which it refuses every contact; None if it accepts contacts.
        fake: addresses that it refuses as fake, without naming a field. Addresses below ``.invalid`` are always
        refused.
    """

    list_id: str
    name: str
    created: datetime
    audit: Audit
    clock: Callable[[], datetime]
    marketing_permissions: bool = False
    fields: dict[str, MergeField] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    refuses: str | None = None
    fake: set[str] = field(default_factory=set)
    _by_status: dict[str, dict[str, Member]] = field(default_factory=dict)
    _order: int = 0
    _contacts: int = 0
    _sorted: dict[str | None, list[Member]] = field(default_factory=dict)

    # Reading

    def as_json(self) -> dict[str, Any]:
        """Returns the list as in Mailchimp's answers."""
        counts = {status: len(members) for status, members in self._by_status.items()}
        return {
            "id": self.list_id,
            "web_id": int(member_hash(address_key(self.list_id))[:6], 16),
            "name": self.name,
            "permission_reminder": "You are a customer.",
            "date_created": as_date(self.created),
            "list_rating": 0,
            "email_type_option": False,
            "visibility": "prv",
            "double_optin": False,
            "marketing_permissions": self.marketing_permissions,
            "stats": {
                "member_count": counts.get("subscribed", 0),
                "total_contacts": len(self.members),
                "unsubscribe_count": counts.get("unsubscribed", 0),
                "cleaned_count": counts.get("cleaned", 0),
                "merge_field_count": len(self.fields),
            },
        }

    def get(self, hashed: str) -> Member:
        """Returns a member.

        Raises:
            Problem: there is none.
        """
        member = self.members.get(hashed.lower())
        if member is None:
            raise not_found()
        return member

    def find(self, email: str) -> Member | None:
        """Returns the member with an address, or None."""
        return self.members.get(member_hash(address_key(email)))

    def with_status(self, status: str | None) -> Iterable[Member]:
        """Returns the members with a status; None for all except archived ones, which is Mailchimp's default."""
        if status is not None:
            return self._by_status.get(status, {}).values()
        return (member for member in self.members.values() if member.status != "archived")

    def count(self, status: str | None) -> int:
        """Returns how many members have a status; None for all except archived ones."""
        if status is not None:
            return len(self._by_status.get(status, ()))
        return len(self.members) - len(self._by_status.get("archived", ()))

    def ordered(self, status: str | None, by: Sorting | None) -> Iterable[Member]:
        """Returns the members with a status, oldest first by one of their times; None for the order of the list."""
        match by:
            case None:
                return self.with_status(status)
            case "last_changed":
                # Cached until the next change, so that a list that is read page by page is sorted once.
                if status not in self._sorted:
                    self._sorted[status] = sorted(self.with_status(status), key=lambda member: member.order)
                return self._sorted[status]
            case "timestamp_signup":
                return sorted(self.with_status(status), key=lambda member: member.signed_up)
            case "timestamp_opt":
                return sorted(self.with_status(status), key=lambda member: as_date(member.opted_in))

    # Writing: the caller has checked everything

    def insert(self, email: str, status: str, values: Mapping[str, Any], cause: str) -> Member:
        """Creates a member in place of an earlier one with the same address."""
        now = self.clock()
        earlier = self.find(email)
        if earlier is not None:
            self._by_status[earlier.status].pop(earlier.id, None)
        member = Member(
            list_id=self.list_id,
            email=email,
            status=status,
            signed_up=now,
            opted_in=now if status == "subscribed" else None,
            last_changed=now,
            contact_id=earlier.contact_id if earlier is not None else self._next_contact_id(),
            merge_fields=dict(values),
            # A contact that returns has its former tags.
            tags=dict(earlier.tags) if earlier is not None else {},
        )
        self.members[member.id] = member
        self._by_status.setdefault(status, {})[member.id] = member
        self.touch(member)
        self._log_change(member, earlier, earlier.status if earlier is not None else None, cause)
        return member

    def set_status(self, member: Member, status: str, cause: str) -> None:
        """Changes a member's status, and logs the cause."""
        before = member.status
        if before == status:
            return
        self._by_status[before].pop(member.id, None)
        self._by_status.setdefault(status, {})[member.id] = member
        member.status = status
        if status == "subscribed":
            member.opted_in = self.clock()
        self.touch(member)
        self._log_change(member, member, before, cause)
        member.status_before = before if status == "archived" else None
        if status == "subscribed":
            member.opted_out = member.left_by_hand = False
        elif cause == BY_HAND:
            member.left_by_hand = status in ("unsubscribed", "cleaned", "archived")
            member.opted_out = member.opted_out or status in ("unsubscribed", "cleaned")

    def move(self, member: Member, email: str) -> None:
        """Changes a member's address."""
        self.members.pop(member.id)
        self._by_status[member.status].pop(member.id, None)
        member.email = email
        self.members[member.id] = member
        self._by_status[member.status][member.id] = member
        self.touch(member)

    def touch(self, member: Member) -> None:
        """Records that a member changed."""
        self._order += 1
        member.order = self._order
        member.last_changed = self.clock()
        self._sorted.clear()

    def remove(self, member: Member, cause: str) -> None:
        """Deletes a member for good; its address can never be added again."""
        before = member.status
        del self.members[member.id]
        self._by_status[before].pop(member.id, None)
        self._sorted.clear()
        self.forgotten.add(member.id)
        self.audit.changes.append(StatusChange(self.clock(), self.list_id, member.email, before, "forgotten", cause))

    def next_merge_id(self) -> int:
        """Returns the id for a new merge field."""
        return max((field.merge_id for field in self.fields.values()), default=0) + 1

    def _next_contact_id(self) -> str:
        # 32 hex digits, like Mailchimp's, and not derived from the address.
        self._contacts += 1
        return member_hash(AddressKey(f"{self.list_id}/{self._contacts}"))

    def _log_change(self, member: Member, earlier: Member | None, before: str | None, cause: str) -> None:
        self.audit.changes.append(
            StatusChange(
                at=member.last_changed,
                list_id=self.list_id,
                email=member.email,
                before=before,
                after=member.status,
                cause=cause,
                hidden=earlier.status_before if earlier is not None else None,
                contact_id=member.contact_id,
                puts_back=(
                    cause != BY_HAND
                    and earlier is not None
                    and earlier.left_by_hand
                    and member.status in ("subscribed", "pending")
                ),
            )
        )


def page(members: Iterable[Member], offset: int, count: int) -> list[Member]:
    """Returns a page of members.

    Args:
        offset: number of members to skip.
        count: the most members to return.
    """
    return list(islice(members, offset, offset + count))
