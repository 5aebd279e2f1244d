"""The batch add, POST /lists/{id}: adds or refuses each of its contacts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.mailchimp.answers import Answer
from worker.sandbox.contact import Author, create, email_of, status_of, update
from worker.sandbox.errors import Problem, invalid
from worker.sandbox.mailing_list import MailingList
from worker.sandbox.member import Member, address_key

MOST = 500
"""Contacts in one call. Source: Mailchimp's API description."""

_INVALID = "The resource submitted could not be validated. For field-specific details, see the 'errors' array."


def add_all(mailing_list: MailingList, body: Mapping[str, Any], by: Author, *, skip_duplicates: bool = False) -> Answer:
    """Adds the contacts of a request body. Restores archived members, as Mailchimp must be assumed to do.

    Args:
        skip_duplicates: whether an address that is repeated in the call is ignored.

    Raises:
        Problem: the whole call is refused.
    """
    contacts = body.get("members")
    if not isinstance(contacts, list) or not all(isinstance(contact, Mapping) for contact in contacts):
        raise invalid(_INVALID, ("members", "Schema describes array of objects."))
    if len(contacts) > MOST:
        raise invalid(_INVALID, ("members", f"At most {MOST} items."))
    if mailing_list.refuses is not None:
        raise Problem(400, mailing_list.refuses, "This list takes nobody.")
    result = _BatchResult()
    addresses: set[str] = set()
    for contact in contacts:
        key = address_key(str(contact.get("email_address")))
        if not (skip_duplicates and key in addresses):
            result.add(mailing_list, contact, by, update_existing=body.get("update_existing") is True)
        addresses.add(key)
    return result.answer()


@dataclass(slots=True)
class _BatchResult:
    """The contacts that were added, updated and refused so far."""

    new: list[Member] = field(default_factory=list)
    updated: list[Member] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)

    def add(self, mailing_list: MailingList, contact: Mapping[str, Any], by: Author, *, update_existing: bool) -> None:
        try:
            email, status = email_of(contact), status_of(contact, "status")
            member = mailing_list.find(email)
            if member is None or member.status == "archived":
                self.new.append(create(mailing_list, email, status, contact, by))
            elif update_existing:
                self.updated.append(update(mailing_list, member, contact, by, status=status))
            else:
                detail = f"{email} is already a list member, do you want to update? please provide update_existing:true"
                self._refuse(contact, "ERROR_CONTACT_EXISTS", detail)
        except Problem as problem:
            field, message = problem.errors[0] if problem.errors else ("", "")
            error_data = "email address" if field == "email_address" else field
            self._refuse(contact, "ERROR_GENERIC", problem.detail, error_data, message)

    def _refuse(self, contact: Mapping[str, Any], code: str, error: str, field: str = "", message: str = "") -> None:
        error_data = {"error": error, "error_code": code, "field": field, "field_message": message}
        self.errors.append({"email_address": str(contact.get("email_address", "")), **error_data})

    def answer(self) -> Answer:
        return Answer(
            200,
            {
                "new_members": [member.as_batch_json() for member in self.new],
                "updated_members": [member.as_batch_json() for member in self.updated],
                "errors": self.errors,
                "total_created": len(self.new),
                "total_updated": len(self.updated),
                "error_count": len(self.errors),
            },
        )
