"""What an answer of Mailchimp means: one pure function sorts every one, by status, title and field, never by text.

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
from worker.model import AddressKey
from worker.store.ledger import FOR_THE_CUSTOMER, CustomerStatus

MEMBER_EXISTS = "Member Exists"
_ADDRESS_FIELDS = frozenset({"email_address", "email address", "EMAIL"})
RETRY_DAYS = (1, 3, 7)
"""Days to wait after a refusal that may pass; after the last it is final."""


class AnswerClass(StrEnum):
    """The classes of answers."""

    DONE = "done"
    EXISTS = "exists"
    """The contact is a member already."""
    NOT_THERE = "not there"
    """404: the member, or its list."""
    NOT_ALLOWED = "not allowed"
    """405: the member's status does not permit it."""
    BAD_ADDRESS = "bad address"
    """Refused until the address changes."""
    BARRED = "barred"
    """Refused for the customer, until an operator clears it."""
    UNCLEAR = "unclear"
    """Refused for a reason that may pass: tried again after days."""
    FIELD = "field refused"
    """Refused for fields, which are named."""
    LATER = "later"
    """Nothing is known to be wrong with the call: it is made again."""
    AGAIN = "again"
    """Not sent, since the reads that the call hangs on were too old by then: they are made again."""
    ACCOUNT_STOPPED = "account stopped"
    """No call of this account will be accepted."""


@dataclass(frozen=True, slots=True)
class ClassifiedAnswer:
    """How an answer is sorted.

    Attributes:
        title: what to call it: Mailchimp's title, an error code, or why there is no answer.
        fields: the merge tags refused.
    """

    kind: AnswerClass
    title: str
    fields: tuple[str, ...] = ()


UNREADABLE = ClassifiedAnswer(AnswerClass.LATER, "an answer that cannot be read")
"""A 2xx that lacks what Mailchimp documents: it settles nothing."""


def classify(answer: Answer) -> ClassifiedAnswer:
    """Sorts the answer to a call for one contact, or the refusal of a whole call."""
    status, title = answer.status, answer.title
    if answer.failure == "stale":
        return ClassifiedAnswer(AnswerClass.AGAIN, "it could not be sent soon enough after the read")
    if status is None:
        return ClassifiedAnswer(AnswerClass.LATER, answer.failure or "no answer")
    if answer.ok:
        return ClassifiedAnswer(AnswerClass.DONE, "OK")
    if status == 401 or (status == 403 and answer.body is not None):
        return ClassifiedAnswer(AnswerClass.ACCOUNT_STOPPED, title or f"HTTP {status}")
    # A 404 without Mailchimp's JSON says nothing of a member: parallel writes and front doors answer such.
    if status in (403, 408, 425, 429) or status >= 500 or status < 400 or (status == 404 and answer.body is None):
        return ClassifiedAnswer(AnswerClass.LATER, title or f"HTTP {status}")
    if status == 404:
        return ClassifiedAnswer(AnswerClass.NOT_THERE, title or "HTTP 404")
    if status == 405:
        return ClassifiedAnswer(AnswerClass.NOT_ALLOWED, title or "HTTP 405")
    return _refusal(title or f"HTTP {status}", _fields(answer.body))


def sort_contact_error(error: Mapping[str, Any]) -> ClassifiedAnswer:
    """Sorts one of the ``errors`` in the answer to a POST of many contacts.

    One without a field is UNCLEAR here: only the answer to a call for that contact alone has the title.
    """
    if error.get("error_code") == "ERROR_CONTACT_EXISTS":
        return ClassifiedAnswer(AnswerClass.EXISTS, "ERROR_CONTACT_EXISTS")
    field = error.get("field")
    title = str(error.get("error_code") or "ERROR_GENERIC")
    return _refusal(title, (field,) if isinstance(field, str) and field else ())


def _refusal(title: str, fields: tuple[str, ...]) -> ClassifiedAnswer:
    if title == MEMBER_EXISTS:
        return ClassifiedAnswer(AnswerClass.EXISTS, title)
    if title in FOR_THE_CUSTOMER:
        return ClassifiedAnswer(AnswerClass.BARRED, title)
    if any(field in _ADDRESS_FIELDS for field in fields):
        return ClassifiedAnswer(AnswerClass.BAD_ADDRESS, title)
    if fields:
        return ClassifiedAnswer(AnswerClass.FIELD, title, fields)
    return ClassifiedAnswer(AnswerClass.UNCLEAR, title)


def _fields(body: Mapping[str, Any] | None) -> tuple[str, ...]:
    errors = (body or {}).get("errors")
    named = [error.get("field") for error in errors if isinstance(error, Mapping)] if isinstance(errors, list) else []
    # A field of the address is named as ADDRESS.addr1 or the like; the tag is what was sent.
    return tuple(dict.fromkeys(name.split(".")[0] for name in named if isinstance(name, str) and name))


def customer_status_after(
    classified: ClassifiedAnswer, customer_status: CustomerStatus, address: AddressKey | None, now: datetime
) -> CustomerStatus:
    """Returns what prevents sending a customer after a refusal.

    Args:
        classified: BAD_ADDRESS, BARRED or UNCLEAR.

    Returns:
        The status: final, or with a time to try again after 1, 3 and 7 days. Never final at first sight for a title
        that does not say so by itself.
    """
    attempts, retry_at = 0, None
    if classified.kind is AnswerClass.UNCLEAR:
        same = customer_status.refused_address == address
        attempts = (customer_status.attempts if same else 0) + 1
        retry_at = as_text(now + timedelta(days=RETRY_DAYS[attempts - 1])) if attempts <= len(RETRY_DAYS) else None
    return CustomerStatus(
        customer_id=customer_status.customer_id,
        membership=customer_status.membership,
        refusal=classified.title,
        refused_address=None if classified.kind is AnswerClass.BARRED else address,
        attempts=attempts,
        retry_at=retry_at,
    )
