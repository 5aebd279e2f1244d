"""Which customer field or attribute fills which merge field of a list, as its account chose. Does no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from worker.errors import AccountError
from worker.mailchimp.merge_fields import MergeField
from worker.model import AccountId, ListId
from worker.store.accounts import AccountList

DEFAULT: Mapping[str, str] = {
    "FNAME": "first_name",
    "LNAME": "last_name",
    "COMPANY": "company",
    "PHONE": "phone",
    "ADDRESS": "address",
}
"""Merge tag to the customer field that fills it, unless the account chose otherwise."""
CUSTOMER_FIELDS = tuple(DEFAULT.values())
NOTHING = ""
"""The source of a merge field that is not filled."""
MOST_FIELDS = 100
LONGEST_NAME = 64
"""Characters of an attribute name. Source: the event contract."""
_TEXTS = ("text", "radio", "dropdown")
_TAKEN_BY = {
    "first_name": _TEXTS,
    "last_name": _TEXTS,
    "company": _TEXTS,
    "phone": ("phone", "text"),
    "address": ("address", "text"),
}
"""A customer field to the types of merge fields that can take it. Attributes fit any type but an address."""


@dataclass(frozen=True, slots=True)
class MappedField:
    """A merge field of a list, or a tag that the list does not have, and its source.

    Attributes:
        field: None if the list does not have it.
        source: a customer field or an attribute; None for nothing.
        chosen: whether the account chose the source.
    """

    tag: str
    field: MergeField | None
    source: str | None
    chosen: bool


def mapping_of(on_list: AccountList | None) -> dict[str, str]:
    """Returns merge tag to customer field or attribute."""
    chosen = (on_list.merge_fields or {}) if on_list is not None else {}
    return {tag: source for tag, source in {**DEFAULT, **chosen}.items() if source != NOTHING}


def mapped(on_list: AccountList, available: Iterable[MergeField]) -> list[MappedField]:
    """Returns every merge field of a list with its source, then the mapped tags that the list does not have."""
    by_tag = {field.tag: field for field in available}
    mapping, chosen = mapping_of(on_list), on_list.merge_fields or {}
    tags = dict.fromkeys([*by_tag, *mapping])
    return [MappedField(tag, by_tag.get(tag), mapping.get(tag), tag in chosen) for tag in tags]


def unfit(source: str, field: MergeField) -> str | None:
    """Returns why a merge field cannot take a customer field or an attribute; None if it can."""
    taken_by = _TAKEN_BY.get(source)
    if taken_by is not None and field.type not in taken_by:
        return f"{source} goes to fields of the type {' or '.join(taken_by)}; {field.tag} is {field.type}"
    if taken_by is None and field.type == "address":
        return f"an attribute cannot fill {field.tag}, which takes a whole address"
    return None


def checked(
    account_id: AccountId, list_id: ListId, chosen: Mapping[str, str], available: Sequence[MergeField]
) -> dict[str, str]:
    """Returns what an account chose, without what the default says anyway.

    Args:
        chosen: merge tag to source; NOTHING for a tag that is not filled.
        available: the merge fields of the list.

    Raises:
        AccountError: the list has no such field, its type does not take the source, or there are too many.
    """
    by_tag = {field.tag: field for field in available}
    if len(chosen) > MOST_FIELDS:
        raise AccountError(f"At most {MOST_FIELDS} merge fields can be chosen for a list.", "Choose fewer.")
    for tag, source in chosen.items():
        if source == NOTHING:
            continue
        if len(source) > LONGEST_NAME:
            raise AccountError(
                f"{source[:LONGEST_NAME]}… is longer than an attribute's name can be.",
                f"An attribute's name has at most {LONGEST_NAME} characters.",
            )
        if tag not in by_tag:
            tags = ", ".join(f"{field.tag} ({field.type})" for field in available)
            raise AccountError(
                f"List {list_id} has no merge field {tag}.",
                f"It has {tags}. Add one in Mailchimp, or see what goes where: "
                f"mailchimp-worker lists map {account_id} {list_id}",
            )
        if (why := unfit(source, by_tag[tag])) is not None:
            raise AccountError(f"{tag}={source} does not fit: {why}.", "Choose another merge field or attribute.")
    return {tag: source for tag, source in chosen.items() if source != DEFAULT.get(tag, NOTHING)}
