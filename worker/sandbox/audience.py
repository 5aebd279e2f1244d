"""One list of the stand-in: its members and what may become of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from worker.mailchimp.call import Answer, member_hash
from worker.sandbox.audit import Audit, StatusChange
from worker.sandbox.member import Member, address_key, as_date
from worker.sandbox.merge import MergeField, merged
from worker.sandbox.problem import Problem, invalid, not_found

STATUSES = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional")
MAX_BATCH = 500


@dataclass(slots=True)
class Audience:
    """A list, kept so that members of one status are found without going through all.

    Attributes:
        refuses: the title with which it refuses every contact; None where it does not.
        fake: addresses that are refused as fake, without naming a field.
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

    # Reading

    def as_json(self) -> dict[str, Any]:
        """Returns what an answer tells of the list."""
        counts = {status: len(found) for status, found in self._by_status.items()}
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
        """Returns the members of a status, or all but the archived, as Mailchimp does unasked."""
        if status is not None:
            return self._by_status.get(status, {}).values()
        return (one for one in self.members.values() if one.status != "archived")

    def count(self, status: str | None) -> int:
        """Returns how many members have a status; None: any but archived."""
        if status is not None:
            return len(self._by_status.get(status, ()))
        return len(self.members) - len(self._by_status.get("archived", ()))

    # Writing: by calls

    def add(self, body: Mapping[str, Any], cause: str, *, validate: bool) -> Member:
        """Adds a member by POST …/members.

        Raises:
            Problem: it exists, or is refused.
        """
        status = _status(body, "status")
        email = self._email(body)
        known = self.find(email)
        if known is not None and known.status != "archived":
            raise Problem(400, "Member Exists", f"{email} is already a list member.")
        return self._add(email, status, body, cause, validate=validate)

    def add_all(self, body: Mapping[str, Any], cause: str, *, validate: bool) -> Answer:
        """Adds many by POST /lists/{id}. Archived members are put back, as must be assumed of Mailchimp.

        Raises:
            Problem: the call as a whole is refused.
        """
        contacts = body.get("members")
        if not isinstance(contacts, list) or len(contacts) > MAX_BATCH:
            raise invalid("The resource submitted could not be validated.", ("members", f"At most {MAX_BATCH} items."))
        if self.refuses is not None:
            raise Problem(400, self.refuses, "This list takes nobody.")
        new: list[Member] = []
        updated: list[Member] = []
        errors: list[dict[str, str]] = []
        for contact in contacts:
            if not isinstance(contact, Mapping):
                raise invalid("The resource submitted could not be validated.", ("members", "Schema describes object"))
            self._add_one_of_many(contact, body, cause, new, updated, errors, validate=validate)
        return Answer(
            200,
            {
                "new_members": [_without_archived(one) for one in new],
                "updated_members": [_without_archived(one) for one in updated],
                "errors": errors,
                "total_created": len(new),
                "total_updated": len(updated),
                "error_count": len(errors),
            },
        )

    def _add_one_of_many(
        self,
        contact: Mapping[str, Any],
        body: Mapping[str, Any],
        cause: str,
        new: list[Member],
        updated: list[Member],
        errors: list[dict[str, str]],
        *,
        validate: bool,
    ) -> None:
        given = contact.get("email_address")
        told = {"email_address": given if isinstance(given, str) else "", "error": "", "field": "", "field_message": ""}
        try:
            email, status = self._email(contact), _status(contact, "status")
            known = self.find(email)
            if known is None or known.status == "archived":
                new.append(self._add(email, status, contact, cause, validate=validate))
            elif body.get("update_existing") is True:
                self._write(known, contact, cause, validate=validate, status=status)
                updated.append(known)
            else:
                errors.append(
                    told | {"error": f"{email} is already a list member", "error_code": "ERROR_CONTACT_EXISTS"}
                )
        except Problem as problem:
            field, message = problem.errors[0] if problem.errors else ("", "")
            errors.append(
                told
                | {
                    "error": problem.detail,
                    "error_code": "ERROR_GENERIC",
                    "field": "email address" if field == "email_address" else field,
                    "field_message": message,
                }
            )

    def put(self, hashed: str, body: Mapping[str, Any], cause: str, *, validate: bool) -> Member:
        """Adds or updates one member by PUT.

        Raises:
            Problem: it is refused.
        """
        known = self.members.get(hashed.lower())
        email = self._email(body)
        if known is None:
            return self._add(email, _status(body, "status_if_new"), body, cause, validate=validate)
        status = _status(body, "status") if "status" in body else None
        self._rename(known, email)
        self._write(known, body, cause, validate=validate, status=status)
        return known

    def patch(self, hashed: str, body: Mapping[str, Any], cause: str, *, validate: bool) -> Member:
        """Updates one member by PATCH.

        Raises:
            Problem: it is not there, or is refused.
        """
        member = self.get(hashed)
        status = _status(body, "status") if "status" in body else None
        if "email_address" in body:
            self._rename(member, self._email(body))
        self._write(member, body, cause, validate=validate, status=status)
        return member

    def delete(self, hashed: str, cause: str) -> None:
        """Archives one member by DELETE.

        Raises:
            Problem: it is not there, or its status does not permit it.
        """
        member = self.get(hashed)
        if member.status not in ("subscribed", "unsubscribed"):
            raise Problem(405, "Method Not Allowed", f"A member that is {member.status} cannot be archived.")
        self.set_status(member, "archived", cause)

    # Writing: anything

    def set_status(self, member: Member, status: str, cause: str) -> None:
        """Gives a member another status, and notes who did it."""
        before = member.status
        if before == status:
            return
        member.status_before = before if status == "archived" else None
        self._by_status.get(before, {}).pop(member.id, None)
        member.status = status
        self._by_status.setdefault(status, {})[member.id] = member
        if status == "subscribed":
            member.opted_in = self.clock()
            member.opted_out = False
        self.touch(member)
        self.audit.changes.append(StatusChange(member.last_changed, self.list_id, member.email, before, status, cause))

    def touch(self, member: Member) -> None:
        """Notes that a member changed."""
        self._order += 1
        member.order = self._order
        member.last_changed = self.clock()

    def remove(self, member: Member, cause: str) -> None:
        """Deletes a member for good; its address can never be added again."""
        del self.members[member.id]
        self._by_status[member.status].pop(member.id, None)
        self.forgotten.add(member.id)
        self.audit.changes.append(
            StatusChange(self.clock(), self.list_id, member.email, member.status, "forgotten", cause)
        )

    def move(self, member: Member, email: str) -> None:
        """Gives a member another address."""
        self.members.pop(member.id)
        self._by_status[member.status].pop(member.id, None)
        member.email = email
        self.members[member.id] = member
        self._by_status[member.status][member.id] = member
        self.touch(member)

    def insert(self, email: str, status: str, values: Mapping[str, Any], cause: str) -> Member:
        """Makes a member, or one that was archived or is anything else anew."""
        now = self.clock()
        known = self.find(email)
        before = known.status if known is not None else None
        if known is not None:
            self._by_status[known.status].pop(known.id, None)
        opted_in = now if status == "subscribed" else None
        member = Member(self.list_id, email, status, now, opted_in, now, dict(values))
        self.members[member.id] = member
        self._by_status.setdefault(status, {})[member.id] = member
        self.touch(member)
        self.audit.changes.append(StatusChange(now, self.list_id, email, before, status, cause))
        return member

    def _add(self, email: str, status: str, body: Mapping[str, Any], cause: str, *, validate: bool) -> Member:
        if self.refuses is not None:
            raise Problem(400, self.refuses, "This list takes nobody.")
        hashed = member_hash(address_key(email))
        if hashed in self.forgotten:
            detail = f"{email} was permanently deleted and cannot be re-imported."
            raise Problem(400, "Forgotten Email Not Subscribed", detail)
        if address_key(email) in self.fake:
            raise invalid(f"{email} looks fake or invalid, please enter a real email address.")
        values = merged(self.fields, {}, body.get("merge_fields"), validate_required=validate)
        return self.insert(email, status, values, cause)

    def _write(
        self, member: Member, body: Mapping[str, Any], cause: str, *, validate: bool, status: str | None
    ) -> None:
        values = merged(self.fields, member.merge_fields, body.get("merge_fields"), validate_required=validate)
        was_out = member.opted_out or member.status_before in ("unsubscribed", "cleaned")
        if status in ("subscribed", "pending") and status != member.status and was_out:
            detail = f"{member.email} is in a compliance state due to unsubscribe, bounce, or compliance review."
            raise Problem(400, "Member In Compliance State", detail)
        member.merge_fields = values
        if status is not None and status != member.status:
            self.set_status(member, status, cause)
        else:
            self.touch(member)

    def _rename(self, member: Member, email: str) -> None:
        if address_key(email) == address_key(member.email):
            member.email = email
            return
        if member.status != "subscribed":
            raise invalid(
                "The resource submitted could not be validated.",
                ("email_address", f"The address of a member that is {member.status} cannot be changed."),
            )
        if self.find(email) is not None:
            raise Problem(400, "Member Exists", f"{email} is already a list member.")
        self.move(member, email)

    def _email(self, body: Mapping[str, Any]) -> str:
        email = body.get("email_address")
        name, _, domain = (email if isinstance(email, str) else "").strip().rpartition("@")
        if not name or "." not in domain or any(char.isspace() for char in name + domain):
            raise invalid("Please provide a valid email address.", ("email_address", "This is no email address."))
        return f"{name}@{domain}"


def page(members: Iterable[Member], offset: int, count: int, *, by_last_changed: str | None) -> list[Member]:
    """Returns a page of members, in the order of the list or by their last change.

    Args:
        members: those to page through.
        offset: how many to leave out.
        count: how many to return.
        by_last_changed: ``ASC``, ``DESC``, or None for the order of the list.
    """
    if by_last_changed is None:
        ordered = list(members)
    else:
        ordered = sorted(members, key=lambda one: one.order, reverse=by_last_changed == "DESC")
    return ordered[offset : offset + count]


def _status(body: Mapping[str, Any], name: str) -> str:
    status = body.get(name)
    if status not in STATUSES:
        raise invalid("The resource submitted could not be validated.", (name, "Value is not one of the choices."))
    return str(status)


def _without_archived(member: Member) -> dict[str, Any]:
    told = member.as_json()
    for name in ("contact_id", "full_name", "web_id", "source"):
        told.pop(name)
    return told
