"""A call to Mailchimp and its answer as plain values: plans show them, the client sends them, receipts keep them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Literal, Protocol

from worker.model import AddressKey, ListId

ANSWER_WITHIN = timedelta(minutes=3)
"""How long after the read before it Mailchimp may carry out an unanswered write. Longer than any
`mailchimp.timeout`."""
FRESH_SECONDS = 2.0
"""How long a write may wait after the reads that it depends on; after that they must be read again."""

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
class Call:
    """A request to a path below Mailchimp's ``/3.0``.

    Attributes:
        path: starts with ``/`` and is already quoted.
        body: the JSON body; None for no body.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None

    @property
    def reads_only(self) -> bool:
        """Whether the call changes nothing in Mailchimp."""
        return self.method == "GET"

    def __str__(self) -> str:
        """Returns the method, path and query as plans and receipts print them."""
        query = "&".join(f"{name}={value}" for name, value in self.query.items())
        return f"{self.method} {self.path}" + (f"?{query}" if query else "")


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


class Sender(Protocol):
    """Sends calls with one API key: the HTTP client, or the stand-in in tests without sockets."""

    def send(self, call: Call) -> Answer:
        """Sends one call and waits for its answer. Never raises for a failure of Mailchimp or the network."""
        ...


def member_hash(address: AddressKey) -> str:
    """Returns the id of a member in Mailchimp's paths: the MD5 of the lowercased address, in hex."""
    return hashlib.md5(address.encode(), usedforsecurity=False).hexdigest()


def member_path(list_id: ListId, address: AddressKey) -> str:
    """Returns the path of one member of one list."""
    return f"/lists/{list_id}/members/{member_hash(address)}"


@lru_cache(maxsize=8)  # parallel calls often get the same second
def moment_of(date: str | None) -> datetime | None:
    """Parses a Date header; None without one, or if it has no valid time."""
    try:
        moment = parsedate_to_datetime(date) if date else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
