"""Which details of a customer go to which field of a list, what is not sent, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from worker.flush.field_values import CUT
from worker.flush.merge_values import NO_SUCH_FIELD
from worker.store.accounts import AccountSettings
from worker.store.runs import LeftOut


@dataclass(frozen=True, slots=True)
class Field:
    """A detail of a customer, and the field of a Mailchimp list that gets it.

    Attributes:
        detail: as billmywork calls it.
        tag: Mailchimp's merge tag.
        kind: the type of field to add in Mailchimp where a list has none.
    """

    detail: str
    tag: str
    kind: str


FIELDS = (
    Field("Email address", "EMAIL", "email"),
    Field("First name", "FNAME", "text"),
    Field("Last name", "LNAME", "text"),
    Field("Company", "COMPANY", "text"),
    Field("Phone number", "PHONE", "phone"),
    Field("Address", "ADDRESS", "address"),
)
_NAMES = {"line1": "street", "city": "town", "state": "county or state", "postcode": "postcode"}


@dataclass(frozen=True, slots=True)
class NotSent:
    """A detail that did not reach a list.

    Attributes:
        where: the list's name.
        what: what was not sent, for how many, and why.
        advice: what to do.
    """

    tag: str
    where: str
    what: str
    advice: str


def not_sent(found: Iterable[LeftOut], settings: AccountSettings) -> list[NotSent]:
    """Returns what the last sync did not send, list by list."""
    return [_told(one, settings) for one in found]


def _told(one: LeftOut, settings: AccountSettings) -> NotSent:
    known = settings.list_of(one.list_id)
    where = known.name if known is not None else str(one.list_id)
    field = next((each for each in FIELDS if each.tag == one.field), Field(one.field, one.field, "text"))
    share = f"{one.contacts:,} of {one.of:,} people"
    if one.reason == NO_SUCH_FIELD:
        return NotSent(
            one.field,
            where,
            f"{field.detail} was not sent for {share}: your list has no field {one.field}.",
            f"Add a field of the type {field.kind} with the tag {one.field} in Mailchimp.",
        )
    if one.reason.startswith(CUT):
        return NotSent(
            one.field,
            where,
            f"{field.detail} was shortened for {share}: Mailchimp takes 255 characters.",
            "Shorten it in billmywork if the end of it matters.",
        )
    if one.field == "PHONE":
        return NotSent(
            one.field,
            where,
            f"{field.detail} was not sent for {share}: the field on your list takes US numbers only.",
            "Set the phone format of the field to International in Mailchimp.",
        )
    if one.field == "ADDRESS" and one.reason.startswith("no "):
        lacking = " and ".join(_NAMES.get(part, part) for part in one.reason.removeprefix("no ").split(", "))
        return NotSent(
            one.field,
            where,
            f"{field.detail} was not sent for {share}: it has no {lacking}.",
            "Complete these addresses in billmywork. Mailchimp takes whole addresses only.",
        )
    return NotSent(
        one.field, where, f"{field.detail} was not sent for {share}: {one.reason}.", "Check it in Mailchimp."
    )
