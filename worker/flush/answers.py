"""Classifies Mailchimp's answers by status, title and field, never by text. Does no I/O.

Source of titles: Mailchimp's published list of API errors. ``detail`` and messages may be localised, titles are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from worker.clock import as_text
from worker.mailchimp.call import Answer
from worker.model import MembershipKey
from worker.store.ledger import LASTING_REFUSALS, CustomerStatus

MEMBER_EXISTS = "Member Exists"
_ADDRESS_FIELDS = frozenset({"email_address", "email address", "EMAIL"})
RETRY_DAYS = (1, 3, 7)
"""Days to wait after a refusal that may be temporary; after the last one it is final."""
SECOND_LOOK = 1.0
"""Seconds to wait before a 404 of a member or a list is believed: parallel writes to a member can cause stray ones."""


class AnswerClass(StrEnum):
    """What an answer means for the contact."""

    DONE = "done"
    EXISTS = "exists"
    """The contact is a member already."""
    NOT_THERE = "not there"
    """404: the member, or its list."""
    NOT_ALLOWED = "not allowed"
    """405: the member's status does not allow it."""
    BAD_ADDRESS = "bad address"
    """Refused until the address changes."""
    BARRED = "barred"
    """Somebody left the list with this address, and only the person can join again."""
    UNCLEAR = "unclear"
    """Refused for a reason that may be temporary: retried after days."""
    FIELD = "field refused"
    """Fields are refused; the answer names them."""
    LATER = "later"
    """The call itself may be fine: it is repeated."""
    AGAIN = "again"
    """Not sent, because the reads that it depends on were too old: they are repeated."""
    ACCOUNT_STOPPED = "account stopped"
    """Mailchimp accepts no call of this account."""


@dataclass(frozen=True, slots=True)
class ClassifiedAnswer:
    """A classified answer.

    Attributes:
        title: Mailchimp's title, an error code, or why there is no answer.
        fields: the refused merge tags.
    """

    kind: AnswerClass
    title: str
    fields: tuple[str, ...] = ()


UNREADABLE = ClassifiedAnswer(AnswerClass.LATER, "an answer that cannot be read")
"""A 2xx without what Mailchimp documents: it settles nothing."""


def classify(answer: Answer) -> ClassifiedAnswer:
    """Classifies the answer to a call for one contact, or the refusal of a whole call."""
    status, title = answer.status, answer.title
    if answer.failure == "stale":
        return ClassifiedAnswer(AnswerClass.AGAIN, "it could not be sent soon enough after the read")
    if status is None:
        return ClassifiedAnswer(AnswerClass.LATER, answer.reason or answer.failure or "no answer")
    if answer.ok:
        return ClassifiedAnswer(AnswerClass.DONE, "OK")
    if status == 401 or (status == 403 and answer.body is not None):
        return ClassifiedAnswer(AnswerClass.ACCOUNT_STOPPED, title or f"HTTP {status}")
    # A 404 without Mailchimp's JSON says nothing about a member: parallel writes and load balancers cause such.
    if status in (403, 408, 425, 429) or status >= 500 or status < 400 or (status == 404 and answer.body is None):
        return ClassifiedAnswer(AnswerClass.LATER, title or f"HTTP {status}")
    if status == 404:
        return ClassifiedAnswer(AnswerClass.NOT_THERE, title or "HTTP 404")
    if status == 405:
        return ClassifiedAnswer(AnswerClass.NOT_ALLOWED, title or "HTTP 405")
    return _refusal(title or f"HTTP {status}", _fields(answer.body))


def classify_empty(answer: Answer) -> ClassifiedAnswer:
    """Classifies the answer to an archive or to tags, which Mailchimp documents as 204 without content.

    Another 2xx, such as the sign-in page of a proxy, comes from somebody in between.
    """
    return UNREADABLE if answer.ok and not answer.empty else classify(answer)


def sort_contact_error(error: Mapping[str, Any]) -> ClassifiedAnswer:
    """Classifies one of the ``errors`` in the answer to a batch POST.

    One without a field is UNCLEAR: only the answer to a call for that contact alone has a title.
    """
    if error.get("error_code") == "ERROR_CONTACT_EXISTS":
        return ClassifiedAnswer(AnswerClass.EXISTS, "ERROR_CONTACT_EXISTS")
    field = error.get("field")
    title = str(error.get("error_code") or "ERROR_GENERIC")
    return _refusal(title, (field,) if isinstance(field, str) and field else ())


def _refusal(title: str, fields: tuple[str, ...]) -> ClassifiedAnswer:
    if title == MEMBER_EXISTS:
        return ClassifiedAnswer(AnswerClass.EXISTS, title)
    if title in LASTING_REFUSALS:
        return ClassifiedAnswer(AnswerClass.BARRED, title)
    if any(field in _ADDRESS_FIELDS for field in fields):
        return ClassifiedAnswer(AnswerClass.BAD_ADDRESS, title)
    if fields:
        return ClassifiedAnswer(AnswerClass.FIELD, title, fields)
    return ClassifiedAnswer(AnswerClass.UNCLEAR, title)


def _fields(body: Mapping[str, Any] | None) -> tuple[str, ...]:
    errors = (body or {}).get("errors")
    named = [error.get("field") for error in errors if isinstance(error, Mapping)] if isinstance(errors, list) else []
    # A part of an address is named like ADDRESS.addr1; the merge tag comes first.
    return tuple(dict.fromkeys(name.split(".")[0] for name in named if isinstance(name, str) and name))


def customer_status_after(
    classified: ClassifiedAnswer, customer_status: CustomerStatus, place: MembershipKey, now: datetime
) -> CustomerStatus:
    """Returns the customer's status after a refusal.

    Args:
        classified: BAD_ADDRESS, BARRED or UNCLEAR.
        place: that was refused. A customer known nowhere else is known there if somebody left it.

    Returns:
        final, or with a time to retry after 1, 3 and 7 days. Never final at the first refusal for a title that does not
        say so by itself.
    """
    address, attempts, retry_at = place.address, 0, None
    if classified.kind is AnswerClass.UNCLEAR:
        same = customer_status.refused_address == address
        attempts = (customer_status.attempts if same else 0) + 1
        retry_at = as_text(now + timedelta(days=RETRY_DAYS[attempts - 1])) if attempts <= len(RETRY_DAYS) else None
    return CustomerStatus(
        customer_id=customer_status.customer_id,
        membership=customer_status.membership or (place if classified.kind is AnswerClass.BARRED else None),
        refusal=classified.title,
        refused_address=address,
        attempts=attempts,
        retry_at=retry_at,
    )
