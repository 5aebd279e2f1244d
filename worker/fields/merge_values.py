"""Converts a customer to merge fields of a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.fields.field_mapping import CUSTOMER_FIELDS, DEFAULT
from worker.fields.field_values import MAX_TEXT, Formed, every_form, formed
from worker.mailchimp.merge_fields import MergeField
from worker.model import AttributeValue, CustomerState, ListId, PostalAddress
from worker.store.runs import LeftOut

ADDRESS = "ADDRESS"
NO_SUCH_FIELD = "this list has no such field"


@dataclass(frozen=True, slots=True)
class Fields:
    """A customer's merge fields on one list.

    Attributes:
        values: merge tag to the value to send.
        left_out: merge tag to why its value is not sent as billmywork has it.
        state_filled_in: the state sent with the address if billmywork has none; else None.
        available: the list's fields.
    """

    values: Mapping[str, Any]
    left_out: Mapping[str, str]
    state_filled_in: str | None = None
    available: Sequence[MergeField] = field(default=(), repr=False, compare=False)

    def to_send(self, sent: Mapping[str, str]) -> dict[str, Any]:
        """Returns everything to send: the values, and "" for values sent earlier that the customer no longer has.

        Args:
            sent: merge tag to hash of what was sent last.
        """
        return {**self.values, **cleared(self.values, sent, self.available)}


@dataclass(frozen=True, slots=True)
class ListFields:
    """The merge fields of a list, and what fills them.

    Attributes:
        available: the fields; none for a list that is gone.
        state_if_missing: sent as the state of an address without one; if empty, such an address is not sent.
        mapping: merge tag to customer field or attribute.
    """

    available: Sequence[MergeField] = ()
    state_if_missing: str = ""
    mapping: Mapping[str, str] = field(default_factory=lambda: DEFAULT)

    def of(self, state: CustomerState) -> Fields:
        """Returns what to send of a customer to the list.

        Empty values are never sent, so that a field filled in Mailchimp stays.
        """
        on_list = {field.tag: field for field in self.available}
        values: dict[str, Any] = {}
        left_out: dict[str, str] = {}
        filled_in = None
        for tag, source in self.mapping.items():
            value = _value(state, source)
            if not value and value != 0:
                continue
            field = on_list.get(tag)
            if field is None:
                left_out[tag] = NO_SUCH_FIELD
                continue
            if field.type == "text" and isinstance(value, str) and len(value) <= MAX_TEXT:
                values[tag] = value  # the usual case
                continue
            if isinstance(value, PostalAddress):
                form, state_added = _formed_address(field, value, self.state_if_missing)
                filled_in = state_added or filled_in
            else:
                form = formed(field, value)
            if form.value is not None:
                values[tag] = form.value
            if form.reason is not None:
                left_out[tag] = form.reason
        return Fields(values, left_out, filled_in, self.available)


def every_value(state: CustomerState, source: str | None, state_if_missing: str) -> Iterator[Any]:
    """Yields each value that some merge field gets from a customer field or attribute; nothing if that is empty.

    Args:
        source: as in the mapping of a list's fields; None for nothing.
        state_if_missing: as for a list's fields.
    """
    value = _value(state, source) if source is not None else None
    if isinstance(value, PostalAddress):
        for kind in ("address", "text"):
            form, _ = _formed_address(MergeField("", kind), value, state_if_missing)
            if form.value is not None:
                yield form.value
    elif value or value == 0:
        yield from every_form(value)


def _value(state: CustomerState, source: str) -> AttributeValue | PostalAddress | None:
    value = getattr(state, source) if source in CUSTOMER_FIELDS else state.attributes.get(source)
    return _text(value) if isinstance(value, str) else value


@dataclass(slots=True)
class LeftOutCounts:
    """Counts fields that are left out."""

    _written: Counter[ListId] = field(default_factory=Counter)
    _fields: Counter[tuple[ListId, str, str]] = field(default_factory=Counter)

    def count(self, list_id: ListId, left_out: Mapping[str, str]) -> None:
        """Counts one contact.

        Args:
            left_out: merge tag to the reason.
        """
        self._written[list_id] += 1
        for tag, reason in left_out.items():
            self._fields[list_id, tag, reason] += 1

    def copy(self) -> LeftOutCounts:
        """Returns the same counts in a new object."""
        return LeftOutCounts(self._written.copy(), self._fields.copy())

    def rows(self) -> tuple[LeftOut, ...]:
        """Returns what was left out by list, the most frequent first."""
        ordered = sorted(self._fields.items(), key=lambda item: (item[0][0], -item[1], item[0]))
        return tuple(LeftOut(*key, count, self._written[key[0]]) for key, count in ordered)


def cleared(values: Mapping[str, Any], sent: Mapping[str, str], available: Iterable[MergeField]) -> dict[str, str]:
    """Returns "" for each field that this worker filled and that the customer no longer has.

    Args:
        sent: merge tag to hash; an absent tag was never filled by this worker, so it is never cleared.
        available: the list's fields; others are not cleared.
    """
    on_list = {field.tag for field in available}
    return {tag: "" for tag in sent if tag not in values and tag in on_list}


def _text(value: str | None) -> str:
    return (value or "").strip()


def _formed_address(field: MergeField, address: PostalAddress, state_if_missing: str) -> tuple[Formed, str | None]:
    """Converts an address for a merge field; also returns the state that was filled in, or None."""
    parts = {
        "addr1": _text(address.line1),
        "addr2": _text(address.line2),
        "city": _text(address.city),
        "state": _text(address.state),
        "zip": _text(address.postcode),
        "country": _text(address.country),
    }
    if not any(parts.values()):
        return Formed(None), None
    if field.type != "address":
        return Formed(", ".join(part for part in parts.values() if part)[:MAX_TEXT]), None
    filled_in = None if parts["state"] or not state_if_missing else state_if_missing
    parts["state"] = parts["state"] or state_if_missing
    # Mailchimp accepts only complete addresses. British ones seldom have a county, which counts as the state.
    lacking = [name for part, name in _NEEDED.items() if not parts[part]]
    if lacking:
        return Formed(None, f"no {', '.join(lacking)}"), None
    return Formed({name: part for name, part in parts.items() if part}), filled_in


_NEEDED = {"addr1": "line1", "city": "city", "state": "state", "zip": "postcode"}
"""Parts of an address that Mailchimp requires, with their names in events."""
