"""One request, as the functions of routes get it, and what all requests share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from urllib.parse import parse_qs, quote

from starlette.requests import Request

from worker.app import App
from worker.flush.schedule import next_flush_time
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.web.access import sessions
from worker.web.access.failed_logins import FailedLogins
from worker.web.access.signing import Signer
from worker.web.access.visitor import Visitor
from worker.web.errors import BadInput, NotSignedIn
from worker.web.forwarding import MOST_AT_ONCE, SeenRequests
from worker.web.refreshes import Refreshes

MOST_FIELDS = 2000
"""Fields of a form."""
SAFE_METHODS = ("GET", "HEAD")
"""They change nothing (RFC 9110, section 9.2.1)."""
_PURPOSES = ("session", *sessions.LINK_PURPOSES, "form", "forwarded")


@dataclass(frozen=True)
class WebContext:
    """Shared by all requests.

    Attributes:
        why_not_ready: returns why settings cannot be shown or changed yet; None once they are read.
        elsewhere: returns the URL of the worker that has an account; None if this one has it.
        forwarding: limits how many requests are forwarded at the same time.
    """

    app: App
    why_not_ready: Callable[[], str | None] = lambda: None
    elsewhere: Callable[[Database, AccountId], str | None] = lambda db, account_id: None
    refreshes: Refreshes = field(default_factory=Refreshes)
    seen_requests: SeenRequests = field(default_factory=SeenRequests)
    forwarding: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MOST_AT_ONCE))
    failed_logins: FailedLogins = field(default_factory=FailedLogins)

    def signer(self, purpose: str) -> Signer:
        """Returns the signer for a purpose: one of ``_PURPOSES``."""
        return self._signers[purpose]

    @cached_property
    def _signers(self) -> dict[str, Signer]:
        secret = self.app.secret
        keys_by_purpose = {purpose: secret.derived_by_each(f"web {purpose}") for purpose in _PURPOSES}
        return {purpose: Signer(keys[0], keys[1:]) for purpose, keys in keys_by_purpose.items()}


@dataclass(frozen=True)
class Call:
    """One request, for the route's function.

    Attributes:
        db: a connection used only by this request.
        visitor: None only if the route needs none and nobody is signed in.
        account_id: the account in the path; None if there is none.
        now: when the request arrived.
    """

    request: Request
    context: WebContext
    db: Database
    visitor: Visitor | None
    account_id: AccountId | None
    body: bytes
    now: datetime

    @property
    def app(self) -> App:
        """The worker's parts."""
        return self.context.app

    @property
    def next_flush(self) -> datetime:
        """When the next daily flush is."""
        flush = self.app.config.flush
        return next_flush_time(self.now, flush.time_of_day, flush.zone)

    @property
    def query(self) -> Mapping[str, str]:
        """The query parameters."""
        return self.request.query_params

    @property
    def path(self) -> Mapping[str, str]:
        """The path parameters."""
        return self.request.path_params

    @cached_property
    def form(self) -> Mapping[str, list[str]]:
        """The fields of a submitted form, each with its values.

        Raises:
            BadInput: it is not a form.
        """
        if not self.request.headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
            return {}
        try:
            return parse_qs(self.body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
        except ValueError as error:
            raise BadInput("The form cannot be read.", "Load the page again, and send the form from there.") from error

    def field(self, name: str, default: str = "") -> str:
        """Returns the last value of a form field."""
        return (self.form.get(name) or [default])[-1]

    @property
    def csrf(self) -> str:
        """The CSRF token that forms send as the hidden field ``csrf``, and scripts as the header ``X-CSRF-Token``."""
        return sessions.form_token(self.context.signer("form"), self.visitor) if self.visitor is not None else ""

    @property
    def signed_in(self) -> Visitor:
        """The visitor.

        Raises:
            NotSignedIn: there is neither a session nor a token.
        """
        if self.visitor is None:
            raise NotSignedIn
        return self.visitor

    @property
    def account(self) -> AccountId:
        """The account in the path."""
        assert self.account_id is not None, "the route has {account_id} in its path"
        return self.account_id


def target_of(request: Request) -> str:
    """Returns the path of a request with its query, escaped as in a URL."""
    path = quote(request.url.path, safe="/~")
    return f"{path}?{request.url.query}" if request.url.query else path
