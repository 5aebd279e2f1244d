"""Identifies the visitor of a request: by the operators' token or a session's cookie."""

from __future__ import annotations

from datetime import datetime

from starlette.requests import Request

from worker.sqlite.database import Database
from worker.web.access import sessions
from worker.web.access.signing import equal_secrets
from worker.web.access.visitor import Visitor
from worker.web.call import Call, WebContext
from worker.web.errors import NotAllowed, NotSignedIn

COOKIE, SECURE_COOKIE = "mailchimp_worker", "__Host-mailchimp_worker"


def visitor_of_request(context: WebContext, request: Request, db: Database, now: datetime) -> Visitor | None:
    """Returns the visitor by the operators' token, else by the session; None with neither.

    Raises:
        NotSignedIn: the token is wrong.
        TooManyTries: tokens of this client were wrong too often.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        check_token(context, request, token.strip())
        return Visitor(None)
    cookie = request.cookies.get(cookie_name(context))
    return sessions.visitor_of_session(context.signer("session"), db, cookie, now) if cookie else None


def check_token(context: WebContext, request: Request, token: str) -> None:
    """Checks the operators' token.

    Raises:
        NotSignedIn: it is wrong, or none is configured.
        TooManyTries: it was wrong too often.
    """
    address = address_of(request)
    context.failed_logins.check(address)
    configured = context.app.config.web.token.get_secret_value()
    if not configured or not equal_secrets(configured, token):
        context.failed_logins.failed(address)
        raise NotSignedIn


def address_of(request: Request) -> str:
    """Returns the client's address."""
    return request.client.host if request.client is not None else ""


def cookie_name(context: WebContext) -> str:
    """Returns the session cookie's name. Browsers accept the __Host- prefix only over https, for this host only."""
    return SECURE_COOKIE if context.app.config.web.secure else COOKIE


def check_origin(call: Call) -> None:
    """Refuses a cross-site request (CSRF).

    Raises:
        NotAllowed: it is one.
    """
    if call.request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise NotAllowed("Another site sent this request.", "Use the forms of this site.")
    if call.visitor is None or call.visitor.session is None:
        return  # there is no session to misuse
    if not equal_secrets(call.csrf, call.request.headers.get("x-csrf-token") or call.field("csrf")):
        raise NotAllowed("This form is out of date.", "Load the page again, then send the form from there.")
