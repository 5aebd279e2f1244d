"""What a customer looks like as merge fields of a list, and which of them a member still needs."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.mailchimp.merge_fields import NAME_TAGS, MergeField
from worker.model import CustomerState, ListId, PostalAddress
from worker.store.runs import LeftOut

ADDRESS = "ADDRESS"
MAX_TEXT = 255
"""Characters that a text field takes. Source: Mailchimp's limits for merge fields."""

NO_SUCH_FIELD = "this list has no such field"
CUT = "cut to"


@dataclass(frozen=True, slots=True)
class Fields:
    """A customer's merge fields on one list.

    Attributes:
        values: merge tag to the value to send.
        left_out: merge tag to why its value is not sent as billmywork has it.
        state_filled_in: what is sent as the state of the address, where billmywork has none; else None.
    """

    values: Mapping[str, Any]
    left_out: Mapping[str, str]
    state_filled_in: str | None = None


def merge_fields(state: CustomerState, available: Iterable[MergeField], state_if_missing: str) -> Fields:
    """Returns what to send of a customer to a list that has the given merge fields.

    Empty values are never sent: a field that somebody filled in Mailchimp stays.

    Args:
        state_if_missing: what to send as the state of an address without one; empty leaves the address out.
    """
    on_list = {field.tag: field for field in available}
    values: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    filled_in = None
    for tag, value in (
        *zip(NAME_TAGS, (_text(state.first_name), _text(state.last_name)), strict=True),
        ("COMPANY", _text(state.company)),
        ("PHONE", _text(state.phone)),
        (ADDRESS, state.address),
    ):
        if not value:
            continue
        field = on_list.get(tag)
        if field is None:
            left_out[tag] = NO_SUCH_FIELD
        elif isinstance(value, PostalAddress):
            filled_in = _put_address(field, value, state_if_missing, values, left_out)
        elif field.type == "phone" and field.phone_format == "US":
            _put_us_phone(value, values, left_out)
        else:
            values[tag] = value[:MAX_TEXT]
            if len(value) > MAX_TEXT:
                left_out[tag] = f"{CUT} {MAX_TEXT} characters"
    return Fields(values, left_out, filled_in)


@dataclass(slots=True)
class LeftOutCounts:
    """Counts what is left out, contact by contact."""

    _written: Counter[ListId] = field(default_factory=Counter)
    _fields: Counter[tuple[ListId, str, str]] = field(default_factory=Counter)

    def count(self, list_id: ListId, left_out: Mapping[str, str]) -> None:
        """Counts one contact.

        Args:
            list_id: where it is written.
            left_out: merge tag to the reason.
        """
        self._written[list_id] += 1
        self._fields.update((list_id, tag, reason) for tag, reason in left_out.items())

    def __add__(self, other: LeftOutCounts) -> LeftOutCounts:
        return LeftOutCounts(self._written + other._written, self._fields + other._fields)

    def found(self) -> tuple[LeftOut, ...]:
        """Returns what was left out, list by list, the most frequent first."""
        rows = sorted(self._fields.items(), key=lambda one: (one[0][0], -one[1], one[0]))
        return tuple(LeftOut(*key, count, self._written[key[0]]) for key, count in rows)


def hashes(values: Mapping[str, Any]) -> dict[str, str]:
    """Returns a short hash of each value: enough to tell a change, too little to tell a person."""
    return {tag: _hash(value) for tag, value in values.items()}


def changes(values: Mapping[str, Any], sent: Mapping[str, str], available: Iterable[MergeField]) -> dict[str, Any]:
    """Returns only what a member still needs: values that differ from what was sent, and "" for what is no more.

    Args:
        sent: hashes of what was sent last; a tag that is absent was never filled from here, so it is never cleared.
        available: the list's fields; one that the list no longer has is not cleared.
    """
    on_list = {field.tag for field in available}
    changed = {tag: value for tag, value in values.items() if sent.get(tag) != _hash(value)}
    cleared = {tag: "" for tag in sent if tag not in values and tag in on_list}
    return changed | cleared


def sent_after(sent: Mapping[str, str], changed: Mapping[str, Any]) -> dict[str, str]:
    """Returns the hashes to keep once the changes were sent: a cleared field counts as never filled."""
    now = dict(sent) | hashes(changed)
    return {tag: value for tag, value in now.items() if changed.get(tag) != ""}


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _text(value: str | None) -> str:
    return (value or "").strip()


def _put_address(
    field: MergeField,
    address: PostalAddress,
    state_if_missing: str,
    values: dict[str, Any],
    left_out: dict[str, str],
) -> str | None:
    """Puts the address where it belongs; returns the state that was filled in, if one was."""
    parts = {
        "addr1": _text(address.line1),
        "addr2": _text(address.line2),
        "city": _text(address.city),
        "state": _text(address.state),
        "zip": _text(address.postcode),
        "country": _text(address.country),
    }
    if not any(parts.values()):
        return None
    if field.type != "address":
        values[field.tag] = ", ".join(part for part in parts.values() if part)[:MAX_TEXT]
        return None
    filled_in = None if parts["state"] or not state_if_missing else state_if_missing
    parts["state"] = parts["state"] or state_if_missing
    # Mailchimp takes an address only whole. British ones seldom have a county, which is their state.
    lacking = [name for part, name in _NEEDED.items() if not parts[part]]
    if lacking:
        left_out[field.tag] = f"no {', '.join(lacking)}"
        return None
    values[field.tag] = {name: part for name, part in parts.items() if part}
    return filled_in


_NEEDED = {"addr1": "line1", "city": "city", "state": "state", "zip": "postcode"}
"""Parts of an address that Mailchimp needs, with their names in events."""


def _put_us_phone(phone: str, values: dict[str, Any], left_out: dict[str, str]) -> None:
    digits = re.sub(r"\D", "", phone)
    if len(digits) == 11 and digits.startswith("1"):
        digits = digits[1:]
    if len(digits) == 10:
        values["PHONE"] = f"{digits[:3]}-{digits[3:6]}-{digits[6:]}"
    else:
        left_out["PHONE"] = "the list's field takes US telephone numbers only"
