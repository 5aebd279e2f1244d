"""Compares a customer's names with those of a member that was there before."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from worker.mailchimp.answers import NAME_TAGS, Member


def has_names(values: Mapping[str, Any]) -> bool:
    """Returns whether a customer has a first and a last name."""
    return all(_normal(values.get(tag)) for tag in NAME_TAGS)


def names_agree(values: Mapping[str, Any], member: Member) -> bool:
    """Returns whether customer and member both have the same first and last name, ignoring case and spacing."""
    names = [_normal(name) for name in member.names]
    return all(names) and names == [_normal(values.get(tag)) for tag in NAME_TAGS]


def _normal(name: object) -> str:
    # Compatibility caseless matching, as Unicode defines it (D146), with single spaces.
    text = unicodedata.normalize("NFKC", name if isinstance(name, str) else "")
    return " ".join(unicodedata.normalize("NFKC", text.casefold()).split())
