"""Writes one contact as Mailchimp does, or refuses it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from worker.mailchimp.calls import member_hash
from worker.sandbox.errors import Problem, invalid
from worker.sandbox.mailing_list import MailingList
from worker.sandbox.member import Member, address_key
from worker.sandbox.merge import merged

PATCHABLE = ("subscribed", "unsubscribed", "cleaned", "pending")
STATUSES = (*PATCHABLE, "transactional")
"""Statuses that a call may set. Source: the enumerations of Mailchimp's API description."""
ARCHIVABLE = ("subscribed", "unsubscribed")

_INVALID = "The resource submitted could not be validated. For field-specific details, see the 'errors' array."


@dataclass(frozen=True, slots=True)
class Author:
    """Who makes a write, and how.

    Attributes:
        validate: whether a missing required merge field is refused.
    """

    cause: str
    validate: bool


def post(mailing_list: MailingList, body: Mapping[str, Any], by: Author) -> Member:
    """Adds a member by POST …/members; restores an archived one.

    Raises:
        Problem: the member exists, or the contact is refused.
    """
    email, status = email_of(body), status_of(body, "status")
    member = mailing_list.find(email)
    if member is not None and member.status != "archived":
        raise _exists(email)
    return create(mailing_list, email, status, body, by)


def put(mailing_list: MailingList, hashed: str, body: Mapping[str, Any], by: Author) -> Member:
    """Adds or updates a member by PUT; an archived one stays archived if the call has no status.

    Raises:
        Problem: it is refused.
    """
    email = email_of(body)
    member = mailing_list.members.get(hashed.lower())
    if member is not None:
        status = status_of(body, "status") if "status" in body else None
        return update(mailing_list, member, body, by, status=status, email=email)
    if mailing_list.find(email) is not None:
        raise _exists(email)
    return create(mailing_list, email, status_of(body, "status_if_new"), body, by)


def patch(mailing_list: MailingList, hashed: str, body: Mapping[str, Any], by: Author) -> Member:
    """Updates a member by PATCH.

    Raises:
        Problem: there is no such member, or the change is refused.
    """
    member = mailing_list.get(hashed)
    status = status_of(body, "status", PATCHABLE) if "status" in body else None
    email = email_of(body) if "email_address" in body else None
    return update(mailing_list, member, body, by, status=status, email=email)


def archive(mailing_list: MailingList, hashed: str, by: Author) -> None:
    """Archives a member by DELETE.

    Raises:
        Problem: there is no such member, or its status does not allow it.
    """
    member = mailing_list.get(hashed)
    if member.status not in ARCHIVABLE:
        raise Problem(405, "Method Not Allowed", "This list member cannot be removed. Please contact support.")
    mailing_list.set_status(member, "archived", by.cause)


def create(mailing_list: MailingList, email: str, status: str, body: Mapping[str, Any], by: Author) -> Member:
    """Creates a member for an address that has none, or an archived one.

    Raises:
        Problem: the list, the address or a field is refused.
    """
    if mailing_list.refuses is not None:
        raise Problem(400, mailing_list.refuses, "This list takes nobody.")
    _check_address(mailing_list, email)
    values = merged(mailing_list.fields, {}, body.get("merge_fields"), validate_required=by.validate)
    return mailing_list.insert(email, status, values, by.cause)


def update(
    mailing_list: MailingList,
    member: Member,
    body: Mapping[str, Any],
    by: Author,
    *,
    status: str | None,
    email: str | None = None,
) -> Member:
    """Changes an existing member: applies the whole change, or nothing.

    Args:
        status: the new status; None to keep it.
        email: the new address; None to keep it.

    Raises:
        Problem: the change is refused.
    """
    values = merged(mailing_list.fields, member.merge_fields, body.get("merge_fields"), validate_required=by.validate)
    if status is not None and status != member.status:
        _check_compliance(member, status)
    moves = email is not None and address_key(email) != address_key(member.email)
    if email is not None and moves:
        _check_rename(mailing_list, member, email)
        mailing_list.move(member, email)
    elif email is not None:
        member.email = email
    member.merge_fields = values
    if status is not None and status != member.status:
        mailing_list.set_status(member, status, by.cause)
    else:
        mailing_list.touch(member)
    return member


def email_of(body: Mapping[str, Any]) -> str:
    """Returns the address of a contact.

    Raises:
        Problem: it is not an address; names the field.
    """
    email = body.get("email_address")
    name, _, domain = (email if isinstance(email, str) else "").strip().rpartition("@")
    if not name or "@" in name or "." not in domain or any(char.isspace() for char in name + domain):
        raise invalid("Please provide a valid email address.", ("email_address", "This value should be a valid email."))
    return f"{name}@{domain}"


def status_of(body: Mapping[str, Any], name: str, allowed: Collection[str] = STATUSES) -> str:
    """Returns the status of a contact.

    Raises:
        Problem: a call may not set it; names the field.
    """
    status = body.get(name)
    if status not in allowed:
        raise invalid(_INVALID, (name, f"Data did not match any of: {', '.join(allowed)}."))
    return str(status)


def _check_address(mailing_list: MailingList, email: str) -> None:
    key = address_key(email)
    if member_hash(key) in mailing_list.forgotten:
        detail = f"{email} was permanently deleted and cannot be re-imported. The contact must re-subscribe."
        raise Problem(400, "Forgotten Email Not Subscribed", detail)
    if key in mailing_list.fake or key.endswith(".invalid"):
        raise invalid(f"{email} looks fake or invalid, please enter a real email address.")


def _check_compliance(member: Member, status: str) -> None:
    # A person who left may be asked again by email (pending). An address that bounced gets no email.
    bounced = "cleaned" in (member.status, member.status_before)
    if member.opted_out and (status == "subscribed" or (status == "pending" and bounced)):
        detail = f"{member.email} is in a compliance state due to unsubscribe, bounce, or compliance review."
        raise Problem(400, "Member In Compliance State", f"{detail} It cannot be subscribed.")


def _check_rename(mailing_list: MailingList, member: Member, email: str) -> None:
    if member.status != "subscribed":
        raise invalid(_INVALID, ("email_address", "The address of a member that is not subscribed cannot be changed."))
    if mailing_list.find(email) is not None:
        raise _exists(email)
    _check_address(mailing_list, email)


def _exists(email: str) -> Problem:
    detail = f"{email} is already a list member. Use PUT to insert or update list members."
    return Problem(400, "Member Exists", detail)
