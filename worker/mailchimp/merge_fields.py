"""The merge fields of a list: the fields of its members in addition to the address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import Sender
from worker.mailchimp.paging import garbled, read_all
from worker.model import ListId

_PARTS = ("tag", "name", "type", "required", "options")
_QUERY = {"fields": ",".join((*(f"merge_fields.{part}" for part in _PARTS), "total_items"))}


@dataclass(frozen=True, slots=True)
class MergeField:
    """A merge field of a list.

    Attributes:
        tag: its merge tag, such as FNAME.
        type: text, number, address, phone, date, url, imageurl, radio, dropdown, birthday or zip.
        required: whether Mailchimp refuses contacts without it, unless validation is skipped.
        phone_format: of a phone field: US for NPA-NXX-LINE only; None if Mailchimp does not say.
        choices: of a radio or dropdown field.
        size: of a text field: its width on forms in characters; None if Mailchimp does not say.
    """

    tag: str
    type: str
    name: str = ""
    required: bool = False
    phone_format: str | None = None
    choices: tuple[str, ...] = ()
    size: int | None = None


def merge_fields(sender: Sender, list_id: ListId) -> tuple[MergeField, ...] | Answer:
    """Returns every merge field of the list, or the failed answer (see :func:`paging.read_all`).

    A 404 means that the list no longer exists.
    """
    objects = read_all(sender, f"/lists/{list_id}/merge-fields", "merge_fields", _QUERY)
    if isinstance(objects, Answer):
        return objects
    fields = [_field(body) for body in objects]
    whole = tuple(field for field in fields if field is not None)
    return whole if len(whole) == len(fields) else garbled(Answer(200))


def _field(body: Mapping[str, Any]) -> MergeField | None:
    tag, kind, name = body.get("tag"), body.get("type"), body.get("name")
    if not isinstance(tag, str) or not tag or not isinstance(kind, str):
        return None
    options = body.get("options")
    options = options if isinstance(options, dict) else {}
    phone_format, choices, size = options.get("phone_format"), options.get("choices"), options.get("size")
    return MergeField(
        tag=tag,
        type=kind,
        name=name if isinstance(name, str) else "",
        required=body.get("required") is True,
        phone_format=phone_format if isinstance(phone_format, str) and phone_format else None,
        choices=tuple(str(choice) for choice in choices) if isinstance(choices, list) else (),
        size=size if isinstance(size, int) else None,
    )
