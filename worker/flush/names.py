"""Whether a member that was found has the names of its customer. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from worker.flush.identity import continues
from worker.mailchimp.member import Member
from worker.mailchimp.merge_fields import NAME_TAGS
from worker.model import CustomerId
from worker.store.ledger import LedgerEntry


def has_names(values: Mapping[str, Any]) -> bool:
    """Tells whether a customer has a first and a last name.

    Args:
        values: merge tag to what would be sent.
    """
    return all(_normal(values.get(tag)) for tag in NAME_TAGS)


def names_agree(values: Mapping[str, Any], member: Member) -> bool:
    """Tells whether customer and member have both names, and the same ones, whatever their case and spaces.

    Args:
        values: merge tag to what would be sent of the customer.
        member: as it was read before anything was written to it.
    """
    names = [_normal(one) for one in member.names]
    return all(names) and names == [_normal(values.get(tag)) for tag in NAME_TAGS]


def is_first_sight(entry: LedgerEntry | None, member: Member) -> bool:
    """Tells whether nothing was written to a member that was just read: else its names may be those of a write.

    Args:
        entry: what the ledger says of its place.
        member: as it was read.
    """
    if entry is None:
        return True
    return None not in (entry.contact_id, member.contact_id) and entry.contact_id != member.contact_id


def agreed_when_found(entry: LedgerEntry | None, member: Member, owner: CustomerId, values: Mapping[str, Any]) -> bool:
    """Tells whether a found member had its customer's names when it was found.

    Args:
        entry: what the ledger said of its place before it was read.
        member: as it was read, before anything is written to it.
        owner: the customer whose fields it gets.
        values: these fields.
    """
    if entry is None or is_first_sight(entry, member):
        return names_agree(values, member)
    return bool(entry.names_agreed) and entry.customer_id == owner and continues(entry, member)


def _normal(name: object) -> str:
    # Compatibility caseless matching, as Unicode defines it (D146), with single spaces.
    text = unicodedata.normalize("NFKC", name if isinstance(name, str) else "")
    return " ".join(unicodedata.normalize("NFKC", text.casefold()).split())
