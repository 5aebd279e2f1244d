"""Merge fields of the stand-in's lists, and the values that they accept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.sandbox.errors import invalid

MAX_TEXT = 255
MAX_TAG = 10
KINDS = (
    "text", "number", "address", "phone", "date", "url", "imageurl", "radio", "dropdown", "birthday", "zip",
)  # fmt: skip
"""Source: the enumeration of Mailchimp's API description."""
_US_PHONE = re.compile(r"\d{3}-\d{3}-\d{4}")
_DAY = r"(0[1-9]|[12]\d|3[01])"
_MONTH = r"(0[1-9]|1[0-2])"
_FORMS = {
    "date": (re.compile(rf"\d{{4}}-{_MONTH}-{_DAY}"), "Please enter a valid date."),
    "birthday": (re.compile(rf"{_MONTH}/{_DAY}"), "Please enter a month (01-12) and a day (01-31)."),
    "url": (re.compile(r"(?i)https?://\S+"), "Please enter a valid URL."),
    "imageurl": (re.compile(r"(?i)https?://\S+"), "Please enter a valid URL."),
    "zip": (re.compile(r"\d{5}(-\d{4})?"), "Please enter a valid US zip code."),
}
"""By type of field: the pattern of valid values, and the message for others."""


@dataclass(frozen=True, slots=True)
class MergeField:
    """A merge field of a list.

    Attributes:
        tag: at most ten characters.
    """

    merge_id: int
    tag: str
    name: str
    kind: str = "text"
    required: bool = False
    phone_format: str = ""
    choices: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, merge_id: int, data: Mapping[str, Any]) -> MergeField:
        """Returns the field that a call or an owner describes. Without a tag, it gets one like Mailchimp's ``MERGE4``.

        Raises:
            Problem: its name, type or tag is not valid.
        """
        name, kind, tag = data.get("name"), data.get("type"), data.get("tag") or f"MERGE{merge_id}"
        options = data.get("options") or {}
        if not isinstance(name, str) or not name:
            raise invalid("Your merge field was invalid.", ("name", "This value should not be blank."))
        if kind not in KINDS:
            raise invalid("Your merge field was invalid.", ("type", "Value is not one of the choices."))
        if not isinstance(tag, str) or len(tag) > MAX_TAG:
            raise invalid("Your merge field was invalid.", ("tag", f"At most {MAX_TAG} characters."))
        return cls(
            merge_id=merge_id,
            tag=tag.upper(),
            name=name,
            kind=kind,
            required=data.get("required") is True,
            phone_format=str(options.get("phone_format") or ""),
            choices=tuple(str(choice) for choice in options.get("choices") or ()),
        )

    def as_json(self, list_id: str) -> dict[str, Any]:
        """Returns the field as in Mailchimp's answers."""
        options: dict[str, Any] = {}
        if self.kind == "text":
            options["size"] = 25
        if self.kind == "phone":
            options["phone_format"] = self.phone_format or "none"
        if self.choices:
            options["choices"] = list(self.choices)
        return {
            "merge_id": self.merge_id,
            "tag": self.tag,
            "name": self.name,
            "type": self.kind,
            "required": self.required,
            "default_value": "",
            "public": False,
            "display_order": self.merge_id + 1,
            "options": options,
            "help_text": "",
            "list_id": list_id,
        }

    def accepted(self, value: Any) -> Any:
        """Returns a value in the form in which Mailchimp stores it.

        Raises:
            Problem: the value is not valid; names the field.
        """
        if value is None or value == "":
            return ""
        if self.kind == "address":
            return self._address(value)
        if isinstance(value, Mapping | list):
            raise self._refused("This value should be a text.")
        if self.kind == "number":
            return self._number(value)
        text = str(value)
        form = _FORMS.get(self.kind)
        if form is not None and not form[0].fullmatch(text):
            raise self._refused(form[1])
        if self.kind == "phone" and self.phone_format == "US" and not _US_PHONE.fullmatch(text):
            raise self._refused("Please enter a valid US phone number: NPA-NXX-LINE.")
        if len(text) > MAX_TEXT:
            raise self._refused(f"This value is too long, at most {MAX_TEXT} characters.")
        if self.choices and text not in self.choices:
            raise self._refused("This value is none of the choices.")
        return text

    def _number(self, value: Any) -> Any:
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise self._refused("Please enter a number.") from error
        return int(number) if number.is_integer() else number

    def _address(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise self._refused("Please enter a complete address.")
        if any(not str(value.get(part) or "").strip() for part in ("addr1", "city", "state", "zip")):
            raise self._refused("Please enter a complete address.")
        parts = ("addr1", "addr2", "city", "state", "zip", "country")
        return {part: str(value.get(part) or "") for part in parts}

    def _refused(self, message: str) -> Exception:
        return invalid("Your merge fields were invalid.", (self.tag, message))


def merged(
    fields: Mapping[str, MergeField], before: Mapping[str, Any], values: Any, *, validate_required: bool
) -> dict[str, Any]:
    """Returns a member's values after a write. Ignores values for fields that the list lacks, as Mailchimp does.

    Args:
        validate_required: whether a required field without a value is refused.

    Raises:
        Problem: a value is not valid; names the field.
    """
    if values is None:
        values = {}
    if not isinstance(values, Mapping):
        raise invalid("Your merge fields were invalid.", ("merge_fields", "Schema describes object"))
    after = {tag: before.get(tag, "") for tag in fields}
    for tag, value in values.items():
        if tag in fields:
            after[tag] = fields[tag].accepted(value)
    if validate_required:
        for tag, field in fields.items():
            if field.required and after[tag] == "":
                raise invalid("Your merge fields were invalid.", (tag, "Please enter a value"))
    return after
