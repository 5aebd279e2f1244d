"""What Mailchimp answers: an answer as a plain value, what it means for a contact, and the member in it. Does no I/O.

Answers are classified by status, title and field, never by text. Source of titles: Mailchimp's published list of API
errors. ``detail`` and messages may be localised, titles are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from worker.clock import moment_or_none
from worker.store.ledger import LASTING_REFUSALS

Failure = Literal[
    "timeout", "connection", "unconnected", "unknown_host", "certificate", "stopped", "stale", "garbled", "too_large",
]  # fmt: skip
"""Why there is no usable answer.

timeout: not complete in time · connection: broken before the answer was complete · unconnected: no connection could be
made · unknown_host: the host name does not resolve · certificate: that of the host, or of its proxy, is not accepted ·
stopped: this worker was stopping and did not send it · stale: a write was not sent, because the read that it depends on
is too old · garbled: complete, but not what Mailchimp documents (only typed reads detect this) · too_large: larger than
anything this worker asks for.
"""

UNSENT: frozenset[Failure] = frozenset({"unconnected", "unknown_host", "certificate", "stopped", "stale"})
"""The failures after which Mailchimp certainly never received the call."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a call.

    Attributes:
        status: the HTTP status; None if there was no complete answer.
        body: the answer's JSON object; None if it is empty or not a JSON object.
        failure: why there is no usable answer; None if there is one.
        seconds: how long the call took.
        date: Mailchimp's time of the answer, in whole seconds, from the Date header; None if it has none. Mailchimp's
            timestamps are compared with this time only, never with this machine's clock.
        reason: what is wrong with a certificate that is not accepted; None for other failures.
    """

    status: int | None
    body: Mapping[str, Any] | None = None
    failure: Failure | None = None
    seconds: float = 0.0
    date: datetime | None = None
    reason: str | None = None

    @property
    def ok(self) -> bool:
        """Whether Mailchimp did what was asked (2xx)."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def empty(self) -> bool:
        """Whether it is 204, Mailchimp's only 2xx without content."""
        return self.status == 204

    @property
    def unsent(self) -> bool:
        """Whether Mailchimp certainly never received the call and so cannot have acted on it."""
        return self.failure in UNSENT

    @property
    def undone(self) -> bool:
        """Whether Mailchimp certainly did nothing: it never received the call, or refused it.

        After a 5xx, a timeout, a broken connection or an unreadable 2xx it may have acted.
        """
        return self.unsent or (self.status is not None and 400 <= self.status < 500 and self.status != 408)

    @property
    def throttled(self) -> bool:
        """Whether Mailchimp asks for fewer concurrent calls and did not act on this one.

        Source: it answers an eleventh connection with 429; its load balancer, under load, with a 403 that has no JSON.
        """
        return self.status == 429 or (self.status == 403 and self.body is None)

    @property
    def title(self) -> str | None:
        """The ``title`` of Mailchimp's problem document, which is stable; its ``detail`` is not."""
        title = self.body.get("title") if self.body is not None and not self.ok else None
        return title if isinstance(title, str) else None


# What it means

MEMBER_EXISTS = "Member Exists"
_ADDRESS_FIELDS = frozenset({"email_address", "email address", "EMAIL"})


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


_NO_ANSWER: Mapping[Failure | None, str] = {
    "timeout": "no answer in time",
    "connection": "the connection broke before the answer was complete",
    "unconnected": "no connection; check the network, any proxy and the firewall",
    "unknown_host": "unknown host name; check the end of the API key, and this machine's DNS",
    "stopped": "the worker was stopping",
    "garbled": "an answer that Mailchimp does not document",
    "too_large": "an answer larger than any that Mailchimp documents",
}

_REFUSALS = frozenset(
    {AnswerClass.EXISTS, AnswerClass.BARRED, AnswerClass.BAD_ADDRESS, AnswerClass.FIELD, AnswerClass.UNCLEAR}
)
"""What is wrong with a contact."""


def classify(answer: Answer) -> ClassifiedAnswer:
    """Classifies the answer to a call for one contact, or the refusal of a whole call."""
    status, title = answer.status, answer.title
    if answer.failure == "stale":
        return ClassifiedAnswer(AnswerClass.AGAIN, "it could not be sent soon enough after the read")
    if status is None:
        return ClassifiedAnswer(AnswerClass.LATER, answer.reason or _NO_ANSWER.get(answer.failure, "no answer"))
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


def classify_read(answer: Answer) -> ClassifiedAnswer:
    """Classifies the answer to a read, which refuses no contact."""
    return _of_read(classify(answer))


def _of_read(classified: ClassifiedAnswer) -> ClassifiedAnswer:
    return replace(classified, kind=AnswerClass.LATER) if classified.kind in _REFUSALS else classified


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


# Members

NAME_TAGS = ("FNAME", "LNAME")
"""The merge tags of first and last name. Source: the fields that Mailchimp gives each new list."""


@dataclass(frozen=True, slots=True)
class Member:
    """The parts of a member that a flush depends on.

    Attributes:
        status: subscribed, pending, unsubscribed, cleaned, transactional or archived.
        last_changed: as Mailchimp wrote it.
        contact_id: identifies the contact, whatever its address; None if the answer lacks it, as that to a batch add
            does. Source: Mailchimp's API description.
        names: first and last name; "" for what the answer lacks.
        fields: merge tag to value, of the fields that were requested.
        opted_in: when it was last subscribed; None if the answer lacks it.
        tags: names, at most 50 of them; None if the answer lacks them.
        tags_count: how many it has; None if the answer lacks it.
        born: when it joined the list: the earlier of sign-up and opt-in; None if both are missing.
    """

    address: str
    status: str
    last_changed: str | None
    born: datetime | None
    contact_id: str | None = None
    opted_in: datetime | None = None
    names: tuple[str, str] = field(default=("", ""), repr=False)
    tags: tuple[str, ...] | None = field(default=None, repr=False)
    tags_count: int | None = None
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def changed(self) -> datetime | None:
        """When it was last changed; None if the answer lacks it."""
        return moment_or_none(self.last_changed)


def member_of(body: Mapping[str, Any] | None) -> Member | None:
    """Returns the member that a JSON object describes; None if it lacks an address or a status."""
    address, status = (body or {}).get("email_address"), (body or {}).get("status")
    if body is None or not isinstance(address, str) or not isinstance(status, str):
        return None
    signed_up, opted_in = moment_or_none(body.get("timestamp_signup")), moment_or_none(body.get("timestamp_opt"))
    changed, contact_id, count = body.get("last_changed"), body.get("contact_id"), body.get("tags_count")
    return Member(
        address=address,
        status=status,
        last_changed=changed if isinstance(changed, str) else None,
        born=min((moment for moment in (signed_up, opted_in) if moment is not None), default=None),
        opted_in=opted_in,
        contact_id=contact_id if isinstance(contact_id, str) and contact_id else None,
        names=_names(body.get("merge_fields")),
        tags=_tags(body.get("tags")),
        tags_count=count if isinstance(count, int) else None,
        fields=body["merge_fields"] if isinstance(body.get("merge_fields"), Mapping) else {},
    )


def tags_added(body: Mapping[str, Any] | None) -> Mapping[str, datetime | None] | None:
    """Returns when each of a member's tags was added, by name; None if the JSON object lacks them."""
    tags: Any = (body or {}).get("tags")
    names = _tags(tags)
    if names is None:
        return None
    return {tag["name"]: moment_or_none(tag.get("date_added")) for tag in tags if tag.get("name") in names}


def _tags(tags: Any) -> tuple[str, ...] | None:
    if not isinstance(tags, list):
        return None
    names = (tag.get("name") for tag in tags if isinstance(tag, Mapping))
    return tuple(name for name in names if isinstance(name, str) and name)


def _names(fields: Any) -> tuple[str, str]:
    values = [fields.get(tag) for tag in NAME_TAGS] if isinstance(fields, Mapping) else ["", ""]
    first, last = (value if isinstance(value, str) else "" for value in values)
    return first, last


def answered_member(answer: Answer) -> Member | None:
    """Returns the member in a 2xx answer; None for another status, no JSON, or an incomplete member."""
    return member_of(answer.body) if answer.ok else None


def total_items(answer: Answer) -> int | None:
    """Returns the number of members in a 2xx answer; None if it lacks it."""
    total = (answer.body or {}).get("total_items") if answer.ok else None
    return total if isinstance(total, int) else None


def member_in(answer: Answer) -> tuple[Member | None, ClassifiedAnswer]:
    """Returns the member in the answer to a write, and classifies the answer; a 2xx without a member is unreadable."""
    member = answered_member(answer)
    return member, UNREADABLE if answer.ok and member is None else classify(answer)


def member_read(answer: Answer) -> tuple[Member | None, ClassifiedAnswer]:
    """Returns the member in the answer to a read, and classifies the answer; a 2xx without a member is unreadable."""
    member, classified = member_in(answer)
    return member, _of_read(classified)
