"""Converts a value to the type of a merge field, or says why it cannot. Does no I/O.

Source of the forms: Mailchimp's documentation of merge fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from worker.clock import as_moment
from worker.mailchimp.merge_fields import MergeField
from worker.model import AttributeValue

MAX_TEXT = 255
"""Characters that fit a text field. Source: Mailchimp's limits for merge fields."""
CUT = "cut to"
US_NUMBERS_ONLY = "the list's field takes US telephone numbers only"
NO_NUMBER = "it is not a number"
NO_DATE = "it is not a date such as 2026-05-03"
NO_BIRTHDAY = "it is neither a day such as 05/03 (month/day) nor a date"
NO_URL = "it is not a URL that begins with http:// or https://"
NO_ZIP = "the list's field takes US ZIP codes only"
NO_CHOICE = "it is not one of the field's choices"
NO_ADDRESS = "the list's field takes a whole address only"
TOO_LONG = f"it is longer than {MAX_TEXT} characters"

_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,15})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MONTH_DAY = re.compile(r"(?:--)?([0-9]{2})[/-]([0-9]{2})")
_ZIP = re.compile(r"[0-9]{5}(?:-[0-9]{4})?")
_LEAP_YEAR = 2000


@dataclass(frozen=True, slots=True)
class Formed:
    """A converted value.

    Attributes:
        value: what to send; None to send nothing.
        reason: why it is not sent as billmywork has it; None if it is.
    """

    value: Any
    reason: str | None = None


def formed(field: MergeField, value: AttributeValue) -> Formed:
    """Converts a non-empty value for a merge field."""
    form = _FORMS.get(field.type)
    return form(field, value) if form is not None else _text(as_text(value))


def every_form(value: AttributeValue) -> Iterator[Any]:
    """Yields a non-empty value in each form that some merge field takes, the most usual first.

    For a list whose fields are unknown. Of choices that differ in case, only the usual ones.
    """
    text, yielded = as_text(value), set[tuple[str, Any]]()
    fields = [MergeField("", kind) for kind in ("text", *_FORMS)] + [MergeField("", "phone", phone_format="US")]
    spelled = (text.lower(), text.upper(), text.capitalize(), text.title())
    for form in (*(formed(field, value).value for field in fields), *(spelling[:MAX_TEXT] for spelling in spelled)):
        if form is not None and (type(form).__name__, form) not in yielded:
            yielded.add((type(form).__name__, form))
            yield form


def as_text(value: AttributeValue) -> str:
    """Returns a value as text; an integral number without a fraction."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _text(text: str) -> Formed:
    return Formed(text[:MAX_TEXT], f"{CUT} {MAX_TEXT} characters" if len(text) > MAX_TEXT else None)


def _number(field: MergeField, value: AttributeValue) -> Formed:
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            return Formed(None, NO_NUMBER)
        value = float(value)
    return Formed(int(value) if float(value).is_integer() else value)


def _date(field: MergeField, value: AttributeValue) -> Formed:
    day = _day(value)
    return Formed(day.isoformat()) if day is not None else Formed(None, NO_DATE)


def _birthday(field: MergeField, value: AttributeValue) -> Formed:
    day, match = _day(value), _MONTH_DAY.fullmatch(as_text(value))
    if day is None and match is not None:
        day = _date_of(f"{_LEAP_YEAR}-{match[1]}-{match[2]}")
    return Formed(f"{day:%m/%d}") if day is not None else Formed(None, NO_BIRTHDAY)


def _day(value: AttributeValue) -> date | None:
    # A time keeps its local date.
    text = as_text(value)
    if len(text) > len("2026-05-03"):
        try:
            as_moment(text)
        except (ValueError, OverflowError):
            return None
    return _date_of(text[: len("2026-05-03")])


def _date_of(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        return None


def _url(field: MergeField, value: AttributeValue) -> Formed:
    text = as_text(value)
    if len(text) > MAX_TEXT:
        return Formed(None, TOO_LONG)
    try:
        parts = urlsplit(text)
        good = parts.scheme.lower() in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    return Formed(text) if good and not re.search(r"\s", text) else Formed(None, NO_URL)


def _zip(field: MergeField, value: AttributeValue) -> Formed:
    text = as_text(value)
    return Formed(text) if _ZIP.fullmatch(text) else Formed(None, NO_ZIP)


def _choice(field: MergeField, value: AttributeValue) -> Formed:
    text = as_text(value)
    if not field.choices or text in field.choices:
        return _text(text)
    matching = [choice for choice in field.choices if choice.casefold() == text.casefold()]
    return Formed(matching[0]) if len(matching) == 1 else Formed(None, NO_CHOICE)


def _phone(field: MergeField, value: AttributeValue) -> Formed:
    text = as_text(value)
    if field.phone_format != "US":
        return _text(text)
    digits = re.sub(r"\D", "", text)
    if len(digits) == 11 and digits.startswith("1"):
        digits = digits[1:]
    if len(digits) != 10:
        return Formed(None, US_NUMBERS_ONLY)
    return Formed(f"{digits[:3]}-{digits[3:6]}-{digits[6:]}")


def _address(field: MergeField, value: AttributeValue) -> Formed:
    return Formed(None, NO_ADDRESS)


_FORMS: Mapping[str, Callable[[MergeField, AttributeValue], Formed]] = {
    "number": _number,
    "date": _date,
    "birthday": _birthday,
    "url": _url,
    "imageurl": _url,
    "zip": _zip,
    "radio": _choice,
    "dropdown": _choice,
    "phone": _phone,
    "address": _address,
}
"""By the type of the merge field; any other type is text."""
