"""Which customer details fill which fields of a list, what is not sent, and what to do about it. Does no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from worker.fields import field_values
from worker.fields.field_mapping import mapping_of
from worker.fields.field_values import CUT
from worker.fields.merge_values import NO_SUCH_FIELD
from worker.store.accounts import AccountSettings
from worker.store.runs import LeftOut
from worker.store.sent_fields import Sent
from worker.web.pages.words import list_name

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
    stored = [mapped_list for mapped_list in settings.stored if not mapped_list.gone]
    names_by_field: dict[tuple[str, str], list[str]] = {}
    for on_list in stored:
        for tag, source in mapping_of(on_list).items():
            names_by_field.setdefault((tag, source), []).append(on_list.name)
    if not stored:
        names_by_field = {(tag, source): [] for tag, source in mapping_of(None).items()}
    rows = [
        Field(detail_of(source), tag, () if len(names) == len(stored) else tuple(names))
        for (tag, source), names in names_by_field.items()
    ]
    return [Field("Email address", "EMAIL"), *rows]


class Badge(NamedTuple):
    """Whether a detail reached Mailchimp, in words, with the tone of a badge; "" for no badge."""

    text: str
    tone: str = ""


def badge_of(tag: str, left_out: Sequence[LeftOut], sent: Sent, *, synced: bool) -> Badge:
    """Returns whether a merge field was sent.

    Args:
        left_out: what the last sync did not send as billmywork has it.
        synced: whether there was a sync.
    """
    missed = [row for row in left_out if row.field == tag]
    whole = all(row.contacts == row.of and not row.reason.startswith(CUT) for row in missed)
    if missed and whole and tag not in sent.tags:
        return Badge("not sent", "warn")
    if missed:
        return Badge("partly sent", "warn")
    if tag in sent.tags:
        return Badge("sent", "good")
    if not synced:
        return Badge("no sync yet")
    return Badge("nothing sent" if sent.complete else "sent to few or nobody")


_NAMES = {"line1": "street", "city": "town", "state": "county or state", "postcode": "postcode"}


@dataclass(frozen=True, slots=True)
class NotSent:
    """A detail that did not reach a list.

    Attributes:
        sentence: what was not sent, for how many, and why.
    """

    tag: str
    list_name: str
    sentence: str
    advice: str


def not_sent(row: LeftOut, settings: AccountSettings) -> NotSent:
    """Returns what the last sync did not send to a list."""
    source = mapping_of(settings.list_of(row.list_id)).get(row.field)
    detail = detail_of(source) if source is not None else row.field
    share = f"{row.contacts:,} of {row.of:,} people"
    start, why, advice = f"{detail} was not sent for {share}", row.reason, _ADVICE.get(row.reason)
    if row.reason == NO_SUCH_FIELD:
        why = f"your list has no field {row.field}"
        advice = f"Add a field of the type {_KINDS.get(row.field, 'text')} with the tag {row.field} in Mailchimp."
    elif row.reason.startswith(CUT):
        start, why = f"{detail} was shortened for {share}", "Mailchimp takes 255 characters"
        advice = "Shorten it in billmywork if the end of it matters."
    elif row.reason == field_values.US_NUMBERS_ONLY:
        why = "the field on your list takes US numbers only"
        advice = "Set the phone format of the field to International in Mailchimp."
    elif row.reason.startswith("no "):
        lacking = " and ".join(_NAMES.get(part, part) for part in row.reason.removeprefix("no ").split(", "))
        why = f"it has no {lacking}"
        advice = "Complete these addresses in billmywork. Mailchimp takes whole addresses only."
    return NotSent(row.field, list_name(settings, row.list_id), f"{start}: {why}.", advice or "Check it in Mailchimp.")


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
