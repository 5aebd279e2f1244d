"""One call to Mailchimp and its answer, as plain values: what a plan names, a client sends and a receipt keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Literal, Protocol

from worker.model import AddressKey, ListId

Failure = Literal["timeout", "connection", "unconnected", "unknown_host", "stopped", "stale", "garbled", "too_large"]
"""Why there is no answer that can be used.

timeout: not whole in time · connection: it broke before the answer was whole · unconnected: it could not be made ·
unknown_host: the host's name is not known · stopped: this worker was stopping and did not send it · stale: a write that
hangs on a read was held back, since that was too long ago · garbled: whole, but not what Mailchimp documents (only the
typed reads find that) · too_large: more than a call of this worker can ask for.
"""

UNSENT: frozenset[Failure] = frozenset({"unconnected", "unknown_host", "stopped", "stale"})
"""The failures after which it is sure that Mailchimp never saw the call."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request below Mailchimp's ``/3.0``.

    Attributes:
        path: starts with ``/``, already quoted.
        query: the query parameters, as text.
        body: the JSON body, or None for none.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None

    @property
    def reads_only(self) -> bool:
        """Whether the call changes nothing at Mailchimp."""
        return self.method == "GET"

    def __str__(self) -> str:
        """Returns the method, path and query, as plans and receipts print them."""
        query = "&".join(f"{name}={value}" for name, value in self.query.items())
        return f"{self.method} {self.path}" + (f"?{query}" if query else "")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back of a call.

    Attributes:
        status: the HTTP status, or None when there was no whole answer.
        body: the JSON object of the answer, or None where the body is empty or no JSON object.
        failure: why there is no answer; None when there is one.
        seconds: how long the call took.
        date: Mailchimp's time when it answered, in whole seconds, from the Date header; None where there was none. Its
            times are compared with this one only, never with this machine's.
    """

    status: int | None
    body: Mapping[str, Any] | None = None
    failure: Failure | None = None
    seconds: float = 0.0
    date: datetime | None = None

    @property
    def ok(self) -> bool:
        """Whether Mailchimp did what was asked (2xx)."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def unsent(self) -> bool:
        """Whether it is sure that Mailchimp never saw the call, so that it cannot have acted."""
        return self.failure in UNSENT

    @property
    def undone(self) -> bool:
        """Whether it is sure that Mailchimp did nothing of what was asked: it never saw the call, or refused it.

        After a 5xx, a timeout, a broken connection or a 2xx that cannot be read it may have done it.
        """
        return self.unsent or (self.status is not None and 400 <= self.status < 500 and self.status != 408)

    @property
    def throttled(self) -> bool:
        """Whether Mailchimp asks for fewer calls at once, and did not act on this one.

        Source: its answer to an eleventh connection is 429; its front door's, under load, a 403 without JSON.
        """
        return self.status == 429 or (self.status == 403 and self.body is None)

    @property
    def title(self) -> str | None:
        """The ``title`` of Mailchimp's problem document, which is stable where its ``detail`` is not."""
        title = self.body.get("title") if self.body is not None and not self.ok else None
        return title if isinstance(title, str) else None


class Sender(Protocol):
    """Whatever can send a call for one API key: the HTTP client, or the stand-in in tests without sockets."""

    def send(self, call: Call) -> Answer:
        """Sends one call and waits for its answer; never raises for what Mailchimp or the network did."""
        ...


def member_hash(address: AddressKey) -> str:
    """Returns the id of a member in Mailchimp's paths: the MD5 of the lowercased address, in hex."""
    return hashlib.md5(address.encode(), usedforsecurity=False).hexdigest()


def member_path(list_id: ListId, address: AddressKey) -> str:
    """Returns the path of one member of one list."""
    return f"/lists/{list_id}/members/{member_hash(address)}"


@lru_cache(maxsize=8)  # calls side by side have one second
def moment_of(date: str | None) -> datetime | None:
    """Returns the time that a Date header says; None without one, or where it says none."""
    try:
        moment = parsedate_to_datetime(date) if date else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
