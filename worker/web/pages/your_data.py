"""Which customer details fill which fields of a list, what is not sent, and what to do about it. Does no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from worker.fields import field_values
from worker.fields.field_mapping import mapping_of
from worker.fields.field_values import CUT
from worker.fields.merge_values import NO_SUCH_FIELD
from worker.store.accounts import AccountSettings
from worker.store.runs import LeftOut

DETAILS: Mapping[str, str] = {
    "first_name": "First name",
    "last_name": "Last name",
    "company": "Company",
    "phone": "Phone number",
    "address": "Address",
}
"""A customer field, as billmywork calls it."""
_KINDS = {"PHONE": "phone", "ADDRESS": "address"}
"""The type of field to add in Mailchimp if a list has none; otherwise text."""


@dataclass(frozen=True, slots=True)
class Field:
    """A customer detail, and the merge field that it fills.

    Attributes:
        detail: as billmywork calls it.
        tag: Mailchimp's merge tag.
        only_on: names of the lists to which this applies; empty for all lists in use.
    """

    detail: str
    tag: str
    only_on: tuple[str, ...] = ()


def detail_of(source: str) -> str:
    """Returns the name of a customer field or an attribute on the page."""
    return DETAILS.get(source, f"“{source}”")


def fields_of(settings: AccountSettings) -> list[Field]:
    """Returns which details fill which fields of the lists in use."""
    stored = [one for one in settings.stored if not one.gone]
    found: dict[tuple[str, str], list[str]] = {}
    for on_list in stored:
        for tag, source in mapping_of(on_list).items():
            found.setdefault((tag, source), []).append(on_list.name)
    if not stored:
        found = {(tag, source): [] for tag, source in mapping_of(None).items()}
    rows = [
        Field(detail_of(source), tag, () if len(names) == len(stored) else tuple(names))
        for (tag, source), names in found.items()
    ]
    return [Field("Email address", "EMAIL"), *rows]


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
    source = mapping_of(known).get(one.field)
    detail = detail_of(source) if source is not None else one.field
    share = f"{one.contacts:,} of {one.of:,} people"
    if one.reason == NO_SUCH_FIELD:
        return NotSent(
            one.field,
            where,
            f"{detail} was not sent for {share}: your list has no field {one.field}.",
            f"Add a field of the type {_KINDS.get(one.field, 'text')} with the tag {one.field} in Mailchimp.",
        )
    if one.reason.startswith(CUT):
        return NotSent(
            one.field,
            where,
            f"{detail} was shortened for {share}: Mailchimp takes 255 characters.",
            "Shorten it in billmywork if the end of it matters.",
        )
    if one.reason == field_values.US_NUMBERS_ONLY:
        return NotSent(
            one.field,
            where,
            f"{detail} was not sent for {share}: the field on your list takes US numbers only.",
            "Set the phone format of the field to International in Mailchimp.",
        )
    if one.reason.startswith("no "):
        lacking = " and ".join(_NAMES.get(part, part) for part in one.reason.removeprefix("no ").split(", "))
        return NotSent(
            one.field,
            where,
            f"{detail} was not sent for {share}: it has no {lacking}.",
            "Complete these addresses in billmywork. Mailchimp takes whole addresses only.",
        )
    return NotSent(
        one.field,
        where,
        f"{detail} was not sent for {share}: {one.reason}.",
        _ADVICE.get(one.reason, "Check it in Mailchimp."),
    )


_CORRECT = "Correct it in billmywork, or choose another field for it."
_ADVICE: Mapping[str, str] = {
    field_values.NO_NUMBER: _CORRECT,
    field_values.NO_DATE: _CORRECT,
    field_values.NO_BIRTHDAY: _CORRECT,
    field_values.NO_URL: _CORRECT,
    field_values.TOO_LONG: _CORRECT,
    field_values.NO_CHOICE: "Add the choice to the field in Mailchimp, or correct it in billmywork.",
    field_values.NO_ZIP: "Choose a field of the type text for it: Mailchimp's ZIP fields take American codes only.",
    field_values.NO_ADDRESS: "Choose a field of the type text for it.",
}
